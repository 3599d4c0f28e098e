/**
 * MetaCache: inode records and directory entries that this client has seen.
 *
 * Two uses, two rules:
 * - Planning a commit may use a cached record of any age, because the commit checks the columns that were relied on.
 * - Answering a lookup or getattr from it is allowed only while the record is younger than the time limit, and the
 *   kernel is told only the rest of that time: together they never exceed the limit.
 *
 * Invariants:
 * - After a local commit the cache holds its effect or nothing (never what was there before it). A fetch that was under
 *   way while a local commit touched the same inode is not cached (`lastChange`).
 * - Never more than `recordsMax` records of each kind; the oldest inserted go first.
 */
import type { InodeRow } from "./schema.ts";
import type { Write } from "./store.ts";

export interface CachedInode {
  row: InodeRow;
  fetchedMs: number;
}

export interface CachedEdge {
  ino: number;
  fetchedMs: number;
}

/** The name's bytes as a string of the same length, one code unit a byte: a map key that loses nothing. */
export function nameKey(parent: number, name: Uint8Array): string {
  let key = parent + "/";
  for (let i = 0; i < name.length; i++) key += String.fromCharCode(name[i] as number);
  return key;
}

export class MetaCache {
  private inodes = new Map<number, CachedInode>();
  private edges = new Map<string, CachedEdge>();
  /** Counts local commits; a fetch remembers its value from before it started. */
  private clock = 0;
  private fetches = 0;
  /** Inode or edge -> clock of its last local change; kept only while a fetch is under way. */
  private lastChange = new Map<number | string, number>();

  constructor(private readonly recordsMax: number) {}

  inode(ino: number): CachedInode | undefined {
    return this.inodes.get(ino);
  }

  edge(parent: number, name: Uint8Array): CachedEdge | undefined {
    return this.edges.get(nameKey(parent, name));
  }

  /** Call before a fetch, and `endFetch` after it, whatever came of it. */
  beginFetch(): number {
    this.fetches++;
    return this.clock;
  }

  endFetch(): void {
    if (--this.fetches === 0) this.lastChange.clear();
  }

  /** Keeps a fetched record. Returns what to believe: the record, or what a local commit made of it meanwhile
   *  (undefined: it is not cached, fetch again). */
  putInode(row: InodeRow, startedAt: number, nowMs: number): InodeRow | undefined {
    if ((this.lastChange.get(row.ino) ?? 0) > startedAt) return this.inodes.get(row.ino)?.row;
    this.setInode(row, nowMs);
    return row;
  }

  /** Keeps a fetched entry. False: a local commit changed it meanwhile, fetch again. */
  putEdge(parent: number, name: Uint8Array, ino: number, startedAt: number, nowMs: number): boolean {
    const key = nameKey(parent, name);
    if ((this.lastChange.get(key) ?? 0) > startedAt) return false;
    this.setEdge(key, ino, nowMs);
    return true;
  }

  dropInode(ino: number): void {
    this.inodes.delete(ino);
    this.touch(ino);
  }

  dropEdge(parent: number, name: Uint8Array): void {
    const key = nameKey(parent, name);
    this.edges.delete(key);
    this.touch(key);
  }

  /** Brings the effect of a local commit into the cache. */
  apply(writes: readonly Write[], nowMs: number): void {
    this.clock++;
    for (const write of writes) {
      if (write.table === "inodes") this.applyInode(write, nowMs);
      else if (write.table === "edges") {
        const key = nameKey(write.key[0] as number, write.key[1] as Uint8Array);
        this.touch(key);
        if (write.write === "put") this.setEdge(key, (write.columns as { ino: number }).ino, nowMs);
        else this.edges.delete(key);
      } else if (write.write === "append" && write.counter.table === "inodes") {
        // The store raised the counter by one, but from which value only it knows: the caller drops or mends the record.
        this.touch(write.counter.key[0] as number);
      }
    }
  }

  private applyInode(write: Write, nowMs: number): void {
    const ino = write.key[0] as number;
    this.touch(ino);
    if (write.write === "put") {
      this.setInode({ ino, ...(write.columns as Omit<InodeRow, "ino">) }, nowMs);
      return;
    }
    if (write.write === "delete") {
      this.inodes.delete(ino);
      return;
    }
    const cached = this.inodes.get(ino);
    if (cached === undefined || write.write !== "update") return;
    // A fresh object: rows that were handed out before keep their values.
    const row = { ...cached.row, ...(write.set as Partial<InodeRow> | undefined) };
    const fields = row as unknown as Record<string, number>;
    for (const [column, amount] of Object.entries(write.add ?? {})) {
      fields[column] = (fields[column] ?? 0) + (amount as number);
    }
    for (const { columns, to } of write.raise ?? []) {
      for (let i = 0; i < columns.length; i++) {
        const old = fields[columns[i] as string] as number;
        const target = to[i] as number;
        if (target === old) continue;
        if (target > old) {
          for (let j = i; j < columns.length; j++) fields[columns[j] as string] = to[j] as number;
        }
        break;
      }
    }
    // The time of the fetch stays: other columns are as old as they were.
    cached.row = row;
  }

  private touch(key: number | string): void {
    if (this.fetches > 0) this.lastChange.set(key, this.clock);
  }

  private setInode(row: InodeRow, nowMs: number): void {
    const cached = this.inodes.get(row.ino);
    if (cached !== undefined) {
      cached.row = row;
      cached.fetchedMs = nowMs;
      return;
    }
    if (this.inodes.size >= this.recordsMax) evictOldest(this.inodes);
    this.inodes.set(row.ino, { row, fetchedMs: nowMs });
  }

  private setEdge(key: string, ino: number, nowMs: number): void {
    const cached = this.edges.get(key);
    if (cached !== undefined) {
      cached.ino = ino;
      cached.fetchedMs = nowMs;
      return;
    }
    if (this.edges.size >= this.recordsMax) evictOldest(this.edges);
    this.edges.set(key, { ino, fetchedMs: nowMs });
  }
}

/** Drops the first eighth in insertion order: rare and cheap, where one at a time would walk over holes of the map. */
function evictOldest<K>(map: Map<K, unknown>): void {
  let count = Math.ceil(map.size / 8);
  for (const key of map.keys()) {
    map.delete(key);
    if (--count === 0) break;
  }
}

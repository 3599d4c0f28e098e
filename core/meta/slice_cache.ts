/**
 * SliceCache: the slice lists of files that this client reads or writes.
 *
 * Invariant: a file's cached lists are those of the state in which its inode's `sliceSeq` was `seq`. Every change of a
 * slice list by any client raises `sliceSeq` in the same commit, so a fresh inode record shows whether the lists still hold.
 */
import type { SliceRecord } from "../chunk/slice_log.ts";

interface FileSlices {
  seq: number;
  readonly chunks: Map<number, readonly SliceRecord[]>;
  records: number;
}

export class SliceCache {
  private files = new Map<number, FileSlices>();
  private records = 0;

  constructor(private readonly recordsMax: number) {}

  get(ino: number, chunk: number): readonly SliceRecord[] | undefined {
    return this.files.get(ino)?.chunks.get(chunk);
  }

  /** Keeps a list that was read while the inode's `sliceSeq` was `seq`. */
  put(ino: number, seq: number, chunk: number, list: readonly SliceRecord[]): void {
    let file = this.files.get(ino);
    if (file !== undefined && file.seq !== seq) {
      if (file.seq > seq) return;
      this.drop(ino);
      file = undefined;
    }
    if (file === undefined) {
      file = { seq, chunks: new Map(), records: 0 };
      this.files.set(ino, file);
    }
    const old = file.chunks.get(chunk)?.length ?? 0;
    file.chunks.set(chunk, list);
    file.records += list.length - old;
    this.records += list.length - old;
    this.evict(ino);
  }

  /** A local commit raised the file's `sliceSeq` from `before` to `after`, and these are the lists it added to. */
  appended(
    ino: number,
    before: number,
    after: number,
    added: readonly (readonly [number, SliceRecord])[],
  ): void {
    const file = this.files.get(ino);
    if (file === undefined) return;
    // A gap: somebody else appended in between, and his records are not here. Not newer: this is known already.
    if (file.seq !== before) {
      if (file.seq < after) this.drop(ino);
      return;
    }
    file.seq = after;
    const changed = new Map<number, SliceRecord[]>();
    for (const [chunk, record] of added) {
      let list = changed.get(chunk);
      if (list === undefined) {
        const old = file.chunks.get(chunk);
        if (old === undefined) continue; // this list was never read: it will be, whole
        // Copied: readers may be walking over the old one.
        list = old.slice();
        changed.set(chunk, list);
        file.chunks.set(chunk, list);
      }
      list.push(record);
      file.records++;
      this.records++;
    }
    this.evict(ino);
  }

  /** Drops the file's lists unless they are those of `seq`. */
  validate(ino: number, seq: number): void {
    const file = this.files.get(ino);
    if (file !== undefined && file.seq < seq) this.drop(ino);
  }

  drop(ino: number): void {
    const file = this.files.get(ino);
    if (file === undefined) return;
    this.records -= file.records;
    this.files.delete(ino);
  }

  clear(): void {
    this.files.clear();
    this.records = 0;
  }

  private evict(keep: number): void {
    if (this.records <= this.recordsMax) return;
    for (const ino of this.files.keys()) {
      if (ino !== keep) this.drop(ino);
      if (this.records <= this.recordsMax) return;
    }
  }
}

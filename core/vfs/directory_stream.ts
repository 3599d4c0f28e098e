/**
 * One open directory: entries in name order, page by page.
 *
 * A page goes on after the last name of the page before, never by count: so an entry that stays is returned exactly once,
 * however many others come and go. A cookie is a page's number and an entry's place in it; 1 is `.`, 2 is `..`. What a
 * cookie meant is kept as a hash of each name (segments): when a page has to be read again and is not what it was, its
 * entries that are still there tell where the cookie points now. So seekdir(3) goes back to exactly the same place among
 * the entries that stay, also after rewinddir(3).
 *
 * Invariants:
 * - A segment never changes but in `next`: what a cookie means stays, until the segment is dropped as one of too many.
 * - `pages` holds entries of segments with the same number, as they were when they were read; none from before the last
 *   rewind.
 * - Memory is bounded: `pagesMax` pages, `segmentsMax` segments of 8 bytes an entry and two names.
 * Reads of one stream that interleave (the kernel sends none) each keep their own place; at worst a page is read twice.
 *
 * Attributes are given only for entries that the metadata cache still confirms at that moment: a page may be older than a
 * rename or a write that this client made since.
 */
import { FsError } from "../errors.ts";
import { ROOT_INO } from "../limits.ts";
import { S_IFDIR } from "../meta/attr.ts";
import { withDirty } from "./context.ts";
import type { VfsContext } from "./context.ts";
import { compareNames, lastSurvivor, nameHash, sameHashes } from "./name_hashes.ts";
import type { DirSink } from "./types.ts";

export interface StreamLimits {
  /** Entries that are read at once. */
  readonly pageEntries: number;
  /** Pages kept at hand for seeks back and for replies that end in the middle of one. */
  readonly pagesMax: number;
  /** Cookies of segments beyond that many, the oldest ones, are EINVAL. */
  readonly segmentsMax: number;
}

/** Cookies of the last two million entries listed are good. */
const defaultLimits: StreamLimits = { pageEntries: 1000, pagesMax: 8, segmentsMax: 2048 };
const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);
/** The cookie of `..`; entries follow. */
const DOTS = 2;
const NONE = -1;

interface PageEntry {
  readonly name: Uint8Array;
  readonly ino: number;
  readonly mode: number;
}

type Page = readonly PageEntry[];

/** What was listed once under cookies from DOTS + 1 + number * pageEntries. */
interface Segment {
  /** The name before its first entry; undefined: it starts the directory. */
  readonly after: Uint8Array | undefined;
  /** The name of its last entry; undefined: it is empty. */
  readonly last: Uint8Array | undefined;
  readonly hashes: Float64Array;
  /** The segment that was listed after it. */
  next: number;
}

/** The entry to go on with. */
interface Place {
  readonly segment: number;
  readonly page: Page;
  readonly index: number;
}

export class DirectoryStream {
  /** By number; the oldest first. */
  private segments = new Map<number, Segment>();
  private segmentsMade = 0;
  private first = NONE;
  /** By segment; the one used last is the last. */
  private pages = new Map<number, Page>();

  constructor(
    private readonly ctx: VfsContext,
    readonly ino: number,
    private parent: number,
    private readonly limits: StreamLimits = defaultLimits,
  ) {}

  /** Feeds entries after `offset` to the sink until it is full or the directory ends. */
  async read(offset: number, plus: boolean, sink: DirSink): Promise<void> {
    if (offset === 0) {
      const row = this.ctx.engine.cached(this.ino);
      if (row !== undefined) this.ctx.accessTimes.noteRead(row);
      // rewinddir(3): what changed since is seen.
      this.pages.clear();
      if (!sink(DOT, this.ino, S_IFDIR, 1, null)) return;
    }
    if (offset <= 1 && !sink(DOT_DOT, this.parent === 0 ? ROOT_INO : this.parent, S_IFDIR, DOTS, null)) {
      return;
    }
    let place = offset <= DOTS ? await this.following(NONE) : await this.behind(offset - DOTS - 1);
    for (;;) {
      const { page, segment } = place;
      const cookie = DOTS + 1 + segment * this.limits.pageEntries;
      for (let i = place.index; i < page.length; i++) {
        const entry = page[i] as PageEntry;
        const attr = plus ? this.confirmed(entry) : null;
        const ttlMs = attr === null ? 0 : this.ctx.engine.freshMs(entry.ino);
        const entryTtlMs = Math.min(ttlMs, this.ctx.engine.options.entryTtlMs);
        if (!sink(entry.name, entry.ino, entry.mode, cookie + i, attr, entryTtlMs, ttlMs)) return;
        if (attr !== null) this.ctx.nodes.addLookup(entry.ino);
      }
      if (page.length < this.limits.pageEntries) return;
      place = await this.following(segment);
    }
  }

  /** The entry's attributes if the cache still has this name for this inode. */
  private confirmed(entry: PageEntry) {
    const { engine } = this.ctx;
    if (engine.cachedEdge(this.ino, entry.name) !== entry.ino) return null;
    const row = engine.cached(entry.ino);
    return row === undefined || engine.freshMs(entry.ino) === 0 ? null : withDirty(this.ctx, row);
  }

  /** The start of what follows a segment; of the whole directory for NONE. */
  private async following(previous: number): Promise<Place> {
    const before = this.segments.get(previous);
    const known = before === undefined ? this.first : before.next;
    const kept = this.kept(known);
    if (kept !== undefined) return { segment: known, page: kept, index: 0 };
    const after = before?.last;
    const page = await this.load(after);
    const hashes = hashesOf(page);
    const isKnown = sameHashes(this.segments.get(known)?.hashes, hashes);
    const segment = isKnown ? known : this.addSegment(after, page, hashes);
    if (before === undefined) this.first = segment;
    else before.next = segment;
    this.keep(segment, page);
    return { segment, page, index: 0 };
  }

  /** What follows the entry that was listed as this one of all cookies: the first one that is still there behind it. */
  private async behind(ordinal: number): Promise<Place> {
    const segment = Math.floor(ordinal / this.limits.pageEntries);
    const index = ordinal - segment * this.limits.pageEntries;
    const kept = this.kept(segment);
    if (kept !== undefined && index < kept.length) return { segment, page: kept, index: index + 1 };
    const known = this.segments.get(segment);
    if (known?.last === undefined || index >= known.hashes.length) {
      throw new FsError("EINVAL", "no place in this directory is known by this offset");
    }
    let after = known.after;
    let found: { page: Page; hashes: Float64Array; after: Uint8Array | undefined; index: number } | undefined;
    for (;;) {
      const page = await this.load(after);
      const hashes = hashesOf(page);
      if (sameHashes(known.hashes, hashes)) {
        this.keep(segment, page);
        return { segment, page, index: index + 1 };
      }
      const survivor = lastSurvivor(known.hashes, index, hashes);
      if (found === undefined || survivor >= 0) found = { page, hashes, after, index: survivor + 1 };
      const last = page.at(-1)?.name;
      // So many may have come that what the cookie knows is spread over several pages.
      if (
        last === undefined || page.length < this.limits.pageEntries || compareNames(last, known.last) >= 0
      ) break;
      after = last;
    }
    const made = this.addSegment(found.after, found.page, found.hashes);
    this.keep(made, found.page);
    return { segment: made, page: found.page, index: found.index };
  }

  private async load(after: Uint8Array | undefined): Promise<Page> {
    const found = await this.ctx.engine.readEdges(this.ino, after, this.limits.pageEntries);
    return found.map(({ row }) => ({ name: row.name, ino: row.ino, mode: row.mode }));
  }

  private addSegment(after: Uint8Array | undefined, page: Page, hashes: Float64Array): number {
    const segment = this.segmentsMade++;
    this.segments.set(segment, { after, last: page.at(-1)?.name, hashes, next: NONE });
    if (this.segments.size > this.limits.segmentsMax) dropFirst(this.segments);
    return segment;
  }

  private kept(segment: number): Page | undefined {
    const page = this.pages.get(segment);
    if (page !== undefined) this.keep(segment, page);
    return page;
  }

  private keep(segment: number, page: Page): void {
    this.pages.delete(segment);
    this.pages.set(segment, page);
    if (this.pages.size > this.limits.pagesMax) dropFirst(this.pages);
  }
}

function hashesOf(page: Page): Float64Array {
  const hashes = new Float64Array(page.length);
  for (let i = 0; i < page.length; i++) hashes[i] = nameHash((page[i] as PageEntry).name);
  return hashes;
}

function dropFirst(map: Map<number, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}

/**
 * One open directory: entries in name order, page by page.
 *
 * A cookie is an entry's place in this stream: 1 is `.`, 2 is `..`, then the entries as they were listed. Pages go on after
 * the last name of the page before, never by count: so an entry that stays is returned exactly once, however many others
 * come and go. To seek back, a page is read again from the name that it followed.
 *
 * Attributes are given only for entries that the metadata cache still confirms at that moment: a page may be older than a
 * rename or a write that this client made since.
 */
import { ROOT_INO } from "../limits.ts";
import { S_IFDIR } from "../meta/attr.ts";
import { withDirty } from "./context.ts";
import type { VfsContext } from "./context.ts";
import type { DirSink } from "./types.ts";

const PAGE_ENTRIES = 1000;
const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);
/** The cookie of `..`; entries follow. */
const DOTS = 2;

interface PageEntry {
  readonly name: Uint8Array;
  readonly ino: number;
  readonly mode: number;
}

export class DirectoryStream {
  /** Where each page starts: the name before it. Page i holds the entries with cookies from DOTS + 1 + i * PAGE_ENTRIES. */
  private starts: (Uint8Array | undefined)[] = [undefined];
  private page: readonly PageEntry[] = [];
  private pageIndex = -1;

  constructor(private readonly ctx: VfsContext, readonly ino: number, private parent: number) {}

  /** Feeds entries after `offset` to the sink until it is full or the directory ends. */
  async read(offset: number, plus: boolean, sink: DirSink): Promise<void> {
    if (offset === 0) {
      const row = this.ctx.engine.cached(this.ino);
      if (row !== undefined) this.ctx.accessTimes.noteRead(row);
      // rewinddir(3): what changed since is seen.
      this.starts = [undefined];
      this.pageIndex = -1;
      if (!sink(DOT, this.ino, S_IFDIR, 1, null)) return;
    }
    if (offset <= 1 && !sink(DOT_DOT, this.parent === 0 ? ROOT_INO : this.parent, S_IFDIR, DOTS, null)) {
      return;
    }
    let place = Math.max(0, offset - DOTS);
    for (;;) {
      const pageIndex = Math.floor(place / PAGE_ENTRIES);
      if (pageIndex !== this.pageIndex && !await this.load(pageIndex)) return;
      for (let i = place - pageIndex * PAGE_ENTRIES; i < this.page.length; i++, place++) {
        const entry = this.page[i] as PageEntry;
        const attr = plus ? this.confirmed(entry) : null;
        const ttlMs = attr === null ? 0 : this.ctx.engine.freshMs(entry.ino);
        const entryTtlMs = Math.min(ttlMs, this.ctx.engine.options.entryTtlMs);
        if (!sink(entry.name, entry.ino, entry.mode, DOTS + place + 1, attr, entryTtlMs, ttlMs)) return;
        if (attr !== null) this.ctx.nodes.addLookup(entry.ino);
      }
      if (this.page.length < PAGE_ENTRIES) return;
    }
  }

  /** The entry's attributes if the cache still has this name for this inode. */
  private confirmed(entry: PageEntry) {
    const { engine } = this.ctx;
    if (engine.cachedEdge(this.ino, entry.name) !== entry.ino) return null;
    const row = engine.cached(entry.ino);
    return row === undefined || engine.freshMs(entry.ino) === 0 ? null : withDirty(this.ctx, row);
  }

  private async load(pageIndex: number): Promise<boolean> {
    // A cookie from before a rewind may lie past what was listed since: the stream ends there.
    if (pageIndex >= this.starts.length) return false;
    const found = await this.ctx.engine.readEdges(this.ino, this.starts[pageIndex], PAGE_ENTRIES);
    this.page = found.map(({ row }) => ({ name: row.name, ino: row.ino, mode: row.mode }));
    this.pageIndex = pageIndex;
    if (found.length === PAGE_ENTRIES) this.starts[pageIndex + 1] = found.at(-1)?.row.name;
    return true;
  }
}

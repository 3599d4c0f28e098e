/**
 * BlockCache: verified bytes of blocks and of single pages, least recently used first out, bounded in bytes.
 *
 * Invariants:
 * - What is in here has passed its checksum (or was written by this client) and never changes.
 * - No reference to a cached buffer leaves this module, except to callers that use it before their next await: evicted
 *   buffers go back to their pools at once.
 */
import { assert } from "../assert.ts";
import { CHECKSUM_PAGE_BYTES } from "../limits.ts";
import type { BufferPool } from "./buffers.ts";
import { pagesPerBlock, SLICE_PAGES_MAX } from "./layout.ts";

/** What an entry costs beside its bytes, roughly. */
const ENTRY_BYTES = 256;

interface Entry {
  readonly key: number;
  readonly isPage: boolean;
  readonly bytes: Uint8Array;
  /** Fetched ahead and not read yet. */
  isUnread: boolean;
  newer: Entry | null;
  older: Entry | null;
}

export class BlockCache {
  usedBytes = 0;
  /** Bytes fetched ahead that nobody has read yet. */
  unreadBytes = 0;
  private readonly blocks = new Map<number, Entry>();
  private readonly pages = new Map<number, Entry>();
  private readonly pagesPerBlock: number;
  private newest: Entry | null = null;
  private oldest: Entry | null = null;

  constructor(
    readonly limitBytes: number,
    readonly blockBytes: number,
    private readonly blockPool: BufferPool,
    private readonly pagePool: BufferPool,
  ) {
    this.pagesPerBlock = pagesPerBlock(blockBytes);
  }

  hasBlock(sliceId: number, index: number): boolean {
    return this.blocks.has(keyOf(sliceId, index));
  }

  /** The block's bytes, for use before the next await only. */
  block(sliceId: number, index: number): Uint8Array | null {
    const entry = this.blocks.get(keyOf(sliceId, index));
    if (entry === undefined) return null;
    this.touch(entry);
    return entry.bytes;
  }

  /** Copies bytes [start, end) of a block to into[at...] if all of them are here. */
  copy(sliceId: number, index: number, start: number, end: number, into: Uint8Array, at: number): boolean {
    const entry = this.blocks.get(keyOf(sliceId, index));
    if (entry !== undefined) {
      this.touch(entry);
      copyPart(entry.bytes, start, end, into, at);
      return true;
    }
    if (this.pages.size === 0) return false;
    const first = Math.floor(start / CHECKSUM_PAGE_BYTES);
    const last = Math.floor((end - 1) / CHECKSUM_PAGE_BYTES);
    const base = index * this.pagesPerBlock;
    for (let page = first; page <= last; page++) {
      if (!this.pages.has(keyOf(sliceId, base + page))) return false;
    }
    for (let page = first; page <= last; page++) this.copyPage(sliceId, index, page, start, end, into, at);
    return true;
  }

  /** Copies what page `page` of the block has of [start, end), where into[at] takes byte `start`. */
  copyPage(
    sliceId: number,
    index: number,
    page: number,
    start: number,
    end: number,
    into: Uint8Array,
    at: number,
  ): boolean {
    const entry = this.pages.get(keyOf(sliceId, index * this.pagesPerBlock + page));
    if (entry === undefined) return false;
    this.touch(entry);
    const pageStart = page * CHECKSUM_PAGE_BYTES;
    const from = Math.max(start, pageStart);
    const to = Math.min(end, pageStart + entry.bytes.length);
    copyPart(entry.bytes, from - pageStart, to - pageStart, into, at + from - start);
    return true;
  }

  /** Takes over a whole block's buffer. */
  putBlock(sliceId: number, index: number, bytes: Uint8Array, isUnread: boolean): void {
    this.put(this.blocks, {
      key: keyOf(sliceId, index),
      isPage: false,
      bytes,
      isUnread,
      newer: null,
      older: null,
    });
  }

  /** Takes over the buffer of one page of a block. */
  putPage(sliceId: number, index: number, page: number, bytes: Uint8Array): void {
    const key = keyOf(sliceId, index * this.pagesPerBlock + page);
    this.put(this.pages, { key, isPage: true, bytes, isUnread: false, newer: null, older: null });
  }

  clear(): void {
    while (this.oldest !== null) this.evict(this.oldest);
  }

  private put(map: Map<number, Entry>, entry: Entry): void {
    const known = map.get(entry.key);
    if (known !== undefined) this.evict(known);
    map.set(entry.key, entry);
    this.usedBytes += costOf(entry);
    if (entry.isUnread) this.unreadBytes += entry.bytes.length;
    this.link(entry);
    while (this.usedBytes > this.limitBytes && this.oldest !== null) this.evict(this.oldest);
  }

  private touch(entry: Entry): void {
    if (entry.isUnread) {
      entry.isUnread = false;
      this.unreadBytes -= entry.bytes.length;
    }
    if (entry === this.newest) return;
    this.unlink(entry);
    this.link(entry);
  }

  private evict(entry: Entry): void {
    (entry.isPage ? this.pages : this.blocks).delete(entry.key);
    this.unlink(entry);
    this.usedBytes -= costOf(entry);
    if (entry.isUnread) this.unreadBytes -= entry.bytes.length;
    (entry.isPage ? this.pagePool : this.blockPool).give(entry.bytes);
  }

  private link(entry: Entry): void {
    entry.older = this.newest;
    entry.newer = null;
    if (this.newest !== null) this.newest.newer = entry;
    this.newest = entry;
    this.oldest ??= entry;
  }

  private unlink(entry: Entry): void {
    if (entry.newer !== null) entry.newer.older = entry.older;
    else this.newest = entry.older;
    if (entry.older !== null) entry.older.newer = entry.newer;
    else this.oldest = entry.newer;
  }
}

/** Copies bytes [start, end) of `from` to into[at...]. */
export function copyPart(from: Uint8Array, start: number, end: number, into: Uint8Array, at: number): void {
  into.set(start === 0 && end === from.length ? from : from.subarray(start, end), at);
}

function costOf(entry: Entry): number {
  return entry.bytes.buffer.byteLength + ENTRY_BYTES;
}

/** One number for a slice and a block or page of it. */
export function keyOf(sliceId: number, part: number): number {
  assert(part < SLICE_PAGES_MAX && sliceId < 2 ** 43, "slice ids and their parts fit one exact number");
  return sliceId * SLICE_PAGES_MAX + part;
}

/**
 * BlockReader: brings blocks, or single pages of them, from the object store into the cache and to those who wait.
 *
 * Invariants:
 * - Single flight: a block, and a page, is fetched once at a time; who needs it meanwhile joins.
 * - Only bytes whose page checksums hold are handed out or cached. A mismatch is fetched once more, then it is EIO.
 * - Bytes are copied to the waiters and then given to the cache in one step: no buffer is shared across an await. A buffer
 *   goes back to its pool only after the store's promise has settled.
 * - At most `fetches` calls at a time; the last two places (if there are so many) are kept from read-ahead.
 * - A waiter is answered by its deadline, also when the store is silent; a fetch without waiters is not tried again.
 * At the awaits: more waiters may join a fetch, and those past their deadline leave it.
 */
import type { Env } from "../env.ts";
import { FsError, StoreError } from "../errors.ts";
import { CHECKSUM_PAGE_BYTES } from "../limits.ts";
import { type BlockCache, copyPart, keyOf } from "./block_cache.ts";
import { type BufferPool, Fifo } from "./buffers.ts";
import { verifyPages } from "./checksum.ts";
import { blockKey, type Layout, pagesPerBlock } from "./layout.ts";
import type { ObjectStore } from "./object_store.ts";
import { backoffMs, type DataCounters, type DataPathOptions, messageOf } from "./options.ts";
import type { ReadOp } from "./read_op.ts";

/** From this many pages on, one fetch of the whole block is cheaper than a fetch for each. */
const PAGES_BY_THEMSELVES_MAX = 3;
/** Places that read-ahead leaves to those who wait. */
const DEMAND_RESERVE = 2;
/** A waiting reader looks again this soon after the store has returned. */
const READ_BACKOFF_MAX_MS = 1_000;

/** A stored block. */
export interface BlockRef {
  readonly sliceId: number;
  readonly index: number;
  readonly lengthBytes: number;
  /** Of the whole slice. */
  readonly checksums: Uint8Array;
}

interface Waiter {
  readonly op: ReadOp;
  /** Bytes [start, end) of the block go to into[at...]. */
  readonly start: number;
  readonly end: number;
  readonly into: Uint8Array;
  readonly at: number;
  readonly sinceMs: number;
}

interface Fetch {
  readonly key: number;
  readonly block: BlockRef;
  /** The page to fetch; -1: the whole block. */
  readonly page: number;
  waiters: Waiter[];
  state: "queued" | "running";
  /** Queued among those that somebody waits for. */
  isDemand: boolean;
}

export interface BlockReaderDeps {
  readonly objects: ObjectStore;
  readonly env: Env;
  readonly layout: Layout;
  readonly options: DataPathOptions;
  readonly counters: DataCounters;
  readonly cache: BlockCache;
  readonly blockPool: BufferPool;
  readonly pagePool: BufferPool;
}

export type BlockReader = ReturnType<typeof createBlockReader>;

class CorruptBlock extends Error {}

export function createBlockReader(deps: BlockReaderDeps) {
  const { objects, env, layout, options, counters, cache } = deps;
  const { blockBytes, prefix } = layout;
  const blockPages = pagesPerBlock(blockBytes);
  const blocks = new Map<number, Fetch>();
  const pages = new Map<number, Fetch>();
  const demand = new Fifo<Fetch>();
  const ahead = new Fifo<Fetch>();
  const aheadActiveMax = Math.max(1, options.fetches - DEMAND_RESERVE);
  /** Half of the cache: read-ahead must not push out what it fetched itself. */
  const unreadBytesMax = cache.limitBytes / 2;
  let active = 0;
  /** Bytes of whole blocks being fetched that nobody waits for. */
  let aheadBytes = 0;

  /** Arranges for bytes [start, end) of the block to be copied to into[at...] and `op` to be told. */
  function fetch(
    block: BlockRef,
    start: number,
    end: number,
    into: Uint8Array,
    at: number,
    isSequential: boolean,
    op: ReadOp,
  ): void {
    counters.cacheMisses++;
    const firstPage = Math.floor(start / CHECKSUM_PAGE_BYTES);
    const lastPage = Math.floor((end - 1) / CHECKSUM_PAGE_BYTES);
    const isWhole = isSequential || block.lengthBytes <= CHECKSUM_PAGE_BYTES ||
      lastPage - firstPage >= PAGES_BY_THEMSELVES_MAX || blocks.has(keyOf(block.sliceId, block.index));
    if (isWhole) return join(blocks, block, -1, start, end, into, at, op);
    for (let page = firstPage; page <= lastPage; page++) {
      if (cache.copyPage(block.sliceId, block.index, page, start, end, into, at)) continue;
      const from = Math.max(start, page * CHECKSUM_PAGE_BYTES);
      const to = Math.min(end, (page + 1) * CHECKSUM_PAGE_BYTES);
      join(pages, block, page, from, to, into, at + from - start, op);
    }
  }

  function join(
    inFlight: Map<number, Fetch>,
    block: BlockRef,
    page: number,
    start: number,
    end: number,
    into: Uint8Array,
    at: number,
    op: ReadOp,
  ): void {
    op.add();
    const waiter = { op, start, end, into, at, sinceMs: env.monotonicMs() };
    const key = keyOf(block.sliceId, page < 0 ? block.index : block.index * blockPages + page);
    const known = inFlight.get(key);
    if (known !== undefined) {
      if (!known.isDemand) aheadBytes -= known.block.lengthBytes;
      known.waiters.push(waiter);
      if (known.state === "queued" && !known.isDemand) demand.push(known); // its place in `ahead` is passed over
      known.isDemand = true;
    } else {
      const added: Fetch = { key, block, page, waiters: [waiter], state: "queued", isDemand: true };
      inFlight.set(key, added);
      demand.push(added);
    }
    startMore();
  }

  /** Fetches a whole block for later, if there is room; false if there is none. */
  function prefetch(block: BlockRef): boolean {
    const key = keyOf(block.sliceId, block.index);
    if (cache.hasBlock(block.sliceId, block.index) || blocks.has(key)) return true;
    if (cache.unreadBytes + aheadBytes + block.lengthBytes > unreadBytesMax) return false;
    counters.prefetches++;
    aheadBytes += block.lengthBytes;
    const added: Fetch = { key, block, page: -1, waiters: [], state: "queued", isDemand: false };
    blocks.set(key, added);
    ahead.push(added);
    startMore();
    return true;
  }

  function startMore(): void {
    while (active < options.fetches) {
      const next = demand.shift() ?? (active < aheadActiveMax ? ahead.shift() : undefined);
      if (next === undefined) return;
      if (next.state !== "queued") continue;
      next.state = "running";
      active++;
      run(next);
    }
  }

  async function run(fetch: Fetch): Promise<void> {
    const { block, page } = fetch;
    let bytes: Uint8Array | null = null;
    let failure: FsError | null = null;
    try {
      bytes = await load(fetch);
    } catch (error) {
      failure = error instanceof FsError
        ? error
        : new FsError("EIO", `block ${block.index} of slice ${block.sliceId}: ${messageOf(error)}`, {
          cause: error,
        });
    }
    active--;
    if (bytes === null && failure === null && fetch.waiters.length > 0) {
      // Given up because nobody waited, and joined before we were back here.
      fetch.state = "queued";
      demand.push(fetch);
      return startMore();
    }
    (page < 0 ? blocks : pages).delete(fetch.key);
    if (!fetch.isDemand) aheadBytes -= block.lengthBytes;
    if (bytes !== null) deliver(fetch, bytes);
    else if (failure !== null) fail(fetch, failure);
    startMore();
  }

  function deliver(fetch: Fetch, bytes: Uint8Array): void {
    const { block, page } = fetch;
    const base = Math.max(0, page) * CHECKSUM_PAGE_BYTES;
    for (const { op, start, end, into, at } of fetch.waiters) {
      if (op.isDone) continue;
      copyPart(bytes, start - base, end - base, into, at);
      op.arrived();
    }
    if (page >= 0) cache.putPage(block.sliceId, block.index, page, bytes);
    else cache.putBlock(block.sliceId, block.index, bytes, !fetch.isDemand);
  }

  function fail(fetch: Fetch, error: FsError): void {
    for (const waiter of fetch.waiters.splice(0)) {
      counters.readFailures++;
      waiter.op.fail(error);
    }
  }

  /** The verified bytes; null if nobody waits for them any more. */
  async function load(fetch: Fetch): Promise<Uint8Array | null> {
    let mismatches = 0;
    for (let attempt = 1;; attempt++) {
      try {
        return await loadOnce(fetch);
      } catch (error) {
        if (error instanceof CorruptBlock) {
          counters.checksumErrors++;
          env.log("error", error.message);
          if (++mismatches === 2) throw new FsError("EIO", error.message);
        } else {
          const mayPass = error instanceof StoreError && error.kind === "retry";
          if (!mayPass) {
            if (fetch.waiters.length > 0) {
              env.log("error", `${whatOf(fetch)} cannot be read: ${messageOf(error)}`);
            }
            throw error;
          }
          leaveLate(fetch, env.monotonicMs(), messageOf(error));
          if (fetch.waiters.length === 0) return null;
          await env.sleep(Math.min(READ_BACKOFF_MAX_MS, backoffMs(env, attempt)));
          if (fetch.waiters.length === 0) return null;
        }
        counters.readRetries++;
      }
    }
  }

  async function loadOnce({ block, page }: Fetch): Promise<Uint8Array> {
    const { sliceId, index, lengthBytes, checksums } = block;
    const start = Math.max(0, page) * CHECKSUM_PAGE_BYTES;
    const end = page < 0 ? lengthBytes : Math.min(lengthBytes, start + CHECKSUM_PAGE_BYTES);
    const pool = page < 0 ? deps.blockPool : deps.pagePool;
    const buffer = end - start === pool.sizeBytes ? pool.take() : new Uint8Array(end - start);
    const key = blockKey(prefix, sliceId, index, lengthBytes);
    let bytes: Uint8Array | null = null;
    try {
      const answer = await objects.get(key, page < 0 ? undefined : { start, end }, buffer);
      if (page < 0) counters.blocksRead++;
      else counters.pagesRead++;
      counters.bytesRead += answer.length;
      if (answer.length !== end - start) {
        throw new CorruptBlock(`object ${key} has not the length it was written with`);
      }
      if (!verifyPages(checksums, blockBytes, index, Math.max(0, page), answer)) {
        throw new CorruptBlock(`object ${key} has not the checksums it was written with`);
      }
      bytes = answer.buffer === buffer.buffer ? buffer : answer;
      return bytes;
    } finally {
      if (bytes !== buffer) pool.give(buffer);
    }
  }

  function whatOf({ block }: Fetch): string {
    return `object ${blockKey(prefix, block.sliceId, block.index, block.lengthBytes)}`;
  }

  /** Answers waiters past their deadline. */
  function leaveLate(fetch: Fetch, nowMs: number, why: string): void {
    if (fetch.waiters.length === 0) return;
    const late = fetch.waiters.filter((waiter) => nowMs - waiter.sinceMs >= options.retryDeadlineMs);
    if (late.length === 0) return;
    fetch.waiters = fetch.waiters.filter((waiter) => !late.includes(waiter));
    counters.readFailures += late.length;
    const error = new FsError("EIO", `${whatOf(fetch)} cannot be read: ${why}`);
    env.log("error", error.message);
    for (const waiter of late) waiter.op.fail(error);
  }

  return {
    fetch,
    prefetch,

    /** The block's verified bytes in a buffer of their own. */
    async read(block: BlockRef): Promise<Uint8Array> {
      const cached = cache.block(block.sliceId, block.index);
      if (cached !== null) return cached.slice();
      const fetch: Fetch = { key: 0, block, page: -1, waiters: [], state: "running", isDemand: true };
      const bytes = await loadOnce(fetch);
      const copy = bytes.slice();
      deps.blockPool.give(bytes);
      return copy;
    },

    get isBusy(): boolean {
      return blocks.size + pages.size > 0;
    },

    tick(nowMs: number): void {
      for (const fetch of blocks.values()) leaveLate(fetch, nowMs, "the store does not answer");
      for (const fetch of pages.values()) leaveLate(fetch, nowMs, "the store does not answer");
    },
  };
}

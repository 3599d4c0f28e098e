/**
 * DataPath: file contents of one client. Puts together the writer (file_writer, uploader, committer, object_sync), the
 * reader (file_reader, block_reader, read_ahead) and their shared memory (buffers, block_cache).
 *
 * Promises:
 * - What was written is seen by every later read of this client, at every moment, flushed or not.
 * - No dirty data is dropped before its file is gone: what cannot be stored stays in memory and is tried again, and
 *   every flush fails until it is durable.
 * - Memory is bounded: writers wait (`bufferBytes`), the cache evicts (`cacheBytes`), calls to the stores are limited.
 * - No call waits for ever on a store that is down: reads fail after `retryDeadlineMs`, flushes and writes after their
 *   deadlines; all of them work again when the store does.
 */
import { assert } from "../assert.ts";
import type { Env, Timer, Timespec } from "../env.ts";
import { FsError, NotStoredError } from "../errors.ts";
import { BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, CHECKSUM_PAGE_BYTES } from "../limits.ts";
import type { Durability } from "../meta/store.ts";
import { BlockCache } from "./block_cache.ts";
import { createBlockReader } from "./block_reader.ts";
import { BufferBudget, BufferPool } from "./buffers.ts";
import { createCommitter } from "./committer.ts";
import type { DirtySlice } from "./dirty_slice.ts";
import { createFileReader, viewOfChunk } from "./file_reader.ts";
import { FileState } from "./file_state.ts";
import { createFileWriter, isFull } from "./file_writer.ts";
import type { ObjectStore } from "./object_store.ts";
import { createObjectSyncer } from "./object_sync.ts";
import {
  createCounters,
  DATA_PATH_DEFAULTS,
  type DataCounters,
  type DataPathOptions,
  messageOf,
} from "./options.ts";
import { createReadAhead } from "./read_ahead.ts";
import type { SliceLog } from "./slice_log.ts";
import { createUploader } from "./uploader.ts";

export type { DataCounters, DataPathOptions } from "./options.ts";

const TICK_MS = 250;
/** When all that is left to do is syncing what nobody asked for. */
const LAZY_TICK_MS = 5_000;
/** Unused buffers kept: they are what a burst would have to allocate. */
const FREE_BLOCKS_MAX = 8;
const FREE_PAGES_MAX = 32;
/** Blocks up to this size are kept in the cache when they were written: small files are often read soon. */
const CACHED_WRITE_BYTES_MAX = CHECKSUM_PAGE_BYTES;
/** Files remembered for read-ahead; those with nothing to lose are forgotten beyond. */
const FILES_MAX = 10_000;

export interface DataPathConfig {
  readonly objects: ObjectStore;
  readonly log: SliceLog;
  readonly env: Env;
  /** Put before the object keys: "NAME/" or "". */
  readonly prefix: string;
  readonly blockBytes: number;
  readonly options?: Partial<DataPathOptions>;
}

export interface DataMetrics extends DataCounters {
  readonly dirtyBytes: number;
  readonly dirtyFiles: number;
  readonly cachedBytes: number;
}

export interface DataPath {
  /**
   * Takes the bytes over: nothing is returned when there is memory for them, else a promise, until which `data` must not
   * change. EFBIG past the largest offset; ENOSPC or EIO when there is no memory because the store takes nothing: a part of
   * the data may have been taken then.
   */
  write(ino: number, offset: number, data: Uint8Array): void | Promise<void>;
  /**
   * Fills into[0, length) with the file's bytes from `offset`, zeros where nothing was written; the caller has clipped
   * `length` to the file. The answer is `length`. EIO when the bytes cannot be had or are not those that were written.
   * `into` belongs to the data path until the promise settles.
   */
  read(ino: number, offset: number, length: number, into: Uint8Array): number | Promise<number>;
  /** End of the uncommitted bytes as a file offset, 0 without any. */
  dirtyEnd(ino: number): number;
  /** Time of the last uncommitted write; null without any, or if the user has set mtime since. */
  dirtyMtime(ino: number): Timespec | null;
  hasDirty(ino: number): boolean;
  /** The user sets mtime: writes before now must not change it any more. A flush then waits for commits under way. */
  keepMtime(ino: number): void;
  /**
   * Resolves when everything written before the call is stored and committed; `synced`: and survives power loss. Rejects
   * (EIO, ENOSPC, EDQUOT) while that is not so, every time it is asked; the data stays and is tried again by itself.
   */
  flush(ino: number, durability: Durability): Promise<void>;
  /** As `flush`, for every file. */
  flushAll(durability: Durability): Promise<void>;
  /** The file's length was set, after a flush: what was remembered for reading is dropped. */
  truncate(ino: number, length: number): void;
  /** The file is gone for good: its dirty data and the objects of its uncommitted slices go too. */
  discard(ino: number): void;
  /** Forgets what was remembered for reading. Cached blocks stay: a slice never changes. */
  invalidate(ino: number): void;
  metrics(): DataMetrics;
  /** Flushes and syncs everything, then stops. Rejects with an error that names the inodes that could not be stored. */
  close(): Promise<void>;
}

const DONE: Promise<void> = Promise.resolve();

export function createDataPath(config: DataPathConfig): DataPath {
  const { objects, log, env, blockBytes } = config;
  const options: DataPathOptions = { ...DATA_PATH_DEFAULTS, ...config.options };
  const isPowerOfTwo = (blockBytes & (blockBytes - 1)) === 0;
  assert(
    isPowerOfTwo && blockBytes >= BLOCK_BYTES_MIN && blockBytes <= BLOCK_BYTES_MAX,
    "a valid block size",
  );
  assert(options.bufferBytes >= 2 * blockBytes, "write buffers hold at least two blocks");
  assert(options.uploads >= 1 && options.fetches >= 1, "at least one upload and one fetch at a time");

  const layout = { prefix: config.prefix, blockBytes };
  const counters = createCounters();
  const files = new Map<number, FileState>();
  const dirtyFiles = new Set<FileState>();
  const blockPool = new BufferPool(blockBytes, FREE_BLOCKS_MAX);
  const pagePool = new BufferPool(CHECKSUM_PAGE_BYTES, FREE_PAGES_MAX);
  const budget = new BufferBudget(options.bufferBytes);
  const cache = new BlockCache(options.cacheBytes, blockBytes, blockPool, pagePool);
  /** The store said that it is full, and has not taken anything since. */
  let fullError: FsError | null = null;
  let ticker: Timer | null = null;
  let isClosed = false;
  let releasesSeen = 0;
  let releasedAtMs = 0;

  const reader = createBlockReader({ objects, env, layout, options, counters, cache, blockPool, pagePool });
  const syncer = createObjectSyncer({
    objects,
    env,
    layout,
    options,
    counters,
    readBlock: (sliceId, index, lengthBytes, checksums) =>
      reader.read({ sliceId, index, lengthBytes, checksums }),
  });
  const uploader = createUploader({
    objects,
    log,
    env,
    layout,
    options,
    counters,
    release: releaseBuffer,
    onStored: (file) => committer.pump(file),
    onFailure: (file, error) => {
      if (isFull(error)) fullError = error;
      committer.fail(file, error);
      committer.pump(file); // what is stored before the failing block can still be committed
      failWaitingWrites(env.monotonicMs());
    },
    onRecovery: (file) => {
      if (!file.isCommitFailing) file.error = null;
    },
  });
  const committer = createCommitter({
    log,
    env,
    options,
    counters,
    blockBytes,
    syncer,
    onGone: drop,
    onOrphans: (file, slices) => uploader.drop(file, slices),
    onProgress: (file) => {
      if (file.slices.length === 0) dirtyFiles.delete(file);
      if (file.error !== null) failWaitingWrites(env.monotonicMs());
    },
  });
  const writer = createFileWriter({
    env,
    blockBytes,
    options,
    budget,
    blockPool,
    uploader,
    dirtyFiles,
    onWait: () => failWaitingWrites(env.monotonicMs()),
  });
  const readAhead = createReadAhead({
    log,
    reader,
    blockBytes,
    windowBytesMax: Math.min(options.readAheadBytes, Math.floor(options.cacheBytes / 4)),
    viewOf: viewOfChunk,
  });
  const fileReader = createFileReader({
    log,
    env,
    blockBytes,
    counters,
    cache,
    reader,
    readAhead,
    onUnheld: (file) => committer.pump(file),
  });

  function stateOf(ino: number): FileState {
    let file = files.get(ino);
    if (file === undefined) {
      if (files.size >= FILES_MAX) forgetIdle();
      file = new FileState(ino);
      files.set(ino, file);
    }
    return file;
  }

  function forgetIdle(): void {
    for (const [ino, file] of files) {
      if (file.isIdle) files.delete(ino);
      if (files.size <= FILES_MAX * 3 / 4) return;
    }
  }

  function releaseBuffer(buffer: Uint8Array, sliceId: number, index: number, lengthBytes: number): void {
    if (sliceId !== 0) fullError = null;
    if (buffer.length === blockBytes) blockPool.give(buffer);
    else if (sliceId !== 0 && buffer.length <= CACHED_WRITE_BYTES_MAX) {
      cache.putBlock(sliceId, index, buffer.subarray(0, lengthBytes), false);
    }
    budget.release(buffer.length);
    writer.relieve();
  }

  /** Ends the waiting of writes for which no memory will come. */
  function failWaitingWrites(nowMs: number): void {
    if (!budget.isWaitedFor) return;
    if (budget.releases !== releasesSeen) {
      releasesSeen = budget.releases;
      releasedAtMs = nowMs;
    }
    budget.failWaiters(({ ino, sinceMs }) => {
      const error = files.get(ino)?.error ?? null;
      if (error !== null && isFull(error)) return error;
      if (fullError !== null) return fullError;
      if (nowMs - Math.max(sinceMs, releasedAtMs) < options.writeDeadlineMs) return null;
      return error ?? new FsError("EIO", "the object store takes nothing and the write buffers are full");
    });
  }

  function armTicker(): void {
    if (ticker !== null || isClosed) return;
    const isBusy = dirtyFiles.size > 0 || reader.isBusy || budget.isWaitedFor || committer.isWaitedFor;
    if (!isBusy && !syncer.isWaiting) return;
    ticker = env.timer(isBusy ? TICK_MS : LAZY_TICK_MS, tick);
    tickerIsLazy = !isBusy;
  }
  let tickerIsLazy = false;

  /** As armTicker, for calls that certainly need the fast tick. */
  function armFastTicker(): void {
    if (ticker !== null && !tickerIsLazy) return;
    ticker?.cancel();
    ticker = null;
    armTicker();
  }

  function tick(): void {
    ticker = null;
    const nowMs = env.monotonicMs();
    writer.tick(nowMs);
    writer.relieve();
    reader.tick(nowMs);
    committer.tick(nowMs);
    syncer.tick(nowMs);
    failWaitingWrites(nowMs);
    armTicker();
  }

  /** The file is gone: everything of it that is not committed goes. */
  function drop(file: FileState): void {
    file.isDiscarded = true;
    files.delete(file.ino);
    dirtyFiles.delete(file);
    const committing = new Set(file.committing);
    const dropped: DirtySlice[] = [];
    for (const slice of file.slices) {
      slice.isDropped = true;
      slice.isFrozen = true;
      // What a commit under way is about is known when it ends.
      if (!committing.has(slice)) dropped.push(slice);
    }
    file.openSlices = 0;
    uploader.drop(file, dropped);
    file.removeFirst(file.slices.length);
    committer.drop(file);
    syncer.forget(file);
    file.error = null;
    budget.failWaiters((waiter) =>
      waiter.ino === file.ino ? new FsError("ENOENT", "the file is gone") : null
    );
  }

  return {
    write(ino, offset, data) {
      assert(!isClosed, "no writes after close");
      const waiting = writer.write(stateOf(ino), offset, data);
      armFastTicker();
      return waiting;
    },

    read(ino, offset, length, into) {
      const answer = fileReader.read(stateOf(ino), offset, length, into);
      if (typeof answer !== "number") armFastTicker();
      return answer;
    },

    dirtyEnd: (ino) => files.get(ino)?.end ?? 0,

    dirtyMtime(ino) {
      const file = files.get(ino);
      return file === undefined || file.slices.length === 0 ? null : file.mtime;
    },

    hasDirty: (ino) => (files.get(ino)?.slices.length ?? 0) > 0,

    keepMtime(ino) {
      const file = files.get(ino);
      if (file === undefined) return;
      file.mtime = null;
      for (const slice of file.slices) slice.mtime = null;
    },

    flush(ino, durability) {
      const isSynced = durability === "synced";
      const file = isSynced ? stateOf(ino) : files.get(ino);
      if (file === undefined || (!isSynced && file.slices.length === 0)) return DONE;
      writer.freezeAll(file, true);
      uploader.kick(file);
      const flushed = committer.flush(file, isSynced);
      armFastTicker();
      return flushed;
    },

    truncate(ino, _length) {
      files.get(ino)?.forgetReads();
    },

    discard(ino) {
      const file = files.get(ino);
      if (file !== undefined) drop(file);
    },

    invalidate(ino) {
      files.get(ino)?.forgetReads();
    },

    metrics: () => ({
      ...counters,
      dirtyBytes: budget.usedBytes,
      dirtyFiles: dirtyFiles.size,
      cachedBytes: cache.usedBytes,
    }),

    async flushAll(durability) {
      await Promise.all([...dirtyFiles].map((file) => this.flush(file.ino, "ordered")));
      if (durability === "ordered") return;
      await syncer.syncAll();
      await log.commitSlices(0, [], null, "synced");
    },

    async close() {
      const failed: number[] = [];
      let firstFailure: unknown = null;
      await Promise.all([...dirtyFiles].map((file) =>
        this.flush(file.ino, "ordered").catch((error) => {
          failed.push(file.ino);
          firstFailure ??= error;
        })
      ));
      const unsynced = await syncer.syncAll().then(() => null, (error: unknown) => error);
      isClosed = true;
      ticker?.cancel();
      ticker = null;
      for (const file of files.values()) {
        uploader.stop(file);
        committer.stop(file);
      }
      cache.clear();
      if (failed.length > 0) {
        failed.sort((a, b) => a - b);
        throw new NotStoredError(
          failed,
          `these inodes could not be stored: ${failed.join(", ")} (${messageOf(firstFailure)})`,
          { cause: firstFailure },
        );
      }
      if (unsynced !== null) {
        throw new FsError("EIO", `objects could not be synced: ${messageOf(unsynced)}`, { cause: unsynced });
      }
    },
  };
}

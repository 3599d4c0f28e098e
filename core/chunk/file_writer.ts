/**
 * FileWriter: puts written bytes into dirty slices, finishes slices, and makes writers wait when memory is short.
 *
 * Invariants:
 * - A later write wins: it goes into an older open slice only if no newer slice of the chunk overlaps it.
 * - Writes to one file are applied one after the other, in the order of the calls, also when they have to wait.
 * - Buffers are taken from the budget before they are made, and given back when their block is stored or dropped.
 * - A full block is handed to the uploader at once; the rest of a slice when it is frozen.
 * A write that waits may find any state of the file afterwards: nothing is remembered across the await but how many
 * bytes are done, and the budget already granted (`creditBytes`).
 */
import type { Env } from "../env.ts";
import { FsError } from "../errors.ts";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import type { BufferBudget, BufferPool } from "./buffers.ts";
import { coalesce, type CoalesceDeps } from "./coalesce.ts";
import { DirtySlice } from "./dirty_slice.ts";
import type { FileState } from "./file_state.ts";
import { chunkOf } from "./layout.ts";
import type { DataPathOptions } from "./options.ts";
import type { Uploader } from "./uploader.ts";

/** First buffer of a small slice, and the size up to which it doubles before it becomes a whole block. */
const SMALL_BUFFER_BYTES = 4 << 10;
const SMALL_BUFFER_BYTES_MAX = 256 << 10;
/** How many of a chunk's newest slices are looked at for one that a write can extend. */
const SLICES_SEARCHED_MAX = 256;
/** While somebody waits for memory, this share of the budget is kept on its way to the store. */
const PRESSURE_SHARE = 0.25;

export interface FileWriterDeps {
  readonly env: Env;
  readonly blockBytes: number;
  readonly options: DataPathOptions;
  readonly budget: BufferBudget;
  readonly blockPool: BufferPool;
  readonly uploader: Uploader;
  /** All files with dirty data, those that have it longest first. */
  readonly dirtyFiles: Set<FileState>;
  /** A write began to wait for memory. */
  readonly onWait: () => void;
}

export type FileWriter = ReturnType<typeof createFileWriter>;

export function createFileWriter(deps: FileWriterDeps) {
  const { env, blockBytes, options, budget, blockPool, uploader, dirtyFiles } = deps;

  const joining: CoalesceDeps = {
    blockBytes,
    takeBlock: () => blockPool.take(),
    release(buffers, savedBytes) {
      for (const buffer of buffers) blockPool.give(buffer);
      if (savedBytes > 0) budget.release(savedBytes);
    },
  };

  /** Takes over `data`; a promise when it must wait, until which `data` must not change. */
  function write(file: FileState, offset: number, data: Uint8Array): void | Promise<void> {
    if (offset + data.length > FILE_BYTES_MAX) throw new FsError("EFBIG", "past the largest file offset");
    if (data.length === 0) return;
    if (file.writeTail !== null) return writeLater(file, offset, data, 0);
    const done = take(file, offset, data, 0);
    if (done < data.length) return writeLater(file, offset, data, done);
  }

  /** The rest of a write, after all writes of this file that wait already. */
  function writeLater(file: FileState, offset: number, data: Uint8Array, done: number): Promise<void> {
    const previous = file.writeTail;
    const result = (async () => {
      if (previous !== null) await previous;
      for (done += take(file, offset + done, data, done); done < data.length;) {
        if (file.lackingBytes > 0) await waitForBuffers(file);
        else await waitForCommits(file);
        if (file.isDiscarded) return; // nobody can see it any more
        done += take(file, offset + done, data, done);
      }
    })();
    // A failed write must not fail those behind it.
    const tail = result.catch(() => {}).then(() => {
      returnCredit(file);
      if (file.writeTail === tail) file.writeTail = null;
    });
    file.writeTail = tail;
    return result;
  }

  /** Applies data[from...] at file offset `offset` as far as memory allows; how many bytes were taken. */
  function take(file: FileState, offset: number, data: Uint8Array, from: number): number {
    let done = 0;
    while (from + done < data.length) {
      const chunk = chunkOf(offset + done);
      const position = offset + done - chunk * CHUNK_BYTES;
      const length = Math.min(data.length - from - done, CHUNK_BYTES - position);
      const taken = takeInChunk(file, chunk, position, data, from + done, length);
      done += taken;
      if (taken < length) break;
    }
    return done;
  }

  function takeInChunk(
    file: FileState,
    chunk: number,
    position: number,
    data: Uint8Array,
    from: number,
    length: number,
  ): number {
    const nowMs = env.monotonicMs();
    const known = sliceFor(file, chunk, position, length);
    if (known === null && file.slices.length >= options.uncommittedSlicesMax) {
      file.lackingBytes = 0;
      freezeAll(file, false);
      return 0;
    }
    const slice = known ?? new DirtySlice(file.nextSeq, chunk, position, nowMs);
    const taken = fill(file, slice, position, data, from, length);
    if (taken === 0) return 0;
    if (known === null) {
      file.nextSeq++;
      file.add(slice);
      dirtyFiles.add(file);
    }
    slice.writtenAtMs = nowMs;
    slice.mtime = env.now();
    file.mtime = slice.mtime;
    file.extend(chunk, position + taken);
    queueFullBlocks(file, slice);
    if (slice.end === CHUNK_BYTES) freeze(file, slice, false);
    if (file.openSlices > options.openSlicesMax) freezeAll(file, false);
    return taken;
  }

  /** The open slice that bytes [position, position + length) can go into without passing a newer one. */
  function sliceFor(file: FileState, chunk: number, position: number, length: number): DirtySlice | null {
    const slices = file.ofChunk(chunk);
    const end = position + length;
    const oldest = Math.max(0, slices.length - SLICES_SEARCHED_MAX);
    for (let i = slices.length - 1; i >= oldest; i--) {
      const slice = slices[i] as DirtySlice;
      if (slice.accepts(position, blockBytes)) return slice;
      if (slice.start < end && slice.end > position) return null;
    }
    return null;
  }

  /** Copies into the slice's buffers while there is memory; how many bytes. */
  function fill(
    file: FileState,
    slice: DirtySlice,
    position: number,
    data: Uint8Array,
    from: number,
    length: number,
  ): number {
    let done = 0;
    while (done < length) {
      const inSlice = position + done - slice.start;
      const index = Math.floor(inSlice / blockBytes);
      const inBlock = inSlice - index * blockBytes;
      const count = Math.min(length - done, blockBytes - inBlock);
      const buffer = bufferFor(file, slice, index, inBlock + count);
      if (buffer === null) break;
      const start = from + done;
      buffer.set(start === 0 && count === data.length ? data : data.subarray(start, start + count), inBlock);
      done += count;
      if (inSlice + count > slice.length) slice.length = inSlice + count;
    }
    return done;
  }

  /** The buffer of a block with room for `neededBytes`; null: the budget is exhausted. */
  function bufferFor(
    file: FileState,
    slice: DirtySlice,
    index: number,
    neededBytes: number,
  ): Uint8Array | null {
    const old = slice.blocks[index] ?? null;
    if (old !== null && old.length >= neededBytes) return old;
    const sizeBytes = bufferBytes(index, neededBytes);
    const oldBytes = old?.length ?? 0;
    if (!takeBudget(file, sizeBytes - oldBytes)) return null;
    const buffer = sizeBytes === blockBytes ? blockPool.take() : new Uint8Array(sizeBytes);
    if (old !== null) buffer.set(old);
    slice.blocks[index] = buffer;
    return buffer;
  }

  function bufferBytes(index: number, neededBytes: number): number {
    // Who has filled a block will fill the next one.
    if (index > 0 || neededBytes > SMALL_BUFFER_BYTES_MAX) return blockBytes;
    let size = SMALL_BUFFER_BYTES;
    while (size < neededBytes) size *= 2;
    return Math.min(size, blockBytes);
  }

  function takeBudget(file: FileState, bytes: number): boolean {
    if (file.creditBytes >= bytes) {
      file.creditBytes -= bytes;
      return true;
    }
    if (budget.tryTake(bytes)) return true;
    file.lackingBytes = bytes;
    return false;
  }

  function returnCredit(file: FileState): void {
    const bytes = file.creditBytes;
    file.creditBytes = 0;
    if (bytes > 0) budget.release(bytes);
  }

  function queueFullBlocks(file: FileState, slice: DirtySlice): void {
    while ((slice.queuedBlocks + 1) * blockBytes <= slice.length) {
      uploader.enqueue(file, slice, slice.queuedBlocks, false);
    }
  }

  /** Ends the slice's growth and uploads the rest of it. */
  function freeze(file: FileState, slice: DirtySlice, isUrgent: boolean): void {
    if (slice.isFrozen) return;
    slice.isFrozen = true;
    file.openSlices--;
    while (slice.queuedBlocks < slice.blocks.length) {
      uploader.enqueue(file, slice, slice.queuedBlocks, isUrgent);
    }
  }

  function freezeAll(file: FileState, isUrgent: boolean): void {
    if (file.openSlices === 0) return;
    coalesce(file, joining);
    for (const slice of file.slices) freeze(file, slice, isUrgent);
    file.groupSeq = file.lastSeq;
  }

  /** Waits until `file.lackingBytes` of the budget are granted to the file. */
  function waitForBuffers(file: FileState): Promise<void> {
    const bytes = file.lackingBytes;
    returnCredit(file);
    return new Promise((resolve, reject) => {
      budget.wait({
        ino: file.ino,
        bytes,
        sinceMs: env.monotonicMs(),
        grant: () => {
          file.creditBytes += bytes;
          resolve();
        },
        fail: reject,
      });
      relieve();
      deps.onWait();
    });
  }

  /** Waits until the file has room for another slice, or fails when it gets none for too long. */
  async function waitForCommits(file: FileState): Promise<void> {
    const sinceMs = env.monotonicMs();
    while (file.slices.length >= options.uncommittedSlicesMax && !file.isDiscarded) {
      if (file.error !== null && isFull(file.error)) throw file.error;
      if (env.monotonicMs() - Math.max(sinceMs, file.progressAtMs) >= options.writeDeadlineMs) {
        throw file.error ?? new FsError("EIO", `inode ${file.ino}: the store does not answer`);
      }
      await new Promise<void>((resolve) => file.onRoom.push(resolve));
    }
  }

  /** Memory is short: finishes slices, oldest files first, until enough is on its way to the store. */
  function relieve(): void {
    if (!budget.isWaitedFor) return;
    for (const file of dirtyFiles) {
      if (uploader.queuedBytes >= budget.limitBytes * PRESSURE_SHARE) return;
      freezeAll(file, false);
    }
  }

  return {
    write,
    freezeAll,
    relieve,

    /** Finishes slices that are old or idle; wakes writes that may have waited too long. */
    tick(nowMs: number): void {
      for (const file of dirtyFiles) {
        // Those who wait look at the time themselves.
        for (const onRoom of file.onRoom.splice(0)) onRoom();
        if (file.openSlices === 0) continue;
        for (const slice of file.slices) {
          if (slice.isFrozen) continue;
          const isDue = nowMs - slice.createdAtMs >= options.sliceAgeMs ||
            nowMs - slice.writtenAtMs >= options.sliceIdleMs;
          if (isDue) {
            freezeAll(file, false);
            break;
          }
        }
      }
    },
  };
}

/** Waiting does not help: somebody has to make room. */
export function isFull(error: FsError): boolean {
  return error.code === "ENOSPC" || error.code === "EDQUOT";
}

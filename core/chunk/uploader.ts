/**
 * Uploader: carries blocks of dirty slices to the object store, a bounded number at a time, and never gives one up while
 * its file exists.
 *
 * Invariants:
 * - A queued block's buffer is changed by nobody and released exactly once: when its block is stored, or when the slice
 *   was dropped and no put of it is under way.
 * - A block that a put may still be reading keeps its buffer until the put settles.
 * - A job that failed is parked on a timer; a flush wakes it at once. The user is told (`onFailure`) when the error is
 *   not a passing one, or has not passed by the deadline, and again after every further attempt.
 * At the awaits (slice id, put) anything may happen to the file: writes, freezes, commits of earlier slices, discard.
 */
import type { Env } from "../env.ts";
import { type FsError, StoreError } from "../errors.ts";
import { Fifo } from "./buffers.ts";
import { writeBlockChecksums } from "./checksum.ts";
import type { DirtySlice } from "./dirty_slice.ts";
import type { FileState, UploadJob } from "./file_state.ts";
import { blockKey, blockLength, type Layout } from "./layout.ts";
import type { ObjectStore } from "./object_store.ts";
import { asFsError, backoffMs, type DataCounters, type DataPathOptions, messageOf } from "./options.ts";
import type { SliceLog } from "./slice_log.ts";

export interface UploaderDeps {
  readonly objects: ObjectStore;
  readonly log: SliceLog;
  readonly env: Env;
  readonly layout: Layout;
  readonly options: DataPathOptions;
  readonly counters: DataCounters;
  /** Takes the buffer of a block that is stored (`sliceId` is its slice's), or of one that is garbage (0). */
  readonly release: (buffer: Uint8Array, sliceId: number, index: number, lengthBytes: number) => void;
  /** All blocks of a slice are stored. */
  readonly onStored: (file: FileState) => void;
  readonly onFailure: (file: FileState, error: FsError) => void;
  /** The last job that the user was told of has succeeded. */
  readonly onRecovery: (file: FileState) => void;
}

export type Uploader = ReturnType<typeof createUploader>;

export function createUploader(deps: UploaderDeps) {
  const { objects, log, env, layout, options, counters } = deps;
  const { blockBytes, prefix } = layout;
  const queue = new Fifo<UploadJob>();
  /** Blocks that a flush waits for go first. */
  const urgent = new Fifo<UploadJob>();
  let active = 0;
  let queuedBytes = 0;
  let isClosed = false;

  /** Hands block `index` over; its bytes are final. */
  function enqueue(file: FileState, slice: DirtySlice, index: number, isUrgent: boolean): void {
    slice.prepareChecksums(blockBytes);
    slice.queuedBlocks++;
    queuedBytes += slice.blocks[index]?.length ?? 0;
    const job: UploadJob = {
      file,
      slice,
      index,
      state: "queued",
      attempts: 0,
      firstFailureMs: NaN,
      isFailing: false,
      timer: null,
    };
    file.jobs.add(job);
    (isUrgent ? urgent : queue).push(job);
    startMore();
  }

  function startMore(): void {
    while (active < options.uploads) {
      const job = urgent.shift() ?? queue.shift();
      if (job === undefined) return;
      // Dropped while queued, or queued twice (woken from the park while a flush made it urgent).
      if (job.state !== "queued" || !job.file.jobs.has(job)) continue;
      job.state = "running";
      active++;
      run(job);
    }
  }

  async function run(job: UploadJob): Promise<void> {
    const { slice, index } = job;
    const length = blockLength(slice.length, blockBytes, index);
    const body = (slice.blocks[index] as Uint8Array).subarray(0, length); // held until the put settles
    let failure: unknown = null;
    try {
      if (slice.sliceId === 0) await giveId(slice);
      if (!slice.isDropped) {
        writeBlockChecksums(slice.checksums, blockBytes, index, body);
        await objects.put(blockKey(prefix, slice.sliceId, index, length), body);
      }
    } catch (error) {
      failure = error ?? new Error("failed without an error");
    }
    active--;
    if (failure === null) stored(job, length);
    else failed(job, failure);
    startMore();
  }

  /** One id per slice, however many of its blocks ask at the same time. */
  function giveId(slice: DirtySlice): Promise<void> | void {
    if (slice.idRequest !== null) return slice.idRequest;
    const answer = log.newSliceId();
    if (typeof answer === "number") {
      slice.sliceId = answer;
      return;
    }
    slice.idRequest = answer.then((sliceId) => {
      slice.sliceId = sliceId;
    }).finally(() => {
      slice.idRequest = null;
    });
    return slice.idRequest;
  }

  function hasRunning(file: FileState, slice: DirtySlice): boolean {
    for (const job of file.jobs) if (job.slice === slice) return true;
    return false;
  }

  function finish(job: UploadJob): void {
    const { file, slice, index } = job;
    const buffer = slice.blocks[index] as Uint8Array;
    file.jobs.delete(job);
    queuedBytes -= buffer.length;
    slice.blocks[index] = null;
  }

  function stored(job: UploadJob, length: number): void {
    const { file, slice, index } = job;
    const buffer = slice.blocks[index] as Uint8Array;
    finish(job);
    if (slice.isDropped) {
      deps.release(buffer, 0, index, length);
      if (slice.sliceId !== 0) {
        deleteQuietly(
          [blockKey(prefix, slice.sliceId, index, length)],
          hasRunning(file, slice) ? [] : [slice.sliceId],
        );
      }
      return;
    }
    counters.uploads++;
    counters.bytesUploaded += length;
    slice.storedBlocks++;
    file.progressAtMs = env.monotonicMs();
    deps.release(buffer, slice.sliceId, index, length);
    if (job.isFailing) {
      job.isFailing = false;
      file.failingJobs--;
      if (file.failingJobs === 0) deps.onRecovery(file);
    }
    if (slice.isStored) deps.onStored(file);
  }

  function failed(job: UploadJob, error: unknown): void {
    const { file, slice } = job;
    counters.uploadFailures++;
    if (slice.isDropped || isClosed) {
      const buffer = slice.blocks[job.index] as Uint8Array;
      finish(job);
      return deps.release(buffer, 0, job.index, 0);
    }
    const nowMs = env.monotonicMs();
    job.attempts++;
    if (Number.isNaN(job.firstFailureMs)) job.firstFailureMs = nowMs;
    job.state = "parked";
    job.timer = env.timer(backoffMs(env, job.attempts), () => wake(job, false));
    const mayPass = error instanceof StoreError && error.kind === "retry";
    if (mayPass && nowMs - job.firstFailureMs < options.retryDeadlineMs) return;
    if (!job.isFailing) {
      job.isFailing = true;
      file.failingJobs++;
    }
    deps.onFailure(file, asFsError(error, `inode ${file.ino} is not stored`));
  }

  function wake(job: UploadJob, isUrgent: boolean): void {
    if (job.state !== "parked" || isClosed) return;
    job.timer?.cancel();
    job.timer = null;
    job.state = "queued";
    (isUrgent ? urgent : queue).push(job);
    startMore();
  }

  /** Best effort: the ids are on record, so objects that stay are found by the collector. */
  async function deleteQuietly(keys: string[], sliceIds: readonly number[]): Promise<void> {
    try {
      await objects.delete(keys);
      for (const sliceId of sliceIds) log.dropSliceId?.(sliceId);
    } catch (error) {
      env.log("warn", `objects of a removed file were not deleted: ${messageOf(error)}`);
    }
  }

  /**
   * The file is gone: forgets its blocks and deletes those that are stored. The slices must be marked as dropped before;
   * a put that is under way deletes its object itself when it ends.
   */
  function drop(file: FileState, slices: readonly DirtySlice[]): void {
    const underWay = new Set<DirtySlice>();
    for (const job of [...file.jobs]) {
      if (job.state === "running") {
        underWay.add(job.slice);
        continue;
      }
      job.timer?.cancel();
      const buffer = job.slice.blocks[job.index] as Uint8Array;
      finish(job);
      deps.release(buffer, 0, job.index, 0);
    }
    file.failingJobs = 0;
    const keys: string[] = [];
    const sliceIds: number[] = [];
    for (const slice of slices) {
      for (let i = 0; i < slice.blocks.length; i++) {
        const buffer = slice.blocks[i];
        if (buffer) {
          if (i < slice.queuedBlocks) continue; // under way
          slice.blocks[i] = null;
          deps.release(buffer, 0, i, 0);
        } else if (slice.sliceId !== 0) {
          // Stored, or tried: a put that failed may have stored it all the same.
          keys.push(blockKey(prefix, slice.sliceId, i, blockLength(slice.length, blockBytes, i)));
        }
      }
      if (slice.sliceId !== 0 && !underWay.has(slice)) sliceIds.push(slice.sliceId);
    }
    if (keys.length > 0 || sliceIds.length > 0) deleteQuietly(keys, sliceIds);
  }

  return {
    enqueue,
    drop,
    /** Tries the file's failed blocks again now. */
    kick(file: FileState): void {
      for (const job of file.jobs) wake(job, true);
    },
    /** Bytes of buffers that are on their way. */
    get queuedBytes(): number {
      return queuedBytes;
    },
    /** The data path closes: no more attempts. */
    stop(file: FileState): void {
      isClosed = true;
      for (const job of file.jobs) job.timer?.cancel();
    },
  };
}

/**
 * Committer: puts finished slices into the file's slice lists, in write order, and answers flushes.
 *
 * Invariants:
 * - Objects first: a slice is committed only when all its blocks are stored; for a synced commit also synced.
 * - Per file one commit at a time, of the longest stored run at the head of the write order; so what is committed is
 *   always a prefix of what was written, and a later write never lands below an earlier one.
 * - A slice leaves the file's `slices` only after its commit resolved (FileState.generation changes then). Readers rely
 *   on it: see file_reader.ts.
 * - A flush resolves only when everything written before it is committed; if that fails it rejects, each time it is
 *   asked, and trying goes on in the background.
 * At the awaits of `pump` anything may happen to the file except another commit.
 */
import type { Env, Timespec } from "../env.ts";
import { FsError, StoreError } from "../errors.ts";
import type { Durability } from "../meta/store.ts";
import { checksumsLength } from "./checksum.ts";
import type { DirtySlice } from "./dirty_slice.ts";
import type { FileState, FlushWaiter } from "./file_state.ts";
import type { ObjectSyncer } from "./object_sync.ts";
import { asFsError, backoffMs, type DataCounters, type DataPathOptions } from "./options.ts";
import type { NewSlice, SliceLog } from "./slice_log.ts";

export interface CommitterDeps {
  readonly log: SliceLog;
  readonly env: Env;
  readonly options: DataPathOptions;
  readonly counters: DataCounters;
  readonly blockBytes: number;
  readonly syncer: ObjectSyncer;
  /** The metadata says that the file is gone for good. */
  readonly onGone: (file: FileState) => void;
  /** The file was dropped while these slices were being committed, and they were not: their objects are garbage. */
  readonly onOrphans: (file: FileState, slices: readonly DirtySlice[]) => void;
  /** Slices were committed, or the state of trouble changed. */
  readonly onProgress: (file: FileState) => void;
}

export type Committer = ReturnType<typeof createCommitter>;

export function createCommitter(deps: CommitterDeps) {
  const { log, env, options, counters, syncer } = deps;
  /** Files that somebody waits for, or did lately. */
  const waited = new Set<FileState>();

  /** Commits what can be committed. Called whenever that may have changed. */
  async function pump(file: FileState): Promise<void> {
    if (file.isPumping || file.commitTimer !== null) return;
    file.isPumping = true;
    try {
      while (file.commitHolds === 0 && !file.isDiscarded) {
        const ready = storedCount(file);
        const covered = ready === 0 ? committedSeq(file) : (file.slices[ready - 1] as DirtySlice).seq;
        // Slices frozen together are one commit if they can be: wait for the rest, unless there is trouble.
        const wanted = wantedSeq(file);
        if (wanted > covered && file.failingJobs === 0) break;
        const synced = file.waiters.some((waiter) => waiter.synced && waiter.target <= covered);
        if (ready === 0 && !synced) {
          // Asked for what was committed already.
          settleWaiters(file, covered, false);
          break;
        }
        await commitFirst(file, ready, synced ? "synced" : "ordered");
        if (file.isDiscarded) break;
        settleWaiters(file, covered, synced);
      }
    } catch (error) {
      commitFailed(file, error);
    } finally {
      file.isPumping = false;
      deps.onProgress(file);
    }
  }

  /** Slices at the head of the write order that are stored. */
  function storedCount(file: FileState): number {
    let count = 0;
    for (const slice of file.slices) {
      if (!slice.isStored) break;
      count++;
    }
    return count;
  }

  function committedSeq(file: FileState): number {
    return (file.slices[0]?.seq ?? file.nextSeq) - 1;
  }

  function wantedSeq(file: FileState): number {
    let wanted = file.groupSeq;
    for (const waiter of file.waiters) wanted = Math.max(wanted, waiter.target);
    return wanted;
  }

  async function commitFirst(file: FileState, count: number, durability: Durability): Promise<void> {
    // A copy: the file's own list grows meanwhile.
    const batch = file.slices.slice(0, count);
    if (durability === "synced") {
      await syncer.sync(file, batch);
      if (file.isDiscarded) return;
    }
    // Taken after the last await before the commit: the user may just have set mtime.
    const mtime: Timespec | null = file.mtimeOfFirst(count);
    const slices = batch.map((slice) => newSlice(slice));
    counters.commits++;
    file.committing = batch;
    await log.commitSlices(file.ino, slices, mtime, durability);
    file.committing = [];
    counters.slicesCommitted += count;
    file.commitAttempts = 0;
    file.commitFirstFailureMs = NaN;
    file.isCommitFailing = false;
    file.progressAtMs = env.monotonicMs();
    if (file.isDiscarded) return;
    if (count > 0) file.removeFirst(count);
    if (durability === "synced") syncer.synced(file);
    else syncer.committed(file, slices);
    if (file.failingJobs === 0) file.error = null;
    for (const onRoom of file.onRoom.splice(0)) onRoom();
  }

  function newSlice(slice: DirtySlice): NewSlice {
    const { chunk, start, sliceId, length, checksums } = slice;
    const size = checksumsLength(length, deps.blockBytes);
    return { chunk, pos: start, sliceId, size: length, checksums: checksums.slice(0, size) };
  }

  function commitFailed(file: FileState, error: unknown): void {
    const slices = file.committing;
    file.committing = [];
    if (file.isDiscarded) return deps.onOrphans(file, slices);
    if (error instanceof FsError && error.code === "ENOENT") {
      env.log("warn", `inode ${file.ino} is gone; what was written to it last is dropped`);
      for (const waiter of file.waiters.splice(0)) waiter.reject(error);
      return deps.onGone(file);
    }
    counters.commitFailures++;
    file.commitAttempts++;
    const nowMs = env.monotonicMs();
    if (Number.isNaN(file.commitFirstFailureMs)) file.commitFirstFailureMs = nowMs;
    file.commitTimer = env.timer(backoffMs(env, file.commitAttempts), () => retryCommit(file));
    const mayPass = error instanceof StoreError && error.kind === "retry";
    if (mayPass && nowMs - file.commitFirstFailureMs < options.retryDeadlineMs) return;
    file.isCommitFailing = true;
    fail(file, asFsError(error, `inode ${file.ino} is not committed`));
  }

  function retryCommit(file: FileState): void {
    file.commitTimer?.cancel();
    file.commitTimer = null;
    pump(file);
  }

  /** Notes why the file is not durable and tells everybody who waits for it. */
  function fail(file: FileState, error: FsError): void {
    if (file.error === null) env.log("error", error.message);
    file.error = error;
    for (const waiter of file.waiters.splice(0)) waiter.reject(error);
    for (const onRoom of file.onRoom.splice(0)) onRoom();
    deps.onProgress(file);
  }

  function settleWaiters(file: FileState, covered: number, synced: boolean): void {
    if (file.waiters.length === 0) return;
    const settled: FlushWaiter[] = [];
    file.waiters = file.waiters.filter((waiter) => {
      const isSettled = waiter.target <= covered && (synced || !waiter.synced);
      if (isSettled) settled.push(waiter);
      return !isSettled;
    });
    for (const waiter of settled) waiter.resolve();
  }

  return {
    pump,
    fail,

    /** Resolves when everything up to the last slice of now is committed. All its slices must be frozen. */
    flush(file: FileState, synced: boolean): Promise<void> {
      return new Promise<void>((resolve, reject) => {
        if (file.waiters.length === 0) file.progressAtMs = env.monotonicMs();
        waited.add(file);
        file.waiters.push({ target: file.lastSeq, synced, resolve, reject });
        if (file.commitTimer !== null) retryCommit(file);
        else pump(file);
      });
    },

    /** The data path closes: no more attempts. */
    stop(file: FileState): void {
      file.commitTimer?.cancel();
      file.commitTimer = null;
    },

    /** Ends all waiting on a file that is gone: there is nothing left to make durable. */
    drop(file: FileState): void {
      file.commitTimer?.cancel();
      file.commitTimer = null;
      for (const waiter of file.waiters.splice(0)) waiter.resolve();
      for (const onRoom of file.onRoom.splice(0)) onRoom();
    },

    /** Rejects flushes of files where nothing has moved for too long; what is under way goes on. */
    tick(nowMs: number): void {
      for (const file of waited) {
        if (file.waiters.length === 0) waited.delete(file);
        else if (nowMs - file.progressAtMs >= options.stallMs) {
          fail(file, new FsError("EIO", `inode ${file.ino} is not stored: the store does not answer`));
        }
      }
    },

    get isWaitedFor(): boolean {
      return waited.size > 0;
    },
  };
}

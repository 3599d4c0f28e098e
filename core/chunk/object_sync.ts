/**
 * ObjectSyncer: makes stored objects survive power loss.
 *
 * Invariants:
 * - `file.unsynced` names every committed slice of this client whose objects no sync has covered.
 * - After a sync that failed for good the objects are stored again, from bytes whose checksums hold, before a sync may succeed: an
 *   operating system that failed to write a page back may call it clean afterwards and forget it
 *   (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
 * - Nobody has to ask: what was committed without a sync is synced in the background when it is old. By then the
 *   system has mostly written it, and the list stays short.
 */
import type { Env } from "../env.ts";
import { StoreError } from "../errors.ts";
import type { DirtySlice } from "./dirty_slice.ts";
import type { FileState, UnsyncedSlice } from "./file_state.ts";
import { blockCount, blockKey, blockLength, type Layout, sliceKeys } from "./layout.ts";
import type { ObjectStore } from "./object_store.ts";
import { type DataCounters, type DataPathOptions, messageOf } from "./options.ts";

/** Slices that may wait for a lazy sync, over all files; beyond, the oldest are synced early. */
const UNSYNCED_MAX = 100_000;
/** Slices in one lazy sync. */
const LAZY_BATCH_SLICES = 1_000;
/** After a lazy sync that failed. */
const PAUSE_MS = 30_000;

export interface ObjectSyncerDeps {
  readonly objects: ObjectStore;
  readonly env: Env;
  readonly layout: Layout;
  readonly options: DataPathOptions;
  readonly counters: DataCounters;
  /** The verified bytes of a block, from memory if they are there. */
  readonly readBlock: (
    sliceId: number,
    index: number,
    lengthBytes: number,
    checksums: Uint8Array,
  ) => Promise<Uint8Array>;
}

export type ObjectSyncer = ReturnType<typeof createObjectSyncer>;

type StoredSlice = Pick<UnsyncedSlice, "sliceId" | "size" | "checksums">;

export function createObjectSyncer(deps: ObjectSyncerDeps) {
  const { objects, env, layout, options, counters } = deps;
  /** Files with unsynced slices, those that wait longest first. */
  const files = new Set<FileState>();
  let total = 0;
  let isLazyRunning = false;
  let pausedUntilMs = 0;

  async function syncSlices(file: FileState, slices: readonly StoredSlice[]): Promise<void> {
    if (slices.length === 0) return;
    const failuresBefore = file.syncFailures;
    try {
      for (const slice of slices) {
        if (!file.suspectSlices.has(slice.sliceId)) continue;
        await storeAgain(slice);
        file.suspectSlices.delete(slice.sliceId);
      }
      await objects.sync(slices.flatMap(({ sliceId, size }) => sliceKeys(layout, sliceId, size)));
    } catch (error) {
      counters.syncFailures++;
      const mayPass = error instanceof StoreError && error.kind === "retry";
      if (!mayPass) {
        file.syncFailures++;
        for (const { sliceId } of slices) file.suspectSlices.add(sliceId);
      }
      throw error;
    }
    counters.slicesSynced += slices.length;
    if (file.syncFailures !== failuresBefore) {
      // Another sync of this file failed meanwhile: ours may have succeeded only because that one took the error.
      for (const { sliceId } of slices) file.suspectSlices.add(sliceId);
      throw new StoreError("retry", "a sync of the same objects failed");
    }
  }

  async function storeAgain({ sliceId, size, checksums }: StoredSlice): Promise<void> {
    for (let index = 0; index < blockCount(size, layout.blockBytes); index++) {
      const length = blockLength(size, layout.blockBytes, index);
      const bytes = await deps.readBlock(sliceId, index, length, checksums);
      await objects.put(blockKey(layout.prefix, sliceId, index, length), bytes);
    }
  }

  function forget(file: FileState): void {
    total -= file.unsynced.length;
    file.unsynced = [];
    files.delete(file);
  }

  /** Syncs the files whose objects have waited for long enough, each at most once. */
  async function syncOldest(nowMs: number): Promise<void> {
    isLazyRunning = true;
    try {
      for (let left = files.size; left > 0; left--) {
        const [file] = files;
        if (file === undefined) break;
        if (total <= UNSYNCED_MAX && nowMs - file.unsyncedSinceMs < options.lazySyncMs) break;
        const batch = file.unsynced.slice(0, LAZY_BATCH_SLICES);
        // Moved to the end: whatever happens, the others get their turn.
        files.delete(file);
        files.add(file);
        file.unsyncedSinceMs = nowMs;
        await syncSlices(file, batch);
        // A synced commit or a discard may have emptied the list meanwhile, and commits may have added to it.
        const done = new Set(batch);
        const unsynced = file.unsynced.filter((slice) => !done.has(slice));
        total -= file.unsynced.length - unsynced.length;
        file.unsynced = unsynced;
        if (unsynced.length === 0) forget(file);
      }
    } catch (error) {
      pausedUntilMs = env.monotonicMs() + PAUSE_MS;
      env.log("warn", `objects could not be synced in the background: ${messageOf(error)}`);
    } finally {
      isLazyRunning = false;
    }
  }

  return {
    /** Syncs every object of the file's committed slices and of `batch`, which is to be committed next. */
    sync(file: FileState, batch: readonly DirtySlice[]): Promise<void> {
      const stored = batch.map(({ sliceId, length, checksums }) => ({ sliceId, size: length, checksums }));
      return syncSlices(file, [...file.unsynced, ...stored]);
    },

    /** The commit that followed `sync` resolved. Per file commits do not overlap, so nothing was added in between. */
    synced: forget,

    /** Slices were committed without a sync. */
    committed(file: FileState, slices: readonly StoredSlice[]): void {
      if (slices.length === 0) return;
      if (file.unsynced.length === 0) {
        file.unsyncedSinceMs = env.monotonicMs();
        files.add(file);
      }
      for (const { sliceId, size, checksums } of slices) file.unsynced.push({ sliceId, size, checksums });
      total += slices.length;
    },

    forget,

    /** Syncs everything; rejects with the first failure. */
    async syncAll(): Promise<void> {
      for (const file of [...files]) {
        const batch = file.unsynced;
        await syncSlices(file, batch);
        if (file.unsynced === batch) forget(file);
      }
    },

    get isWaiting(): boolean {
      return files.size > 0;
    },

    tick(nowMs: number): void {
      if (!isLazyRunning && files.size > 0 && nowMs >= pausedUntilMs) syncOldest(nowMs);
    },
  };
}

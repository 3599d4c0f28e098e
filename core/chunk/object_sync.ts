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
/** Slices in one call of sync, where they are of many files. */
const BATCH_SLICES = 1_000;
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

/** Slices of one file. */
interface Part {
  readonly file: FileState;
  readonly slices: readonly StoredSlice[];
}

type StoredSlice = Pick<UnsyncedSlice, "sliceId" | "size" | "checksums">;

export function createObjectSyncer(deps: ObjectSyncerDeps) {
  const { objects, env, layout, options, counters } = deps;
  /** Files with unsynced slices, those that wait longest first. */
  const files = new Set<FileState>();
  let total = 0;
  let isLazyRunning = false;
  let pausedUntilMs = 0;

  /** Syncs slices of several files in one call; if that fails, it has failed for all of them. */
  async function syncParts(parts: readonly Part[]): Promise<void> {
    const failuresBefore = parts.map(({ file }) => file.syncFailures);
    const keys: string[] = [];
    try {
      for (const { file, slices } of parts) {
        for (const slice of slices) {
          if (file.suspectSlices.has(slice.sliceId)) {
            await storeAgain(slice);
            file.suspectSlices.delete(slice.sliceId);
          }
          keys.push(...sliceKeys(layout, slice.sliceId, slice.size));
        }
      }
      if (keys.length > 0) await objects.sync(keys);
    } catch (error) {
      counters.syncFailures++;
      const mayPass = error instanceof StoreError && error.kind === "retry";
      if (!mayPass) parts.forEach(suspect);
      throw error;
    }
    // Another sync of a file failed meanwhile: ours may have succeeded only because that one took the error.
    const doubtful = parts.filter(({ file }, i) => file.syncFailures !== failuresBefore[i]);
    doubtful.forEach(suspect);
    if (doubtful.length > 0) throw new StoreError("retry", "a sync of the same objects failed");
    for (const { slices } of parts) counters.slicesSynced += slices.length;
  }

  function suspect({ file, slices }: Part): void {
    file.syncFailures++;
    for (const { sliceId } of slices) file.suspectSlices.add(sliceId);
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

  /** Takes slices that were synced off their files' lists, to which commits may have added meanwhile. */
  function settle(parts: readonly Part[]): void {
    for (const { file, slices } of parts) {
      const done = new Set<StoredSlice>(slices);
      const left = file.unsynced.filter((slice) => !done.has(slice));
      total -= file.unsynced.length - left.length;
      file.unsynced = left;
      if (left.length === 0) files.delete(file);
    }
  }

  /** Up to BATCH_SLICES of the slices that wait longest, of the files for which `isWanted` holds. */
  function nextParts(isWanted: (file: FileState) => boolean): Part[] {
    const parts: Part[] = [];
    let count = 0;
    for (const file of files) {
      if (count >= BATCH_SLICES || !isWanted(file)) break;
      const slices = file.unsynced.slice(0, BATCH_SLICES - count);
      parts.push({ file, slices });
      count += slices.length;
    }
    return parts;
  }

  /** Syncs what has waited for long enough. */
  async function syncOld(nowMs: number): Promise<void> {
    isLazyRunning = true;
    try {
      for (;;) {
        const isOld = (file: FileState) => nowMs - file.unsyncedSinceMs >= options.lazySyncMs;
        const parts = nextParts((file) => total > UNSYNCED_MAX || isOld(file));
        if (parts.length === 0) break;
        await syncParts(parts);
        settle(parts);
      }
    } catch (error) {
      pausedUntilMs = env.monotonicMs() + PAUSE_MS;
      env.log("warn", `objects could not be synced in the background: ${messageOf(error)}`);
      // The others get their turn before those that failed.
      const [first] = files;
      if (first !== undefined) {
        files.delete(first);
        files.add(first);
      }
    } finally {
      isLazyRunning = false;
    }
  }

  return {
    /** Syncs every object of the file's committed slices and of `batch`, which is to be committed next. */
    sync(file: FileState, batch: readonly DirtySlice[]): Promise<void> {
      const stored = batch.map(({ sliceId, length, checksums }) => ({ sliceId, size: length, checksums }));
      return syncParts([{ file, slices: [...file.unsynced, ...stored] }]);
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

    /** Syncs everything that was committed before the call; rejects with the first failure. */
    async syncAll(): Promise<void> {
      const waiting = [...files].map((file) => ({ file, slices: [...file.unsynced] }));
      for (let i = 0; i < waiting.length;) {
        const parts: Part[] = [];
        for (let count = 0; i < waiting.length && count < BATCH_SLICES; i++) {
          const part = waiting[i] as Part;
          parts.push(part);
          count += part.slices.length;
        }
        await syncParts(parts);
        settle(parts);
      }
    },

    get isWaiting(): boolean {
      return files.size > 0;
    },

    tick(nowMs: number): void {
      if (!isLazyRunning && files.size > 0 && nowMs >= pausedUntilMs) syncOld(nowMs);
    },
  };
}

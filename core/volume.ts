/**
 * A volume put together: metadata engine, data path, VFS and background jobs over two stores. Used by the mount command,
 * by the library (mod.ts) and by tests; it opens no store itself and closes none.
 */
import { createDataPath, type DataPathOptions } from "./chunk/data_path.ts";
import type { ObjectStore } from "./chunk/object_store.ts";
import { deleteOrphans, deleteSliceObjects } from "./chunk/object_deletion.ts";
import type { Env } from "./env.ts";
import { FsError } from "./errors.ts";
import { startReclaimer } from "./jobs/reclaim.ts";
import { startSessions } from "./jobs/sessions.ts";
import type { EngineOptions } from "./meta/context.ts";
import { openEngine } from "./meta/engine.ts";
import { readFormat, type VolumeFormat } from "./meta/format.ts";
import type { SessionInfo } from "./meta/session.ts";
import type { DeleteOrphans } from "./meta/stale.ts";
import type { MetaStore } from "./meta/store.ts";
import { readUsage } from "./meta/usage.ts";
import type { AtimeMode } from "./vfs/atime.ts";
import type { Vfs } from "./vfs/types.ts";
import { createVfs } from "./vfs/vfs.ts";

export {
  EXIT_NOT_FORMATTED,
  type FormatSettings,
  formatVolume,
  readFormat,
  type VolumeFormat,
} from "./meta/format.ts";

/** Period of the reclaim job when nothing wakes it. */
const RECLAIM_PERIOD_MS = 60_000;
const RECLAIM_WAKE_MS = 1000;

export interface VolumeOptions {
  /** Who this client is, for `status`. */
  readonly client: Omit<SessionInfo, "startedAt" | "readOnly">;
  readonly readOnly?: boolean;
  /** Check permissions in the VFS; off where the kernel does (`default_permissions`). */
  readonly checkPermissions?: boolean;
  /** When reads set access times; default `relatime`. A read-only client never does. */
  readonly atime?: AtimeMode;
  /** Reads of directories set no access times. */
  readonly nodiratime?: boolean;
  readonly engine?: Partial<Omit<EngineOptions, "capacityBytes" | "inodesMax">>;
  readonly data?: Partial<DataPathOptions>;
  /** How long data of removed files is kept for readers on other clients, s; default 0. */
  readonly deleteDelaySec?: number;
}

export interface VolumeParts {
  readonly meta: MetaStore;
  readonly objects: ObjectStore;
  readonly format: VolumeFormat;
  readonly env: Env;
  readonly options: VolumeOptions;
}

export interface Volume {
  readonly format: VolumeFormat;
  readonly session: number;
  readonly vfs: Vfs;
  /** Deletes the data of removed files now. */
  reclaim(): Promise<void>;
  /** Everything written so far, by all handles, is stored and committed; `synced` also survives power loss. */
  flush(durability: "ordered" | "synced"): Promise<void>;
  /** Flushes, ends the jobs and the session. Rejects if data could not be stored; it says which files, and everything
   *  else is closed all the same. The stores stay open. */
  close(): Promise<void>;
}

export async function openVolume(parts: VolumeParts): Promise<Volume> {
  const { meta, objects, format, env, options } = parts;
  const readOnly = options.readOnly ?? false;
  const engine = await openEngine({
    store: meta,
    env,
    session: { ...options.client, ...(readOnly ? { readOnly } : {}) },
    options: { ...options.engine, capacityBytes: format.capacityBytes, inodesMax: format.inodesMax },
  });
  const prefix = `${format.name}/`;
  const data = createDataPath({
    objects,
    log: engine.sliceLog,
    env,
    prefix,
    blockBytes: format.blockBytes,
    options: options.data,
  });
  const reclaimer = startReclaimer({
    engine,
    env,
    deleteObjects: (slices) => deleteSliceObjects(objects, { prefix, blockBytes: format.blockBytes }, slices),
    delaySec: options.deleteDelaySec ?? 0,
    periodMs: RECLAIM_PERIOD_MS,
    wakeMs: RECLAIM_WAKE_MS,
  });
  const dropOrphans: DeleteOrphans = (range, isKnown) => deleteOrphans(objects, prefix, range, isKnown);
  const sessions = startSessions({
    engine,
    env,
    deleteOrphans: dropOrphans,
    wakeReclaim: reclaimer.wake,
    readOnly,
  });
  const vfs = createVfs({
    engine,
    data,
    env,
    options: {
      readOnly,
      checkPermissions: options.checkPermissions ?? false,
      acl: format.acl,
      atime: readOnly ? "noatime" : options.atime ?? "relatime",
      nodiratime: options.nodiratime ?? false,
    },
    capacity: async () => await objects.capacity?.().catch(() => null) ?? null,
    wakeReclaim: reclaimer.wake,
  });
  return {
    format,
    session: engine.session,
    vfs,
    reclaim: reclaimer.run,
    flush: (durability) => data.flushAll(durability),
    async close() {
      // Every step is tried, whatever became of the one before; the first failure is reported.
      const failures: unknown[] = [];
      for (
        const step of [
          // Files without names first: their data is not worth storing.
          () => vfs.close(),
          () => data.close(),
          reclaimer.run,
          reclaimer.stop,
          sessions.stop,
          () => engine.close(dropOrphans),
        ]
      ) {
        await step().catch((error: unknown) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** What `slayerfs status` shows. */
export interface VolumeStatus {
  readonly format: VolumeFormat;
  readonly sessions: readonly (SessionInfo & { readonly session: number; readonly heartbeatAt: number })[];
  readonly usedBytes: number;
  readonly usedInodes: number;
  /** Removed files and slices whose data waits for deletion; counted up to `PENDING_MAX` each. */
  readonly pendingDeletedFiles: number;
  readonly pendingDeletedSlices: number;
}

const PENDING_MAX = 10_000;
const SESSIONS_MAX = 10_000;

/** Reads a volume's settings, sessions and usage without opening a session. */
export async function volumeStatus(meta: MetaStore): Promise<VolumeStatus> {
  const format = await readFormat(meta);
  if (format === null) throw new FsError("ENOENT", "the volume is not formatted");
  const [usage, sessions, files, slices] = await Promise.all([
    readUsage(meta),
    meta.scan({ table: "sessions", prefix: [], limit: SESSIONS_MAX }),
    meta.scan({ table: "deletedFiles", prefix: [], limit: PENDING_MAX }),
    meta.scan({ table: "deletedSlices", prefix: [], limit: PENDING_MAX }),
  ]);
  return {
    format,
    sessions: sessions.map(({ row }) => ({
      ...JSON.parse(row.info) as SessionInfo,
      session: row.session,
      heartbeatAt: row.heartbeatAt,
    })),
    usedBytes: usage.bytes,
    usedInodes: usage.inodes,
    pendingDeletedFiles: files.length,
    pendingDeletedSlices: slices.length,
  };
}

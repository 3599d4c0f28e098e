/**
 * MetaEngine: the file system's metadata operations over any MetaStore. This file only puts the parts together:
 * names (namespace.ts, rename.ts), attributes (attributes.ts, truncate.ts), slice lists (slices.ts), deletion
 * (deletion.ts); each is a function of a MetaContext. Permission rules and open files are core/vfs/.
 */
import type { NewSlice, SliceLog } from "../chunk/slice_log.ts";
import type { Env, Timespec } from "../env.ts";
import { FsError } from "../errors.ts";
import { accountedBytes } from "./attr.ts";
import { allocate, type Allocation } from "./allocate.ts";
import { type AttrChange, getattr, raiseAtime, refresh, setattr } from "./attributes.ts";
import { MetaCache } from "./cache.ts";
import { engineDefaults, type EngineOptions, type MetaContext } from "./context.ts";
import { type CopyRange, copyRange } from "./copy_range.ts";
import { deleteFiles, deleteSlices } from "./deletion.ts";
import { inodeIds, sliceIds } from "./ids.ts";
import { setFlags } from "./inode_flags.ts";
import { createLocks } from "./locks.ts";
import * as namespace from "./namespace.ts";
import { exchange, type Place, rename } from "./rename.ts";
import type { InodeRow } from "./schema.ts";
import { closeSession, heartbeat, openSession, type SessionInfo } from "./session.ts";
import { SliceCache } from "./slice_cache.ts";
import { commitSlices, readSlices } from "./slices.ts";
import { accessAcl } from "./special_xattrs.ts";
import { type DeleteOrphans, endStaleSessions, removeSliceRanges } from "./stale.ts";
import type { Durability, MetaStore } from "./store.ts";
import { withRetry } from "./retry.ts";
import { believe } from "./transact.ts";
import { truncate, type Truncation } from "./truncate.ts";
import { readUsage, usageGuard } from "./usage.ts";
import { getxattr, listxattr, removexattr, type SetXattr, setxattr } from "./xattrs.ts";

/** Slice records kept in memory: about 100 bytes each. */
const CACHED_SLICE_RECORDS_MAX = 200_000;

export interface EngineConfig {
  readonly store: MetaStore;
  readonly env: Env;
  readonly session: Omit<SessionInfo, "startedAt">;
  readonly options?: Partial<EngineOptions>;
}

export type MetaEngine = Awaited<ReturnType<typeof openEngine>>;

/** Opens a session on a formatted volume. */
export async function openEngine(config: EngineConfig) {
  const { store, env } = config;
  const options: EngineOptions = { ...engineDefaults, ...config.options };
  const base = { store, env, options };
  const session = await openSession(base, config.session);
  const ctx: MetaContext = {
    ...base,
    session,
    cache: new MetaCache(options.cacheRecordsMax),
    slices: new SliceCache(CACHED_SLICE_RECORDS_MAX),
    defaultAcls: new Map(),
    inodeIds: inodeIds(base),
    sliceIds: sliceIds(base, session),
  };
  const guard = usageGuard(ctx);
  const locks = createLocks(ctx);
  const sliceLog: SliceLog = {
    readSlices: (ino, chunk) => readSlices(ctx, ino, chunk),
    newSliceId: () => ctx.sliceIds.next(),
    forgetSlices: (ino) => ctx.slices.drop(ino),
    dropSliceId: (sliceId) => ctx.sliceIds.settle(sliceId),
    commitSlices: (
      ino: number,
      slices: readonly NewSlice[],
      mtime: Timespec | null,
      durability: Durability,
    ) => commitSlices(ctx, ino, slices, mtime, durability),
  };
  return {
    session,
    options,
    sliceLog,
    locks,
    /** Calls back when a commit of this client moved a file's `sliceSeq` from `before` to `after`. */
    onAppend(listener: (ino: number, before: number, after: number) => void): void {
      ctx.onAppend = listener;
    },
    lookup: (parent: number, name: Uint8Array) => namespace.lookup(ctx, parent, name),
    getattr: (ino: number) => getattr(ctx, ino),
    refresh: (ino: number) => refresh(ctx, ino),
    /** What the cache knows of an inode, of any age. */
    cached: (ino: number) => ctx.cache.inode(ino)?.row,
    /** The inode that a name leads to as far as the cache knows. */
    cachedEdge: (parent: number, name: Uint8Array) => ctx.cache.edge(parent, name)?.ino,
    /** Milliseconds for which the cached inode may still be believed. */
    freshMs(ino: number): number {
      const cached = ctx.cache.inode(ino);
      if (cached === undefined) return 0;
      return Math.max(0, options.attrTtlMs - (env.monotonicMs() - cached.fetchedMs));
    },
    async create(parent: number, name: Uint8Array, file: namespace.NewFile): Promise<InodeRow> {
      if (!await guard.hasRoom(accountedBytes(file.mode, 0), 1)) {
        throw new FsError("ENOSPC", "the volume is full");
      }
      return await namespace.create(ctx, parent, name, file);
    },
    /** False when the volume's capacity leaves no room for this many more bytes. */
    hasRoom: (bytes: number) => guard.hasRoom(bytes, 0),
    readlink: (ino: number) => namespace.readlink(ctx, ino),
    async createUnnamed(parent: number, file: namespace.NewFile): Promise<InodeRow> {
      if (!await guard.hasRoom(accountedBytes(file.mode, 0), 1)) {
        throw new FsError("ENOSPC", "the volume is full");
      }
      return await namespace.createUnnamed(ctx, parent, file);
    },
    link: (ino: number, parent: number, name: Uint8Array, isKept = false) =>
      namespace.link(ctx, ino, parent, name, isKept),
    unlink: (parent: number, name: Uint8Array, isOpen: (ino: number) => boolean) =>
      namespace.unlink(ctx, parent, name, isOpen),
    rmdir: (parent: number, name: Uint8Array) => namespace.rmdir(ctx, parent, name),
    releaseSustained: (ino: number) => namespace.releaseSustained(ctx, ino),
    rename: (from: Place, to: Place, noReplace: boolean, isOpen: (ino: number) => boolean) =>
      rename(ctx, from, to, noReplace, isOpen),
    exchange: (a: Place, b: Place) => exchange(ctx, a, b),
    raiseAtime: (ino: number, time: Timespec) => raiseAtime(ctx, ino, time),
    setattr: (ino: number, change: AttrChange, permit?: (row: InodeRow) => void) =>
      setattr(ctx, ino, change, permit),
    truncate: (ino: number, length: number, how?: Truncation, permit?: (row: InodeRow) => void) =>
      truncate(ctx, ino, length, how, permit),
    allocate: (ino: number, allocation: Allocation, permit?: (row: InodeRow) => void) =>
      allocate(ctx, ino, allocation, permit),
    copyRange: (range: CopyRange, permit?: (row: InodeRow) => void) => copyRange(ctx, range, permit),
    /** The first chunk from `chunk` on that has slices; null if there is none. */
    async nextChunk(ino: number, chunk: number): Promise<number | null> {
      const after = [chunk - 1, Number.MAX_SAFE_INTEGER];
      const [found] = await withRetry(
        ctx,
        () => store.scan({ table: "slices", prefix: [ino], after, limit: 1 }),
      );
      return found?.row.chunk ?? null;
    },
    getxattr: (ino: number, name: Uint8Array) => getxattr(ctx, ino, name),
    listxattr: (ino: number) => listxattr(ctx, ino),
    setxattr: (
      ino: number,
      name: Uint8Array,
      value: Uint8Array,
      how?: SetXattr,
      permit?: (row: InodeRow) => void,
    ) => setxattr(ctx, ino, name, value, how, permit),
    removexattr: (ino: number, name: Uint8Array, permit?: (row: InodeRow) => void) =>
      removexattr(ctx, ino, name, permit),
    accessAcl: (row: InodeRow) => accessAcl(ctx, row),
    setFlags: (ino: number, change: (row: InodeRow) => number) => setFlags(ctx, ino, change),
    /** Entries of a directory after `after` in name order, with their inodes if asked; one page. */
    async readEdges(parent: number, after: Uint8Array | undefined, limit: number) {
      const startedAt = ctx.cache.beginFetch();
      try {
        const page = await withRetry(ctx, () =>
          store.scan({
            table: "edges",
            prefix: [parent],
            after: after === undefined ? undefined : [after],
            limit,
            follow: "ino",
          }));
        const nowMs = env.monotonicMs();
        for (const { row, ref } of page) {
          if (ref === null) continue;
          believe(ctx, ref.row, startedAt);
          ctx.cache.putEdge(parent, row.name, row.ino, startedAt, nowMs);
        }
        return page;
      } finally {
        ctx.cache.endFetch();
      }
    },
    /** Everything committed so far survives power loss when this returns. */
    async sync(): Promise<void> {
      await withRetry(ctx, () => store.commit({ checks: [], writes: [] }, { durability: "synced" }));
    },
    usage: () => withRetry(ctx, () => readUsage(store)),
    endStaleSessions: (beforeSec: number, deleteOrphans: DeleteOrphans) =>
      endStaleSessions(ctx, beforeSec, deleteOrphans),
    heartbeat: () => heartbeat(base, session),
    deleteFiles: (beforeSec: number) => deleteFiles(ctx, beforeSec),
    deleteSlices: (
      beforeSec: number,
      deleteObjects: (
        slices: readonly { readonly sliceId: number; readonly size: number }[],
      ) => Promise<void>,
    ) => deleteSlices(ctx, beforeSec, deleteObjects),
    /** Ends the session. The data path has flushed and open files are closed before. */
    async close(deleteOrphans: DeleteOrphans = () => Promise.resolve()): Promise<void> {
      await locks.close();
      await ctx.sliceIds.close();
      await removeSliceRanges(ctx, session, deleteOrphans);
      await closeSession(base, session);
    },
  };
}

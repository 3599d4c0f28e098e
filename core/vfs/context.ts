/** What every operation of the VFS works with. */
import type { AccessTimes, AtimeMode } from "./atime.ts";
import type { DataPath } from "../chunk/data_path.ts";
import type { Env, Timespec } from "../env.ts";
import { FsError } from "../errors.ts";
import type { MetaEngine } from "../meta/engine.ts";
import type { Handles } from "./handles.ts";
import type { Nodes } from "./nodes.ts";
import type { Attr, AttrReply, Entry } from "./types.ts";

export interface VfsOptions {
  readonly readOnly: boolean;
  /** Check permissions here: for callers that no kernel checked. */
  readonly checkPermissions: boolean;
  /** The volume has POSIX ACLs. */
  readonly acl: boolean;
  readonly atime: AtimeMode;
  readonly nodiratime: boolean;
}

export interface VfsContext {
  readonly engine: MetaEngine;
  readonly data: DataPath;
  readonly env: Env;
  readonly options: VfsOptions;
  readonly nodes: Nodes;
  readonly handles: Handles;
  readonly accessTimes: AccessTimes;
  /** Free and total bytes of the object store, where it has such limits. */
  readonly capacity: () => Promise<{ readonly totalBytes: number; readonly freeBytes: number } | null>;
  /** There is data to delete. */
  readonly wakeReclaim: () => void;
}

/** The attributes as this client must show them: with what was read and written here and is not committed yet. */
export function withDirty(ctx: VfsContext, committed: Attr): Attr {
  const row = ctx.accessTimes.shown(committed);
  const end = ctx.data.dirtyEnd(row.ino);
  if (end === 0) return row;
  const mtime = ctx.data.dirtyMtime(row.ino);
  const length = Math.max(row.length, end);
  if (mtime === null) return length === row.length ? row : { ...row, length };
  // Each by itself: ctime may have moved since the write (chmod).
  const shown = { ...row, length };
  if (isAfter(mtime, row.mtime, row.mtimeNsec)) {
    shown.mtime = mtime.sec;
    shown.mtimeNsec = mtime.nsec;
  }
  if (isAfter(mtime, row.ctime, row.ctimeNsec)) {
    shown.ctime = mtime.sec;
    shown.ctimeNsec = mtime.nsec;
  }
  return shown;
}

const isAfter = (time: Timespec, sec: number, nsec: number): boolean =>
  time.sec > sec || (time.sec === sec && time.nsec > nsec);

export function attrReply(ctx: VfsContext, row: Attr): AttrReply {
  return { attr: withDirty(ctx, row), attrTtlMs: ctx.engine.freshMs(row.ino) };
}

/** An answer that hands out a reference: counts it. */
export function entry(ctx: VfsContext, row: Attr): Entry {
  ctx.nodes.addLookup(row.ino);
  const freshMs = ctx.engine.freshMs(row.ino);
  return {
    attr: withDirty(ctx, row),
    attrTtlMs: freshMs,
    entryTtlMs: Math.min(freshMs, ctx.engine.options.entryTtlMs),
  };
}

export function requireWritable(ctx: VfsContext): void {
  if (ctx.options.readOnly) throw new FsError("EROFS");
}

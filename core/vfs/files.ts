/**
 * Open files: open, read, write, flush, fsync, release, and the attributes that go with data.
 *
 * - open reads the inode from the store: what another client closed before is seen (close-to-open).
 * - What was written here and is not committed yet is part of every answer (`withDirty`, the data path's overlay).
 * - A length or mtime set by the user is committed after everything that was written before it.
 */
import { FsError } from "../errors.ts";
import { FILE_BYTES_MAX } from "../limits.ts";
import { isDirectory, isRegular, isSymlink, S_IFREG, S_ISGID, S_ISUID } from "../meta/attr.ts";
import { FS_IMMUTABLE_FL, FS_SYNC_FL, isAppendOnly, requireNotImmutable } from "../meta/inode_flags.ts";
import type { InodeRow } from "../meta/schema.ts";
import { XATTR_CAPABILITY } from "../meta/special_xattrs.ts";
import { attrReply, entry, requireWritable, type VfsContext, withDirty } from "./context.ts";
import type { locksOf } from "./locks.ts";
import type { namesOf } from "./names.ts";
import type { Node } from "./nodes.ts";
import {
  decidingAcl,
  isInGroup,
  mustCheck,
  R_OK,
  requireAccess,
  requireMayChange,
  W_OK,
  X_OK,
} from "./permission.ts";
import {
  type AttrReply,
  type Caller,
  type Entry,
  O_ACCMODE,
  O_APPEND,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  type Opened,
  type SetAttr,
} from "./types.ts";

export function filesOf(
  ctx: VfsContext,
  { create: createFile, requireDirectoryAccess, endOwner, endHandle }:
    & Pick<ReturnType<typeof namesOf>, "create" | "requireDirectoryAccess">
    & Pick<ReturnType<typeof locksOf>, "endOwner" | "endHandle">,
) {
  const { engine, data, nodes, handles, options } = ctx;

  /** The inode of an open or referenced file; a removed one shows what it was. */
  function current(ino: number): InodeRow | Promise<InodeRow> {
    const row = engine.getattr(ino);
    if (!(row instanceof Promise)) return row;
    return row.catch((error) => {
      const ghost = nodes.get(ino)?.ghost;
      if (ghost && error instanceof FsError && error.code === "ENOENT") return ghost;
      throw error;
    });
  }

  async function open(caller: Caller, ino: number, flags: number, killSuidGid = false): Promise<Opened> {
    if ((flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC)) requireWritable(ctx);
    await nodes.removal(ino);
    // Counted before the first await: a removal that is planned from here on keeps the file for us.
    const node = nodes.addOpen(ino);
    try {
      let row = node.sustained ? await current(ino) : await engine.refresh(ino);
      if (isSymlink(row.mode)) throw new FsError("ELOOP");
      if (isDirectory(row.mode) && (flags & O_ACCMODE) !== O_RDONLY) throw new FsError("EISDIR");
      if (mustCheck(options, caller)) {
        requireAccess(row, caller, rightsOf(flags), await decidingAcl(engine, row, caller));
      }
      requireFlagsAllow(row, flags);
      if ((flags & O_TRUNC) && isRegular(row.mode)) row = await setLength(caller, ino, 0, killSuidGid);
      return opened(node, flags, row.sliceSeq);
    } catch (error) {
      await removeOpen(node);
      throw error;
    }
  }

  function opened(node: Node, flags: number, contentSeq: number): Opened {
    // Reads that the kernel answers from its cache are not seen here.
    const keepCache = node.contentSeq === contentSeq && options.atime !== "strictatime";
    node.contentSeq = contentSeq;
    return { handle: handles.add({ kind: "file", node, flags }), keepCache, directIo: false };
  }

  function isWritable(handle: number): boolean {
    return handle !== 0 && (handles.file(handle).flags & O_ACCMODE) !== O_RDONLY;
  }

  /** Gives an open up; with the last one a file without names goes for good. */
  async function removeOpen(node: Node): Promise<void> {
    if (!nodes.removeOpen(node) || !node.sustained) return;
    node.sustained = false;
    data.discard(node.ino);
    if (await engine.releaseSustained(node.ino)) ctx.wakeReclaim();
  }

  async function setLength(
    caller: Caller,
    ino: number,
    length: number,
    killSuidGid: boolean,
    handle = 0,
  ): Promise<InodeRow> {
    if (length > FILE_BYTES_MAX) throw new FsError("EFBIG");
    const before = await current(ino);
    if (length > before.length && !await engine.hasRoom(length - before.length)) {
      throw new FsError("ENOSPC", "the volume is full");
    }
    // Everything written before is committed first, or thrown away where nothing of it stays.
    if (data.hasDirty(ino)) await data.flush(ino, "ordered");
    // Whoever has the file open for writing may cut it, whatever its mode says by now: ftruncate(2).
    const checks = mustCheck(options, caller) && !isWritable(handle);
    const acl = checks ? await decidingAcl(engine, before, caller) : null;
    const permit = checks ? (row: InodeRow) => requireAccess(row, caller, W_OK, acl) : undefined;
    const row = await engine.truncate(ino, length, { killSuidGid, isMember: memberOf(caller) }, permit);
    data.truncate(ino, length);
    const node = nodes.get(ino);
    // The kernel cuts its own pages: they stay right.
    if (node !== undefined) node.contentSeq = row.sliceSeq;
    if (length < before.length) ctx.wakeReclaim();
    return row;
  }

  return {
    getattr(_caller: Caller, ino: number): AttrReply | Promise<AttrReply> {
      const row = current(ino);
      return row instanceof Promise ? row.then((row) => attrReply(ctx, row)) : attrReply(ctx, row);
    },

    async setattr(caller: Caller, ino: number, change: SetAttr): Promise<AttrReply> {
      requireWritable(ctx);
      if (change.length !== undefined) {
        await setLength(caller, ino, change.length, change.killSuidGid ?? false, change.handle);
      }
      const { uid, gid } = change;
      let { mode } = change;
      const now = ctx.env.now();
      const atime = change.atime === "now" ? now : change.atime;
      const mtime = change.mtime === "now" ? now : change.mtime;
      const isMore = [mode, uid, gid, atime, mtime].some((value) => value !== undefined);
      if (isMore || change.length === undefined) {
        if (mtime !== undefined && data.hasDirty(ino)) {
          // What is dirty was written before this call: its commit must not raise mtime again. A failing store is
          // reported by fsync and close, and does not keep the user from setting times.
          data.keepMtime(ino);
          await data.flush(ino, "ordered").catch(() => {});
        }
        if (atime !== undefined) await ctx.accessTimes.settled(ino);
        const checks = mustCheck(options, caller);
        const before = checks ? await current(ino) : null;
        // Only members of the file's group may set this bit: chmod(2).
        const isMember = before === null || caller.uid === 0 || isInGroup(caller, before.gid);
        if (mode !== undefined && !isMember) mode &= ~S_ISGID;
        const acl = before === null ? null : await decidingAcl(engine, before, caller);
        const permit = checks ? (row: InodeRow) => requireMayChange(row, caller, change, acl) : undefined;
        // chown(2) of nothing arrives as a change of nothing, and takes the bits as every chown by the owner does. So does
        // the announcement of a write by somebody else, which takes them itself.
        const isEmptyChown = !isMore && (caller.uid === 0 || caller.uid === (await current(ino)).uid);
        const killSuidGid = change.length === undefined && (change.killSuidGid || isEmptyChown);
        const touch = change.atime === "now" && change.mtime === "now";
        await engine.setattr(ino, {
          mode,
          uid,
          gid,
          atime,
          mtime,
          killSuidGid,
          isMember: memberOf(caller),
          touch,
          now,
        }, permit);
      }
      return attrReply(ctx, await engine.getattr(ino));
    },

    open,

    async create(
      caller: Caller,
      parent: number,
      name: Uint8Array,
      mode: number,
      flags: number,
      umask: number,
    ): Promise<Entry & Opened> {
      const row = await createFile(caller, parent, name, { mode: (mode & 0o7777) | S_IFREG, umask });
      const node = nodes.addOpen(row.ino);
      return { ...entry(ctx, row), ...opened(node, flags, row.sliceSeq) };
    },

    async tmpfile(
      caller: Caller,
      parent: number,
      mode: number,
      flags: number,
      umask: number,
    ): Promise<Entry & Opened> {
      requireWritable(ctx);
      await requireDirectoryAccess(caller, parent, W_OK | X_OK);
      const file = { mode: (mode & 0o7777) | S_IFREG, umask, uid: caller.uid, gid: caller.gid };
      const row = await engine.createUnnamed(parent, file);
      const node = nodes.addOpen(row.ino);
      node.sustained = true;
      return { ...entry(ctx, row), ...opened(node, flags, row.sliceSeq) };
    },

    read(
      _caller: Caller,
      ino: number,
      handle: number,
      offset: number,
      into: Uint8Array,
    ): number | Promise<number> {
      if ((handles.file(handle).flags & O_ACCMODE) === O_WRONLY) throw new FsError("EBADF");
      const row = current(ino);
      return row instanceof Promise
        ? row.then((row) => readClipped(row, offset, into))
        : readClipped(row, offset, into);
    },

    write(
      caller: Caller,
      ino: number,
      handle: number,
      offset: number,
      bytes: Uint8Array,
      killSuidGid: boolean,
      isAppend = false,
    ): number | Promise<number> {
      if ((handles.file(handle).flags & O_ACCMODE) === O_RDONLY) throw new FsError("EBADF");
      const row = engine.cached(ino);
      const length = Math.max(row?.length ?? 0, data.dirtyEnd(ino));
      const at = isAppend ? Math.max(offset, length) : offset;
      const end = at + bytes.length;
      if (end > FILE_BYTES_MAX) throw new FsError("EFBIG");
      const hasRoom = end <= length || engine.hasRoom(end - length);
      const isSpecial = row === undefined ||
        ((row.flags & (FS_IMMUTABLE_FL | FS_SYNC_FL)) | (row.xattrKinds & XATTR_CAPABILITY)) !== 0 ||
        (killSuidGid && (row.mode & (S_ISUID | S_ISGID)) !== 0);
      if (hasRoom !== true || isSpecial) {
        return writeSlowly(caller, ino, at, bytes, hasRoom, killSuidGid, isAppend);
      }
      const written = data.write(ino, at, bytes);
      return written instanceof Promise ? written.then(() => bytes.length) : bytes.length;
    },

    flush(_caller: Caller, ino: number, _handle: number, lockOwner?: string): void | Promise<void> {
      const flushed = data.hasDirty(ino) ? data.flush(ino, "ordered") : undefined;
      if (lockOwner === undefined) return flushed;
      // Whoever gets the locks next sees the data. They are given back also if the data could not be stored.
      return flushed === undefined
        ? endOwner(ino, lockOwner)
        : flushed.finally(() => endOwner(ino, lockOwner));
    },

    async fsync(_caller: Caller, ino: number, _handle: number, _dataOnly: boolean): Promise<void> {
      await data.flush(ino, "synced");
    },

    async release(ino: number, handle: number): Promise<void> {
      const file = handles.remove(handle);
      if (file === undefined || file.kind !== "file") return;
      // Pages of a mapping can arrive after the last flush.
      if (data.hasDirty(ino) && !file.node.sustained) {
        await data.flush(ino, "ordered").catch((error) =>
          ctx.env.log("error", `inode ${ino}: ${error.message}`)
        );
      }
      const unlocked = endHandle(ino, handle);
      if (unlocked !== undefined) await unlocked;
      await removeOpen(file.node).catch((error) =>
        ctx.env.log("error", `release of inode ${ino}: ${error.message}`)
      );
    },
  };

  function readClipped(row: InodeRow, offset: number, into: Uint8Array): number | Promise<number> {
    ctx.accessTimes.noteRead(row);
    const length = withDirty(ctx, row).length;
    const count = Math.min(into.length, length - offset);
    return count <= 0 ? 0 : data.read(row.ino, offset, count, into);
  }

  async function writeSlowly(
    caller: Caller,
    ino: number,
    offset: number,
    bytes: Uint8Array,
    hasRoom: boolean | Promise<boolean>,
    killSuidGid: boolean,
    isAppend: boolean,
  ): Promise<number> {
    if (!await hasRoom) throw new FsError("ENOSPC", "the volume is full");
    const row = await current(ino);
    requireNotImmutable(row);
    const killsMode = killSuidGid && (row.mode & (S_ISUID | S_ISGID)) !== 0;
    const killsCapability = (row.xattrKinds & XATTR_CAPABILITY) !== 0;
    if (killsMode || killsCapability) {
      await engine.setattr(ino, { killSuidGid: killsMode, isMember: memberOf(caller), killCapability: true });
    }
    const at = isAppend ? Math.max(offset, withDirty(ctx, row).length) : offset;
    if (at + bytes.length > FILE_BYTES_MAX) throw new FsError("EFBIG");
    await data.write(ino, at, bytes);
    if ((row.flags & FS_SYNC_FL) !== 0) await data.flush(ino, "synced");
    return bytes.length;
  }
}

/** Root counts as a member of every group: it keeps what members keep. */
function memberOf(caller: Caller): (gid: number) => boolean {
  return (gid) => caller.uid === 0 || isInGroup(caller, gid);
}

/** The kernel opens a program to run it: O_RDONLY with this bit (__FMODE_EXEC of linux/fs.h). Its text need not be readable. */
const OPEN_FOR_EXECUTION = 0o40;

function rightsOf(flags: number): number {
  if ((flags & OPEN_FOR_EXECUTION) !== 0) return X_OK;
  const mode = flags & O_ACCMODE;
  const rights = mode === O_RDONLY ? R_OK : mode === O_WRONLY ? W_OK : R_OK | W_OK;
  return flags & O_TRUNC ? rights | W_OK : rights;
}

/** EPERM where the inode's flags forbid what the file is opened for: open(2), may_open in Linux. */
function requireFlagsAllow(row: InodeRow, flags: number): void {
  const changes = (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
  if (!changes) return;
  requireNotImmutable(row);
  if (isAppendOnly(row) && ((flags & O_APPEND) === 0 || (flags & O_TRUNC) !== 0)) {
    throw new FsError("EPERM", "append-only file");
  }
}

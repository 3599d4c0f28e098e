/** Operations on names and attributes. */
import { FsError } from "../core/errors.ts";
import type { AttrReply, Entry, Opened } from "../core/vfs/types.ts";
import * as abi from "./abi.ts";
import { getSetAttr, putNegativeEntry, putOpened } from "./codec.ts";
import { attrReply, BODY, entryReply, type Operation } from "./operation.ts";

/** Null: there is no such name, and the kernel may remember that. */
export const lookup: Operation<Entry | null> = {
  name: "LOOKUP",
  bodyBytes: 1,
  run(ctx, request) {
    const { negativeTtlMs } = ctx.options;
    if (negativeTtlMs === 0) return ctx.vfs.lookup(request, request.ino, request.name(0));
    try {
      const entry = ctx.vfs.lookup(request, request.ino, request.name(0));
      return entry instanceof Promise ? entry.catch(nullIfMissing) : entry;
    } catch (error) {
      return nullIfMissing(error);
    }
  },
  encode: (ctx, reply, entry) =>
    entry === null
      ? putNegativeEntry(reply.view, BODY, ctx.options.negativeTtlMs)
      : entryReply.encode(ctx, reply, entry),
  undo(ctx, entry) {
    if (entry !== null) entryReply.undo(ctx, entry);
  },
};

function nullIfMissing(error: unknown): null {
  if (error instanceof FsError && error.code === "ENOENT") return null;
  throw error;
}

export const getattr: Operation<AttrReply> = {
  name: "GETATTR",
  bodyBytes: abi.GETATTR_IN_BYTES,
  run(ctx, request) {
    const hasHandle = (request.u32(abi.GetattrIn.flags) & abi.FUSE_GETATTR_FH) !== 0;
    return ctx.vfs.getattr(request, request.ino, hasHandle ? request.u64(abi.GetattrIn.fh) : 0);
  },
  ...attrReply,
};

export const setattr: Operation<AttrReply> = {
  name: "SETATTR",
  bodyBytes: abi.SETATTR_IN_BYTES,
  run(ctx, request) {
    const change = getSetAttr(request.view, request.bodyAt(0));
    if (change.length !== undefined && change.length > Number.MAX_SAFE_INTEGER) throw new FsError("EFBIG");
    return ctx.vfs.setattr(request, request.ino, change);
  },
  ...attrReply,
};

export const access: Operation<void> = {
  name: "ACCESS",
  bodyBytes: abi.ACCESS_IN_BYTES,
  run: (ctx, request) => ctx.vfs.access(request, request.ino, request.u32(0)),
};

export const readlink: Operation<Uint8Array> = {
  name: "READLINK",
  bodyBytes: 0,
  run: (ctx, request) => ctx.vfs.readlink(request, request.ino),
  encode(_, reply, target) {
    reply.bytes.set(target, BODY);
    return target.length;
  },
};

export const symlink: Operation<Entry> = {
  name: "SYMLINK",
  bodyBytes: 2,
  run(ctx, request) {
    const [name, target] = request.names(0);
    return ctx.vfs.symlink(request, request.ino, name, target);
  },
  ...entryReply,
};

export const mknod: Operation<Entry> = {
  name: "MKNOD",
  bodyBytes: abi.MKNOD_IN_BYTES + 1,
  run: (ctx, request) =>
    ctx.vfs.mknod(
      request,
      request.ino,
      request.name(abi.MKNOD_IN_BYTES),
      request.u32(abi.MknodIn.mode),
      request.u32(abi.MknodIn.rdev),
      request.u32(abi.MknodIn.umask),
    ),
  ...entryReply,
};

export const mkdir: Operation<Entry> = {
  name: "MKDIR",
  bodyBytes: abi.MKDIR_IN_BYTES + 1,
  run: (ctx, request) =>
    ctx.vfs.mkdir(
      request,
      request.ino,
      request.name(abi.MKDIR_IN_BYTES),
      request.u32(abi.MkdirIn.mode),
      request.u32(abi.MkdirIn.umask),
    ),
  ...entryReply,
};

export const create: Operation<Entry & Opened> = {
  name: "CREATE",
  bodyBytes: abi.CREATE_IN_BYTES + 1,
  run: (ctx, request) =>
    ctx.vfs.create(
      request,
      request.ino,
      request.name(abi.CREATE_IN_BYTES),
      request.u32(abi.CreateIn.mode),
      request.u32(abi.CreateIn.flags),
      request.u32(abi.CreateIn.umask),
    ),
  encode(ctx, reply, created) {
    const entryBytes = entryReply.encode(ctx, reply, created);
    return entryBytes + putOpened(reply.view, BODY + entryBytes, created);
  },
  async undo(ctx, created) {
    await ctx.vfs.release(created.attr.ino, created.handle);
    ctx.vfs.forget(created.attr.ino, 1);
  },
};

/** As CREATE; the name in it means nothing. */
export const tmpfile: Operation<Entry & Opened> = {
  ...create,
  name: "TMPFILE",
  run: (ctx, request) =>
    ctx.vfs.tmpfile(
      request,
      request.ino,
      request.u32(abi.CreateIn.mode),
      request.u32(abi.CreateIn.flags),
      request.u32(abi.CreateIn.umask),
    ),
};

export const link: Operation<Entry> = {
  name: "LINK",
  bodyBytes: abi.LINK_IN_BYTES + 1,
  // The header's node is the new parent.
  run: (ctx, request) =>
    ctx.vfs.link(request, request.u64(abi.LinkIn.oldnodeid), request.ino, request.name(abi.LINK_IN_BYTES)),
  ...entryReply,
};

export const unlink: Operation<void> = {
  name: "UNLINK",
  bodyBytes: 1,
  run: (ctx, request) => ctx.vfs.unlink(request, request.ino, request.name(0)),
};

export const rmdir: Operation<void> = {
  name: "RMDIR",
  bodyBytes: 1,
  run: (ctx, request) => ctx.vfs.rmdir(request, request.ino, request.name(0)),
};

export function renameOperation(name: string, fixedBytes: number, hasFlags: boolean): Operation<void> {
  return {
    name,
    bodyBytes: fixedBytes + 2,
    run(ctx, request) {
      const [oldName, newName] = request.names(fixedBytes);
      const newParent = request.u64(abi.RenameIn.newdir);
      const flags = hasFlags ? request.u32(abi.RenameIn.flags) : 0;
      return ctx.vfs.rename(request, request.ino, oldName, newParent, newName, flags);
    },
  };
}

/**
 * The one table of operations: for each opcode how its body is decoded, which call of the Vfs it is, and how the answer is
 * encoded. An opcode that is not here is answered ENOSYS, after which the kernel mostly stops asking.
 */
import { FsError } from "../core/errors.ts";
import type { AttrReply, Entry, MaybePromise, Opened, StatFs } from "../core/vfs/types.ts";
import * as abi from "./abi.ts";
import { Opcode, OUT_HEADER_BYTES } from "./abi.ts";
import {
  direntWriter,
  forEachReference,
  getSetAttr,
  type IoBuffer,
  putAttrReply,
  putEntry,
  putNegativeEntry,
  putOpened,
  putStatFs,
  set64,
} from "./codec.ts";
import type { ServerContext } from "./context.ts";
import { negotiate, putInit } from "./init.ts";
import type { Negotiated } from "./init.ts";
import { type FuseRequest, MalformedRequest } from "./request.ts";

export interface Operation<R> {
  readonly name: string;
  /** Size of the body's fixed part; a shorter request is malformed. */
  readonly bodyBytes: number;
  /** `errors`: nothing is sent when it succeeds; `never`: nothing at all. Default: always. */
  readonly replies?: "errors" | "never";
  /** The request's bytes are in use until the result settles. */
  readonly holdsRequest?: true;
  /** Decodes and calls. Must not read the body after its first await, except with `holdsRequest`. */
  run(ctx: ServerContext, request: FuseRequest): MaybePromise<R>;
  /** Writes the answer's body after the header, at OUT_HEADER_BYTES; returns its size. Default: no body. */
  encode?(ctx: ServerContext, reply: IoBuffer, result: R, request: FuseRequest): number;
  /** The kernel did not take the answer: gives back the references in it. */
  undo?(ctx: ServerContext, result: R, request: FuseRequest): MaybePromise<void>;
}

const BODY = OUT_HEADER_BYTES;

/** Entry answers: LOOKUP, MKNOD, MKDIR, SYMLINK, LINK. */
const entryReply = {
  encode: (ctx: ServerContext, reply: IoBuffer, entry: Entry) =>
    putEntry(reply.view, BODY, entry, ctx.options.blksizeBytes),
  undo: (ctx: ServerContext, entry: Entry) => ctx.vfs.forget(entry.attr.ino, 1),
};

const attrReply = {
  encode: (ctx: ServerContext, reply: IoBuffer, result: AttrReply) =>
    putAttrReply(reply.view, BODY, result, ctx.options.blksizeBytes),
};

const openReply = {
  encode: (_: ServerContext, reply: IoBuffer, opened: Opened) => putOpened(reply.view, BODY, opened),
};

function handleOf(request: FuseRequest): number {
  return request.u64(0);
}

function isDataOnly(request: FuseRequest): boolean {
  return (request.u32(abi.FsyncIn.flags) & abi.FUSE_FSYNC_FDATASYNC) !== 0;
}

const init: Operation<Negotiated | null> = {
  name: "INIT",
  bodyBytes: abi.INIT_IN_BYTES,
  run(ctx, request) {
    const agreed = negotiate({
      major: request.u32(abi.InitIn.major),
      minor: request.u32(abi.InitIn.minor),
      flags: request.u32(abi.InitIn.flags),
      flags2: request.bodyBytes >= abi.INIT_IN_EXT_BYTES ? request.u32(abi.InitIn.flags2) : 0,
    }, ctx.options);
    ctx.onInit(agreed);
    return agreed;
  },
  encode: (ctx, reply, agreed) => putInit(reply.view, BODY, agreed, ctx.options),
};

/** Null: there is no such name, and the kernel may remember that. */
const lookup: Operation<Entry | null> = {
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

const forget: Operation<void> = {
  name: "FORGET",
  bodyBytes: abi.FORGET_IN_BYTES,
  replies: "never",
  run: (ctx, request) => ctx.vfs.forget(request.ino, request.u64(0)),
};

const batchForget: Operation<void> = {
  name: "BATCH_FORGET",
  bodyBytes: abi.BATCH_FORGET_IN_BYTES,
  replies: "never",
  run(ctx, request) {
    const count = request.u32(0);
    if (request.bodyBytes < abi.BATCH_FORGET_IN_BYTES + count * abi.FORGET_ONE_BYTES) {
      throw new MalformedRequest(`BATCH_FORGET of ${count} nodes in ${request.bodyBytes} bytes`);
    }
    for (let i = 0; i < count; i++) {
      const at = abi.BATCH_FORGET_IN_BYTES + i * abi.FORGET_ONE_BYTES;
      ctx.vfs.forget(request.u64(at), request.u64(at + 8));
    }
  },
};

const getattr: Operation<AttrReply> = {
  name: "GETATTR",
  bodyBytes: abi.GETATTR_IN_BYTES,
  run(ctx, request) {
    const hasHandle = (request.u32(abi.GetattrIn.flags) & abi.FUSE_GETATTR_FH) !== 0;
    return ctx.vfs.getattr(request, request.ino, hasHandle ? request.u64(abi.GetattrIn.fh) : 0);
  },
  ...attrReply,
};

const setattr: Operation<AttrReply> = {
  name: "SETATTR",
  bodyBytes: abi.SETATTR_IN_BYTES,
  run(ctx, request) {
    const change = getSetAttr(request.view, request.bodyAt(0));
    if (change.length !== undefined && change.length > Number.MAX_SAFE_INTEGER) throw new FsError("EFBIG");
    return ctx.vfs.setattr(request, request.ino, change);
  },
  ...attrReply,
};

const readlink: Operation<Uint8Array> = {
  name: "READLINK",
  bodyBytes: 0,
  run: (ctx, request) => ctx.vfs.readlink(request, request.ino),
  encode(_, reply, target) {
    reply.bytes.set(target, BODY);
    return target.length;
  },
};

const symlink: Operation<Entry> = {
  name: "SYMLINK",
  bodyBytes: 2,
  run(ctx, request) {
    const [name, target] = request.names(0);
    return ctx.vfs.symlink(request, request.ino, name, target);
  },
  ...entryReply,
};

const mknod: Operation<Entry> = {
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

const mkdir: Operation<Entry> = {
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

const unlink: Operation<void> = {
  name: "UNLINK",
  bodyBytes: 1,
  run: (ctx, request) => ctx.vfs.unlink(request, request.ino, request.name(0)),
};

const rmdir: Operation<void> = {
  name: "RMDIR",
  bodyBytes: 1,
  run: (ctx, request) => ctx.vfs.rmdir(request, request.ino, request.name(0)),
};

function renameOperation(name: string, fixedBytes: number, hasFlags: boolean): Operation<void> {
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

const link: Operation<Entry> = {
  name: "LINK",
  bodyBytes: abi.LINK_IN_BYTES + 1,
  // The header's node is the new parent.
  run: (ctx, request) =>
    ctx.vfs.link(request, request.u64(abi.LinkIn.oldnodeid), request.ino, request.name(abi.LINK_IN_BYTES)),
  ...entryReply,
};

const create: Operation<Entry & Opened> = {
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

const open: Operation<Opened> = {
  name: "OPEN",
  bodyBytes: abi.OPEN_IN_BYTES,
  run: (ctx, request) =>
    ctx.vfs.open(
      request,
      request.ino,
      request.u32(abi.OpenIn.flags),
      (request.u32(abi.OpenIn.openFlags) & abi.FUSE_OPEN_KILL_SUIDGID) !== 0,
    ),
  ...openReply,
  undo: (ctx, opened, request) => ctx.vfs.release(request.ino, opened.handle),
};

const read: Operation<number> = {
  name: "READ",
  bodyBytes: abi.READ_IN_BYTES,
  run(ctx, request) {
    const offset = request.u64(abi.ReadIn.offset);
    const size = request.u32(abi.ReadIn.size);
    const reply = takeReply(ctx, request, size);
    // No file is that long: end of file.
    if (offset > Number.MAX_SAFE_INTEGER - size) return 0;
    return ctx.vfs.read(
      request,
      request.ino,
      handleOf(request),
      offset,
      reply.bytes.subarray(BODY, BODY + size),
    );
  },
  encode: (_ctx, _reply, count) => count,
};

const write: Operation<number> = {
  name: "WRITE",
  bodyBytes: abi.WRITE_IN_BYTES,
  holdsRequest: true,
  run(ctx, request) {
    const offset = request.u64(abi.ReadIn.offset);
    const data = request.data(abi.WRITE_IN_BYTES, request.u32(abi.ReadIn.size));
    if (offset > Number.MAX_SAFE_INTEGER - data.length) throw new FsError("EFBIG");
    const killSuidGid = (request.u32(abi.ReadIn.flags) & abi.FUSE_WRITE_KILL_SUIDGID) !== 0;
    return ctx.vfs.write(request, request.ino, handleOf(request), offset, data, killSuidGid);
  },
  encode(_, reply, count) {
    set64(reply.view, BODY, count);
    return abi.WRITE_OUT_BYTES;
  },
};

const flush: Operation<void> = {
  name: "FLUSH",
  bodyBytes: abi.FLUSH_IN_BYTES,
  run: (ctx, request) => ctx.vfs.flush(request, request.ino, handleOf(request)),
};

const fsync: Operation<void> = {
  name: "FSYNC",
  bodyBytes: abi.FSYNC_IN_BYTES,
  run: (ctx, request) => ctx.vfs.fsync(request, request.ino, handleOf(request), isDataOnly(request)),
};

const release: Operation<void> = {
  name: "RELEASE",
  bodyBytes: abi.RELEASE_IN_BYTES,
  run: (ctx, request) => ctx.vfs.release(request.ino, handleOf(request)),
};

const opendir: Operation<Opened> = {
  name: "OPENDIR",
  bodyBytes: abi.OPEN_IN_BYTES,
  run: (ctx, request) => ctx.vfs.opendir(request, request.ino),
  ...openReply,
  undo: (ctx, opened, request) => ctx.vfs.releasedir(request.ino, opened.handle),
};

/** The result is the size of the reply's body. */
function readdirOperation(name: string, plus: boolean): Operation<number> {
  return {
    name,
    bodyBytes: abi.READ_IN_BYTES,
    run(ctx, request) {
      const offset = request.u64(abi.ReadIn.offset);
      const size = request.u32(abi.ReadIn.size);
      const reply = takeReply(ctx, request, size);
      // Never a cookie of ours: nothing follows.
      if (offset > Number.MAX_SAFE_INTEGER) return 0;
      const writer = direntWriter(reply, BODY, BODY + size, { plus, blksize: ctx.options.blksizeBytes });
      // The kernel got no answer, so it holds none of the references that the entries taken so far gave it.
      const giveBack = (error: unknown): never => {
        if (plus) forgetAll(ctx, reply, writer.used());
        throw error;
      };
      try {
        const done = ctx.vfs.readdir(request, request.ino, handleOf(request), offset, plus, writer.sink);
        return done instanceof Promise ? done.then(writer.used, giveBack) : writer.used();
      } catch (error) {
        return giveBack(error);
      }
    },
    encode: (_ctx, _reply, bytes) => bytes,
    undo(ctx, bytes, request) {
      if (plus && request.reply !== undefined) forgetAll(ctx, request.reply, bytes);
    },
  };
}

function forgetAll(ctx: ServerContext, reply: IoBuffer, bytes: number): void {
  forEachReference(reply.view, BODY, BODY + bytes, (ino) => ctx.vfs.forget(ino, 1));
}

const releasedir: Operation<void> = {
  name: "RELEASEDIR",
  bodyBytes: abi.RELEASE_IN_BYTES,
  run: (ctx, request) => ctx.vfs.releasedir(request.ino, handleOf(request)),
};

const fsyncdir: Operation<void> = {
  name: "FSYNCDIR",
  bodyBytes: abi.FSYNC_IN_BYTES,
  run: (ctx, request) => ctx.vfs.fsyncdir(request, request.ino, handleOf(request), isDataOnly(request)),
};

const statfs: Operation<StatFs> = {
  name: "STATFS",
  bodyBytes: 0,
  run: (ctx, request) => ctx.vfs.statfs(request, request.ino),
  encode: (_, reply, stat) => putStatFs(reply.view, BODY, stat),
};

const access: Operation<void> = {
  name: "ACCESS",
  bodyBytes: abi.ACCESS_IN_BYTES,
  run: (ctx, request) => ctx.vfs.access(request, request.ino, request.u32(0)),
};

/**
 * The caller of another request got a signal. Requests are read in order, so one that is not in flight here has been
 * answered already: EAGAIN, and the kernel drops the interrupt if it sees that too, or sends it again.
 */
const interrupt: Operation<void> = {
  name: "INTERRUPT",
  bodyBytes: abi.INTERRUPT_IN_BYTES,
  replies: "errors",
  run(ctx, request) {
    const target = ctx.inFlight.get(request.u64(0));
    if (target === undefined) throw new FsError("EAGAIN");
    if (target.interrupted) return;
    target.interrupted = true;
    target.onInterrupt?.();
  },
};

const destroy: Operation<void> = { name: "DESTROY", bodyBytes: 0, run: () => {} };

/** A reply buffer of the request's own: it may be filled over several awaits. The server gives it back. */
function takeReply(ctx: ServerContext, request: FuseRequest, bodyBytes: number): IoBuffer {
  if (bodyBytes > ctx.options.maxWriteBytes) {
    throw new MalformedRequest(`${bodyBytes} bytes are asked for, ${ctx.options.maxWriteBytes} is the most`);
  }
  return request.reply = ctx.buffers.take(BODY + bodyBytes);
}

/** By opcode. The server hands an operation's result only to that operation's own encode and undo. */
export const operations: readonly (Operation<unknown> | undefined)[] = table([
  [Opcode.LOOKUP, lookup],
  [Opcode.FORGET, forget],
  [Opcode.GETATTR, getattr],
  [Opcode.SETATTR, setattr],
  [Opcode.READLINK, readlink],
  [Opcode.SYMLINK, symlink],
  [Opcode.MKNOD, mknod],
  [Opcode.MKDIR, mkdir],
  [Opcode.UNLINK, unlink],
  [Opcode.RMDIR, rmdir],
  [Opcode.RENAME, renameOperation("RENAME", abi.RENAME_IN_BYTES, false)],
  [Opcode.LINK, link],
  [Opcode.OPEN, open],
  [Opcode.READ, read],
  [Opcode.WRITE, write],
  [Opcode.STATFS, statfs],
  [Opcode.RELEASE, release],
  [Opcode.FSYNC, fsync],
  [Opcode.FLUSH, flush],
  [Opcode.INIT, init],
  [Opcode.OPENDIR, opendir],
  [Opcode.READDIR, readdirOperation("READDIR", false)],
  [Opcode.RELEASEDIR, releasedir],
  [Opcode.FSYNCDIR, fsyncdir],
  [Opcode.ACCESS, access],
  [Opcode.CREATE, create],
  [Opcode.INTERRUPT, interrupt],
  [Opcode.DESTROY, destroy],
  [Opcode.BATCH_FORGET, batchForget],
  [Opcode.READDIRPLUS, readdirOperation("READDIRPLUS", true)],
  [Opcode.RENAME2, renameOperation("RENAME2", abi.RENAME2_IN_BYTES, true)],
]);

function table(
  entries: readonly (readonly [number, Operation<unknown>])[],
): (Operation<unknown> | undefined)[] {
  const byOpcode = new Array<Operation<unknown> | undefined>(64).fill(undefined);
  for (const [opcode, operation] of entries) byOpcode[opcode] = operation;
  return byOpcode;
}

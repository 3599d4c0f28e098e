/** Operations on open files and directories. */
import { FsError } from "../core/errors.ts";
import { O_APPEND, type Opened } from "../core/vfs/types.ts";
import * as abi from "./abi.ts";
import { direntWriter, forEachReference, type IoBuffer, set64 } from "./codec.ts";
import type { ServerContext } from "./context.ts";
import {
  BODY,
  handleOf,
  isDataOnly,
  lockOwnerAt,
  openReply,
  type Operation,
  takeReply,
} from "./operation.ts";

export const open: Operation<Opened> = {
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

export const read: Operation<number> = {
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

export const write: Operation<number> = {
  name: "WRITE",
  bodyBytes: abi.WRITE_IN_BYTES,
  holdsRequest: true,
  run(ctx, request) {
    const offset = request.u64(abi.ReadIn.offset);
    const data = request.data(abi.WRITE_IN_BYTES, request.u32(abi.ReadIn.size));
    if (offset > Number.MAX_SAFE_INTEGER - data.length) throw new FsError("EFBIG");
    const killSuidGid = (request.u32(abi.ReadIn.flags) & abi.FUSE_WRITE_KILL_SUIDGID) !== 0;
    const isAppend = (request.u32(abi.WriteIn.openFlags) & O_APPEND) !== 0;
    return ctx.vfs.write(request, request.ino, handleOf(request), offset, data, killSuidGid, isAppend);
  },
  encode(_, reply, count) {
    set64(reply.view, BODY, count);
    return abi.WRITE_OUT_BYTES;
  },
};

export const flush: Operation<void> = {
  name: "FLUSH",
  bodyBytes: abi.FLUSH_IN_BYTES,
  run: (ctx, request) =>
    ctx.vfs.flush(request, request.ino, handleOf(request), lockOwnerAt(request, abi.FlushIn.lockOwner)),
};

export const fsync: Operation<void> = {
  name: "FSYNC",
  bodyBytes: abi.FSYNC_IN_BYTES,
  run: (ctx, request) => ctx.vfs.fsync(request, request.ino, handleOf(request), isDataOnly(request)),
};

export const release: Operation<void> = {
  name: "RELEASE",
  bodyBytes: abi.RELEASE_IN_BYTES,
  run: (ctx, request) => ctx.vfs.release(request.ino, handleOf(request)),
};

export const fallocate: Operation<void> = {
  name: "FALLOCATE",
  bodyBytes: abi.FALLOCATE_IN_BYTES,
  run(ctx, request) {
    const offset = request.u64(abi.FallocateIn.offset);
    const length = request.u64(abi.FallocateIn.length);
    if (offset + length > Number.MAX_SAFE_INTEGER) throw new FsError("EFBIG");
    const mode = request.u32(abi.FallocateIn.mode);
    return ctx.vfs.fallocate(request, request.ino, handleOf(request), mode, offset, length);
  },
};

export const lseek: Operation<number> = {
  name: "LSEEK",
  bodyBytes: abi.LSEEK_IN_BYTES,
  run(ctx, request) {
    const offset = request.u64(abi.LseekIn.offset);
    if (offset > Number.MAX_SAFE_INTEGER) throw new FsError("ENXIO");
    return ctx.vfs.lseek(request, request.ino, handleOf(request), offset, request.u32(abi.LseekIn.whence));
  },
  encode(_, reply, offset) {
    set64(reply.view, BODY, offset);
    return abi.LSEEK_OUT_BYTES;
  },
};

/** Most that is copied by one request: what the answer of the older opcode can say, less so that it stays whole pages. */
const COPY_BYTES_MAX = 0x7fff_f000;

/** Both opcodes: the answers are a u32 with padding and a u64, which are the same bytes. */
export const copyFileRange: Operation<number> = {
  name: "COPY_FILE_RANGE",
  bodyBytes: abi.COPY_FILE_RANGE_IN_BYTES,
  run(ctx, request) {
    const field = abi.CopyFileRangeIn;
    const from = { ino: request.ino, handle: request.u64(field.fhIn), offset: request.u64(field.offIn) };
    const to = {
      ino: request.u64(field.nodeidOut),
      handle: request.u64(field.fhOut),
      offset: request.u64(field.offOut),
    };
    const length = Math.min(request.u64(field.len), COPY_BYTES_MAX);
    if (request.u64(field.flags) !== 0) throw new FsError("EINVAL");
    if (from.offset > Number.MAX_SAFE_INTEGER) return 0;
    if (to.offset > Number.MAX_SAFE_INTEGER - length) throw new FsError("EFBIG");
    return ctx.vfs.copyFileRange(request, from, to, length);
  },
  encode(_, reply, count) {
    set64(reply.view, BODY, count);
    return abi.WRITE_OUT_BYTES;
  },
};

export const opendir: Operation<Opened> = {
  name: "OPENDIR",
  bodyBytes: abi.OPEN_IN_BYTES,
  run: (ctx, request) => ctx.vfs.opendir(request, request.ino),
  ...openReply,
  undo: (ctx, opened, request) => ctx.vfs.releasedir(request.ino, opened.handle),
};

/** The result is the size of the reply's body. */
export function readdirOperation(name: string, plus: boolean): Operation<number> {
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

export const releasedir: Operation<void> = {
  name: "RELEASEDIR",
  bodyBytes: abi.RELEASE_IN_BYTES,
  run: (ctx, request) => ctx.vfs.releasedir(request.ino, handleOf(request)),
};

export const fsyncdir: Operation<void> = {
  name: "FSYNCDIR",
  bodyBytes: abi.FSYNC_IN_BYTES,
  run: (ctx, request) => ctx.vfs.fsyncdir(request, request.ino, handleOf(request), isDataOnly(request)),
};

/** Extended attributes, and inode flags, which come as ioctls. */
import { FsError } from "../core/errors.ts";
import type { MaybePromise } from "../core/vfs/types.ts";
import * as abi from "./abi.ts";
import type { IoBuffer } from "./codec.ts";
import type { ServerContext } from "./context.ts";
import { BODY, type Operation, takeReply } from "./operation.ts";
import type { FuseRequest } from "./request.ts";

/** A value or a list of names, already short enough for what the caller has room for; or its size, if it asked for that. */
type Sized = Uint8Array | number;

/** Answers up to this size are built where all small answers are. */
const SMALL_BYTES = 4096;

/** The rule of getxattr(2) and listxattr(2): with size 0 only the size is asked for, and too little room is ERANGE. */
function fitted(value: Uint8Array, sizeBytes: number): Sized {
  if (sizeBytes === 0) return value.length;
  if (value.length > sizeBytes) throw new FsError("ERANGE");
  return value;
}

function prepareReply(ctx: ServerContext, request: FuseRequest, sizeBytes: number): void {
  if (sizeBytes > SMALL_BYTES) takeReply(ctx, request, sizeBytes);
}

function encodeSized(_ctx: ServerContext, reply: IoBuffer, result: Sized): number {
  if (typeof result === "number") {
    reply.view.setUint32(BODY, result, true);
    reply.view.setUint32(BODY + 4, 0, true);
    return abi.GETXATTR_OUT_BYTES;
  }
  reply.bytes.set(result, BODY);
  return result.length;
}

export const getxattr: Operation<Sized> = {
  name: "GETXATTR",
  bodyBytes: abi.GETXATTR_IN_BYTES + 1,
  run(ctx, request) {
    const sizeBytes = Math.min(request.u32(0), abi.XATTR_SIZE_MAX);
    const value = ctx.vfs.getxattr(request, request.ino, request.name(abi.GETXATTR_IN_BYTES));
    prepareReply(ctx, request, sizeBytes);
    return value instanceof Promise
      ? value.then((value) => fitted(value, sizeBytes))
      : fitted(value, sizeBytes);
  },
  encode: encodeSized,
};

export const listxattr: Operation<Sized> = {
  name: "LISTXATTR",
  bodyBytes: abi.GETXATTR_IN_BYTES,
  run(ctx, request) {
    const sizeBytes = Math.min(request.u32(0), abi.XATTR_SIZE_MAX);
    const names = ctx.vfs.listxattr(request, request.ino);
    prepareReply(ctx, request, sizeBytes);
    return names instanceof Promise
      ? names.then((names) => fitted(joined(names), sizeBytes))
      : fitted(joined(names), sizeBytes);
  },
  encode: encodeSized,
};

/** The names one after the other, each with its NUL. */
function joined(names: readonly Uint8Array[]): Uint8Array {
  const list = new Uint8Array(names.reduce((sum, name) => sum + name.length + 1, 0));
  let at = 0;
  for (const name of names) {
    list.set(name, at);
    at += name.length + 1;
  }
  return list;
}

export const setxattr: Operation<void> = {
  name: "SETXATTR",
  bodyBytes: abi.SETXATTR_IN_COMPAT_BYTES + 1,
  run(ctx, request) {
    const isExtended = ((ctx.agreed?.flags ?? 0) & abi.InitFlag.SETXATTR_EXT) !== 0;
    const nameAt = isExtended ? abi.SETXATTR_IN_BYTES : abi.SETXATTR_IN_COMPAT_BYTES;
    const name = request.name(nameAt);
    const value = request.data(nameAt + name.length + 1, request.u32(abi.SetxattrIn.size)).slice();
    const extraFlags = isExtended ? request.u32(abi.SetxattrIn.setxattrFlags) : 0;
    return ctx.vfs.setxattr(request, request.ino, name, value, {
      flags: request.u32(abi.SetxattrIn.flags),
      killSgid: (extraFlags & abi.FUSE_SETXATTR_ACL_KILL_SGID) !== 0,
    });
  },
};

export const removexattr: Operation<void> = {
  name: "REMOVEXATTR",
  bodyBytes: 1,
  run: (ctx, request) => ctx.vfs.removexattr(request, request.ino, request.name(0)),
};

/** FS_XFLAG_* bits of struct fsxattr, and the inode flags (FS_*_FL) that they are. */
const xflags: readonly (readonly [xflag: number, flag: number])[] = [
  [0x08, 0x10], // immutable
  [0x10, 0x20], // append-only
  [0x20, 0x08], // synchronous
  [0x40, 0x80], // no atime
  [0x80, 0x40], // no dump
];
const ALL_XFLAGS = xflags.reduce((all, [xflag]) => all | xflag, 0);
const ALL_FLAGS = xflags.reduce((all, [, flag]) => all | flag, 0);
/** Says that the file has extended attributes; can be told, not set. */
const FS_XFLAG_HASATTR = 0x8000_0000;

const toXflags = (flags: number) =>
  xflags.reduce((sum, [xflag, flag]) => flags & flag ? sum | xflag : sum, 0);
const toFlags = (bits: number) => xflags.reduce((sum, [xflag, flag]) => bits & xflag ? sum | flag : sum, 0);

/** What is copied out of an ioctl: `word`, then zeros up to the size that the kernel said. */
interface IoctlResult {
  readonly word: number;
  readonly outBytes: number;
}

/** The four ioctls of ioctl_iflags(2) and ioctl_xfs_fsgetxattr(2); any other is one that this file system does not know. */
export const ioctl: Operation<IoctlResult> = {
  name: "IOCTL",
  bodyBytes: abi.IOCTL_IN_BYTES,
  run(ctx, request) {
    const outBytes = request.u32(abi.IoctlIn.outSize);
    if (outBytes > SMALL_BYTES) throw new FsError("ENOTTY");
    const word = runIoctl(ctx, request);
    return word instanceof Promise ? word.then((word) => ({ word, outBytes })) : { word, outBytes };
  },
  encode(_, reply, { word, outBytes }) {
    reply.bytes.fill(0, BODY, BODY + abi.IOCTL_OUT_BYTES + outBytes);
    if (outBytes >= 4) reply.view.setUint32(BODY + abi.IOCTL_OUT_BYTES, word, true);
    return abi.IOCTL_OUT_BYTES + outBytes;
  },
};

function runIoctl(ctx: ServerContext, request: FuseRequest): MaybePromise<number> {
  const { vfs } = ctx;
  const { ino } = request;
  switch (request.u32(abi.IoctlIn.cmd)) {
    case abi.FS_IOC_GETFLAGS:
      return vfs.getFlags(request, ino);
    case abi.FS_IOC_FSGETXATTR: {
      const flags = vfs.getFlags(request, ino);
      return flags instanceof Promise ? flags.then(toXflags) : toXflags(flags);
    }
    case abi.FS_IOC_SETFLAGS:
      return changed(ctx, ino, vfs.setFlags(request, ino, inWord(request, 0)));
    case abi.FS_IOC_FSSETXATTR: {
      const bits = inWord(request, abi.Fsxattr.xflags) & ~FS_XFLAG_HASATTR;
      // Extent sizes and projects are nothing that is kept here.
      const { extsize, projid, cowextsize } = abi.Fsxattr;
      const asksMore = [extsize, projid, cowextsize].some((field) => inWord(request, field) !== 0);
      if ((bits & ~ALL_XFLAGS) !== 0 || asksMore) throw new FsError("ENOTSUP");
      return changed(ctx, ino, vfs.setFlags(request, ino, toFlags(bits), ALL_FLAGS));
    }
    default:
      throw new FsError("ENOTTY");
  }
}

/** A word of what the caller handed in. */
function inWord(request: FuseRequest, offset: number): number {
  if (request.u32(abi.IoctlIn.inSize) < offset + 4) throw new FsError("EINVAL");
  request.data(abi.IOCTL_IN_BYTES + offset, 4);
  return request.u32(abi.IOCTL_IN_BYTES + offset);
}

/** Nothing is copied out of a change. Its ctime is news to the kernel, which takes an ioctl for no change of the file. */
async function changed(ctx: ServerContext, ino: number, done: MaybePromise<void>): Promise<number> {
  await done;
  await ctx.outdate(ino, "attributes");
  return 0;
}

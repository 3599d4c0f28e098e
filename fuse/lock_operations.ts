/** flock(2) and record locks. */
import { FsError } from "../core/errors.ts";
import { FILE_BYTES_MAX } from "../core/limits.ts";
import type { FileLock, LockKind, MaybePromise, Outdated } from "../core/vfs/types.ts";
import * as abi from "./abi.ts";
import { set64 } from "./codec.ts";
import type { ServerContext } from "./context.ts";
import { BODY, handleOf, lockOwnerAt, type Operation } from "./operation.ts";
import type { FuseRequest } from "./request.ts";

const f = abi.FileLockField;

/** The kernel's `end` of a lock that reaches to the end of file is OFFSET_MAX, 2^63-1. */
function lockOf(request: FuseRequest): FileLock {
  const { lk } = abi.LkIn;
  return {
    type: kindOf(request),
    start: request.u64(lk + f.start),
    end: Math.min(request.u64(lk + f.end), FILE_BYTES_MAX),
    pid: request.u32(lk + f.pid),
    owner: lockOwnerAt(request, abi.LkIn.owner),
  };
}

function kindOf(request: FuseRequest): LockKind {
  switch (request.u32(abi.LkIn.lk + f.type)) {
    case abi.F_RDLCK:
      return "read";
    case abi.F_WRLCK:
      return "write";
    case abi.F_UNLCK:
      return "unlock";
    default:
      throw new FsError("EINVAL");
  }
}

export const getlk: Operation<FileLock> = {
  name: "GETLK",
  bodyBytes: abi.LK_IN_BYTES,
  run(ctx, request) {
    const lock = lockOf(request);
    // Nobody can have locked what no file can have.
    if (lock.start > FILE_BYTES_MAX) return { ...lock, type: "unlock" };
    return ctx.vfs.getlk(request, request.ino, handleOf(request), lock);
  },
  encode(_, { view }, { start, end, type, pid }) {
    set64(view, BODY + f.start, start);
    if (end < FILE_BYTES_MAX) set64(view, BODY + f.end, end);
    else {
      view.setUint32(BODY + f.end, 0xffff_ffff, true);
      view.setUint32(BODY + f.end + 4, 0x7fff_ffff, true);
    }
    const number = type === "read" ? abi.F_RDLCK : type === "write" ? abi.F_WRLCK : abi.F_UNLCK;
    view.setUint32(BODY + f.type, number, true);
    view.setUint32(BODY + f.pid, pid, true);
    return abi.LK_OUT_BYTES;
  },
};

/** Locks and unlocks. What the kernel must not believe any more it is told before it hears of the lock. */
export function setlkOperation(name: string, wait: boolean): Operation<void> {
  const options = { wait };
  return {
    name,
    bodyBytes: abi.LK_IN_BYTES,
    ...(wait ? { waits: true } as const : {}),
    async run(ctx, request) {
      const handle = handleOf(request);
      let outdated: Outdated;
      if (request.u32(abi.LkIn.flags) & abi.FUSE_LK_FLOCK) {
        outdated = await ctx.vfs.flock(request, request.ino, handle, kindOf(request), options);
      } else outdated = await setRecord(ctx, request, handle, wait);
      if (outdated !== "nothing") await ctx.outdate(request.ino, outdated);
    },
  };
}

function setRecord(
  ctx: ServerContext,
  request: FuseRequest,
  handle: number,
  wait: boolean,
): MaybePromise<Outdated> {
  const lock = lockOf(request);
  if (lock.start > FILE_BYTES_MAX) {
    if (lock.type === "unlock") return "nothing";
    throw new FsError("EOVERFLOW");
  }
  return ctx.vfs.setlk(request, request.ino, handle, lock, { wait });
}

/** Operations about the connection itself. */
import { FsError } from "../core/errors.ts";
import type { StatFs } from "../core/vfs/types.ts";
import * as abi from "./abi.ts";
import { putStatFs } from "./codec.ts";
import { negotiate, type Negotiated, putInit } from "./init.ts";
import { BODY, type Operation } from "./operation.ts";
import { interruptRequest, MalformedRequest } from "./request.ts";

export const init: Operation<Negotiated | null> = {
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

export const forget: Operation<void> = {
  name: "FORGET",
  bodyBytes: abi.FORGET_IN_BYTES,
  replies: "never",
  run: (ctx, request) => ctx.vfs.forget(request.ino, request.u64(0)),
};

export const batchForget: Operation<void> = {
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

/**
 * The caller of another request got a signal. Requests are read in order, so one that is not in flight here has been
 * answered already: EAGAIN, and the kernel drops the interrupt if it sees that too, or sends it again.
 */
export const interrupt: Operation<void> = {
  name: "INTERRUPT",
  bodyBytes: abi.INTERRUPT_IN_BYTES,
  replies: "errors",
  run(ctx, request) {
    const target = ctx.inFlight.get(request.u64(0));
    if (target === undefined) throw new FsError("EAGAIN");
    interruptRequest(target);
  },
};

export const statfs: Operation<StatFs> = {
  name: "STATFS",
  bodyBytes: 0,
  run: (ctx, request) => ctx.vfs.statfs(request, request.ino),
  encode: (_, reply, stat) => putStatFs(reply.view, BODY, stat),
};

export const destroy: Operation<void> = { name: "DESTROY", bodyBytes: 0, run: () => {} };

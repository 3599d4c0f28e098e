/**
 * Bytes of a request in, bytes of its reply out. Knows no device: the loop feeds it, tests feed it.
 *
 * Invariants:
 * - Every request that has a reply is answered exactly once, whatever its handler does; an exception is an errno.
 * - References and handles that a reply would have given the kernel are given back if the reply was not taken.
 * - A request's buffer is in use after `handle` returned only if `handle` returned a promise, and until that settles.
 *   That is so for large WRITEs; small ones are copied, so that many of them may wait without holding large buffers.
 * - `context.inFlight` holds the requests whose handler returned a promise that has not settled.
 * Replies are built in one scratch buffer, between two awaits; operations that fill a reply over several awaits have a
 * buffer of their own from the pool.
 */
import { errnoOf, FsError } from "../core/errors.ts";
import type { Env } from "../core/env.ts";
import type { Vfs } from "../core/vfs/types.ts";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES, OutHeader } from "./abi.ts";
import { type BufferPool, createBufferPool, MIDDLE_BYTES } from "./buffer_pool.ts";
import { invalInode, type IoBuffer, ioBuffer, set64 } from "./codec.ts";
import { type ServerContext, serverDefaults, type ServerOptions } from "./context.ts";
import { errnoNumbers } from "./errno.ts";
import type { Negotiated } from "./init.ts";
import { limitedLog } from "./log_limit.ts";
import { operations } from "./opcode_table.ts";
import type { Operation } from "./operation.ts";
import { FuseRequest, interruptRequest, MalformedRequest } from "./request.ts";

/** Enough for every reply but READ's and READDIR's: the largest is a symlink's target. */
const SCRATCH_BYTES = 8192;
/** A request that is held is copied if it is this small, or if so much is held already and it fits a smaller buffer. */
const COPY_BYTES_MAX = 16 << 10;
const COPY_ABOVE_HELD_BYTES = 32 << 20;

export interface FuseServerOptions {
  readonly vfs: Vfs;
  readonly env: Env;
  readonly options?: Partial<ServerOptions>;
  /** Takes the first `length` bytes at once. False: nobody wants this answer any more. */
  reply(bytes: Uint8Array, length: number): boolean;
  /** Takes a message of the server's own, at once; `waits`: one that the kernel may take only after requests under way were
   *  answered, so not on this thread. Without it nothing is said. */
  notify?(message: Uint8Array<ArrayBuffer>, waits: boolean): Promise<void> | void;
  /** Called after each answer that was not given before `handle` returned. */
  onSettled?(): void;
}

export interface FuseServer {
  /** Answers the request in the first `length` bytes, now or later. A promise: the buffer is in use until it settles
   *  (it never rejects). */
  handle(request: IoBuffer, length: number): Promise<void> | undefined;
  /** Requests that are not answered yet, but for those that wait for other processes. */
  readonly inFlight: number;
  /** Ends what waits for other processes, with EINTR. */
  interruptWaiting(): void;
  /** Resolves when every request is answered, those that wait included. */
  idle(): Promise<void>;
  /** Request and reply buffers, shared with the loop so that one bound covers both. */
  readonly buffers: BufferPool;
  /** The INIT handshake. Rejects if the kernel is too old. */
  readonly negotiated: Promise<Negotiated>;
}

export function createFuseServer(config: FuseServerOptions): FuseServer {
  const { vfs, env, options, reply, notify, onSettled } = config;
  const settings = { ...serverDefaults, ...options };
  const buffers = createBufferPool(settings.maxWriteBytes);
  const scratch = ioBuffer(new Uint8Array(SCRATCH_BYTES));
  const inFlight = new Map<number, FuseRequest>();
  const waiting = new Set<FuseRequest>();
  const log = limitedLog(env);
  const negotiated = Promise.withResolvers<Negotiated>();
  // Whoever waits for it sees the rejection; nobody has to.
  negotiated.promise.catch(() => {});
  let idleWaiters: (() => void)[] = [];

  const context: ServerContext = {
    vfs,
    env,
    options: settings,
    buffers,
    inFlight,
    outdate: (ino, what) => notify?.(invalInode(ino, what === "contents"), what === "contents"),
    agreed: null,
    onInit(agreed) {
      context.agreed = agreed;
      if (agreed !== null) negotiated.resolve(agreed);
    },
  };

  function handle(buffer: IoBuffer, length: number): Promise<void> | undefined {
    if (length < IN_HEADER_BYTES) {
      log("error", `fuse: a request of ${length} bytes has no header`);
      return undefined;
    }
    const request = new FuseRequest(buffer, length);
    const operation = operations[request.opcode];
    if (operation === undefined) {
      sendError(request, errnoNumbers.ENOSYS);
      return undefined;
    }
    try {
      if (request.declaredLength !== length || request.bodyBytes < operation.bodyBytes) {
        throw new MalformedRequest(`${length} bytes, the header says ${request.declaredLength}`);
      }
      const own = operation.holdsRequest && isCopied(length) ? buffers.take(length) : undefined;
      if (own !== undefined) request.moveTo(own);
      const result = run(operation, request, own);
      if (!(result instanceof Promise)) {
        succeed(operation, request, result);
        return undefined;
      }
      inFlight.set(request.unique, request);
      if (operation.waits) waiting.add(request);
      const settled = result.then(
        (value) => {
          inFlight.delete(request.unique);
          if (operation.waits) waiting.delete(request);
          if (own !== undefined) buffers.give(own);
          succeed(operation, request, value);
          afterSettled();
        },
        (error) => {
          inFlight.delete(request.unique);
          if (operation.waits) waiting.delete(request);
          if (own !== undefined) buffers.give(own);
          fail(operation, request, error);
          afterSettled();
        },
      );
      return operation.holdsRequest && own === undefined ? settled : undefined;
    } catch (error) {
      fail(operation, request, error);
      return undefined;
    }
  }

  /** Gives `own` back unless the operation goes on. */
  function run(operation: Operation<unknown>, request: FuseRequest, own: IoBuffer | undefined): unknown {
    let result: unknown;
    try {
      result = operation.run(context, request);
    } finally {
      if (own !== undefined && !(result instanceof Promise)) buffers.give(own);
    }
    return result;
  }

  function isCopied(length: number): boolean {
    if (length <= COPY_BYTES_MAX) return true;
    return buffers.takenBytes > COPY_ABOVE_HELD_BYTES && length <= MIDDLE_BYTES;
  }

  /** Never throws: the answer to a result that cannot be encoded is EIO. */
  function succeed(operation: Operation<unknown>, request: FuseRequest, result: unknown): void {
    if (operation.replies !== undefined) return;
    const out = request.reply ?? scratch;
    let bodyBytes: number;
    try {
      bodyBytes = operation.encode?.(context, out, result, request) ?? 0;
    } catch (error) {
      giveBack(operation, request, result);
      fail(operation, request, error);
      return;
    }
    if (!send(out, request.unique, 0, OUT_HEADER_BYTES + bodyBytes)) giveBack(operation, request, result);
    releaseReply(request);
  }

  function fail(operation: Operation<unknown>, request: FuseRequest, error: unknown): void {
    // FsErrors are answers, but for EIO, and but for a kernel that speaks another language.
    if (!(error instanceof FsError) || error.code === "EIO" || error instanceof MalformedRequest) {
      log("error", `fuse: ${operation.name} of inode ${request.ino} failed: ${describe(error)}`);
    }
    releaseReply(request);
    if (request.opcode === Opcode.INIT) negotiated.reject(error);
    if (operation.replies !== "never") sendError(request, errnoNumbers[errnoOf(error)] ?? errnoNumbers.EIO);
  }

  function giveBack(operation: Operation<unknown>, request: FuseRequest, result: unknown): void {
    const failed = (error: unknown) =>
      log("error", `fuse: giving back ${operation.name} of inode ${request.ino} failed: ${describe(error)}`);
    try {
      const done = operation.undo?.(context, result, request);
      if (done instanceof Promise) done.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  function releaseReply(request: FuseRequest): void {
    if (request.reply === undefined) return;
    buffers.give(request.reply);
    request.reply = undefined;
  }

  function sendError(request: FuseRequest, errno: number): void {
    send(scratch, request.unique, -errno, OUT_HEADER_BYTES);
  }

  function send(out: IoBuffer, unique: number, error: number, length: number): boolean {
    out.view.setUint32(OutHeader.len, length, true);
    out.view.setInt32(OutHeader.error, error, true);
    set64(out.view, OutHeader.unique, unique);
    return reply(out.bytes, length);
  }

  function afterSettled(): void {
    if (inFlight.size === 0 && idleWaiters.length > 0) {
      const waiters = idleWaiters;
      idleWaiters = [];
      for (const wake of waiters) wake();
    }
    onSettled?.();
  }

  return {
    handle,
    get inFlight() {
      return inFlight.size - waiting.size;
    },
    interruptWaiting() {
      for (const request of waiting) interruptRequest(request);
    },
    idle: () => inFlight.size === 0 ? Promise.resolve() : new Promise((resolve) => idleWaiters.push(resolve)),
    buffers,
    negotiated: negotiated.promise,
  };
}

/** What the operator needs: the message, where unexpected errors come from, and their causes' messages. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  const known = error instanceof FsError || error.name === "StoreError";
  return known ? error.message + cause : (error.stack ?? error.message) + cause;
}

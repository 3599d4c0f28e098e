/** What an operation of the protocol is, and the answers that several of them share. */
import type { AttrReply, Entry, MaybePromise, Opened } from "../core/vfs/types.ts";
import * as abi from "./abi.ts";
import { OUT_HEADER_BYTES } from "./abi.ts";
import { type IoBuffer, putAttrReply, putEntry, putOpened } from "./codec.ts";
import type { ServerContext } from "./context.ts";
import { type FuseRequest, MalformedRequest } from "./request.ts";

export interface Operation<R> {
  readonly name: string;
  /** Size of the body's fixed part; a shorter request is malformed. */
  readonly bodyBytes: number;
  /** `errors`: nothing is sent when it succeeds; `never`: nothing at all. Default: always. */
  readonly replies?: "errors" | "never";
  /** It may take as long as other processes like: it does not count among the requests in flight. */
  readonly waits?: true;
  /** The request's bytes are in use until the result settles. */
  readonly holdsRequest?: true;
  /** Decodes and calls. Must not read the body after its first await, except with `holdsRequest`. */
  run(ctx: ServerContext, request: FuseRequest): MaybePromise<R>;
  /** Writes the answer's body after the header, at OUT_HEADER_BYTES; returns its size. Default: no body. */
  encode?(ctx: ServerContext, reply: IoBuffer, result: R, request: FuseRequest): number;
  /** The kernel did not take the answer: gives back the references in it. */
  undo?(ctx: ServerContext, result: R, request: FuseRequest): MaybePromise<void>;
}

/** Where the body of a reply begins. */
export const BODY = OUT_HEADER_BYTES;

/** Entry answers: LOOKUP, MKNOD, MKDIR, SYMLINK, LINK. */
export const entryReply = {
  encode: (ctx: ServerContext, reply: IoBuffer, entry: Entry) =>
    putEntry(reply.view, BODY, entry, ctx.options.blksizeBytes),
  undo: (ctx: ServerContext, entry: Entry) => ctx.vfs.forget(entry.attr.ino, 1),
};

export const attrReply = {
  encode: (ctx: ServerContext, reply: IoBuffer, result: AttrReply) =>
    putAttrReply(reply.view, BODY, result, ctx.options.blksizeBytes),
};

export const openReply = {
  encode: (_: ServerContext, reply: IoBuffer, opened: Opened) => putOpened(reply.view, BODY, opened),
};

export function handleOf(request: FuseRequest): number {
  return request.u64(0);
}

export function isDataOnly(request: FuseRequest): boolean {
  return (request.u32(abi.FsyncIn.flags) & abi.FUSE_FSYNC_FDATASYNC) !== 0;
}

/** The kernel's name for who holds record locks: all 64 bits, as text. */
export function lockOwnerAt(request: FuseRequest, offset: number): string {
  return `${request.u32(offset + 4).toString(36)}.${request.u32(offset).toString(36)}`;
}

/** A reply buffer of the request's own: it may be filled over several awaits. The server gives it back. */
export function takeReply(ctx: ServerContext, request: FuseRequest, bodyBytes: number): IoBuffer {
  if (bodyBytes > ctx.options.maxWriteBytes) {
    throw new MalformedRequest(`${bodyBytes} bytes are asked for, ${ctx.options.maxWriteBytes} is the most`);
  }
  return request.reply = ctx.buffers.take(BODY + bodyBytes);
}

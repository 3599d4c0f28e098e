/**
 * One request of the kernel, decoded as far as its header; the body is read through the methods. It is also the Caller
 * that the file system sees: one object per request.
 *
 * Invariant: the body may be read only until the operation's `run` returns, because the buffer is used again then. What an
 * operation needs later it copies (names), unless it holds the request (WRITE): then until its result settles.
 */
import { FsError } from "../core/errors.ts";
import type { Caller } from "../core/vfs/types.ts";
import { IN_HEADER_BYTES, InHeader } from "./abi.ts";
import { getU64, type IoBuffer } from "./codec.ts";

/** The request's bytes are not what the protocol says. */
export class MalformedRequest extends FsError {
  override name = "MalformedRequest";
  constructor(message: string) {
    super("EINVAL", message);
  }
}

export class FuseRequest implements Caller {
  readonly opcode: number;
  readonly unique: number;
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  interrupted?: boolean = undefined;
  onInterrupt?: () => void = undefined;
  /** Where the reply is built, for operations that fill it while they run (READ, READDIR). */
  reply: IoBuffer | undefined = undefined;

  constructor(private buffer: IoBuffer, readonly length: number) {
    const { view } = buffer;
    this.opcode = view.getUint32(InHeader.opcode, true);
    this.unique = getU64(view, InHeader.unique);
    this.ino = getU64(view, InHeader.nodeid);
    this.uid = view.getUint32(InHeader.uid, true);
    this.gid = view.getUint32(InHeader.gid, true);
    this.pid = view.getUint32(InHeader.pid, true);
  }

  /** The kernel names one group only; the others stand in /proc. A process that has ended is in none. */
  inGroup(gid: number): boolean {
    try {
      const status = Deno.readTextFileSync(`/proc/${this.pid}/status`);
      return /^Groups:(.*)$/m.exec(status)?.[1]?.split(/\s+/).includes(String(gid)) ?? false;
    } catch {
      return false;
    }
  }

  /** What the header says; equal to `length` in a well-formed request. */
  get declaredLength(): number {
    return this.buffer.view.getUint32(InHeader.len, true);
  }

  /** Moves the bytes, so that the buffer they came in is free. */
  moveTo(own: IoBuffer): void {
    own.bytes.set(this.buffer.bytes.subarray(0, this.length));
    this.buffer = own;
  }

  get bodyBytes(): number {
    return this.length - IN_HEADER_BYTES;
  }

  /** For codec functions that read a whole struct; `bodyAt(0)` is the body's first byte. */
  get view(): DataView {
    return this.buffer.view;
  }

  bodyAt(offset: number): number {
    return IN_HEADER_BYTES + offset;
  }

  u32(offset: number): number {
    return this.buffer.view.getUint32(IN_HEADER_BYTES + offset, true);
  }

  u64(offset: number): number {
    return getU64(this.buffer.view, IN_HEADER_BYTES + offset);
  }

  /** A copy of the NUL-terminated string at `offset` of the body, without the NUL. */
  name(offset: number): Uint8Array {
    const start = IN_HEADER_BYTES + offset;
    return this.buffer.bytes.slice(start, this.endOfName(start));
  }

  /** Two strings, one after the other. */
  names(offset: number): [Uint8Array, Uint8Array] {
    const first = this.name(offset);
    return [first, this.name(offset + first.length + 1)];
  }

  /** The body's bytes themselves, not a copy. */
  data(offset: number, length: number): Uint8Array {
    const start = IN_HEADER_BYTES + offset;
    if (start + length > this.length) {
      throw new MalformedRequest(`${length} bytes of data are announced, ${this.length - start} are there`);
    }
    return this.buffer.bytes.subarray(start, start + length);
  }

  private endOfName(start: number): number {
    const { bytes } = this.buffer;
    for (let end = start; end < this.length; end++) if (bytes[end] === 0) return end;
    throw new MalformedRequest("a string without its NUL");
  }
}

/** The caller got a signal, or is gone: an operation that can end early does. */
export function interruptRequest(request: FuseRequest): void {
  if (request.interrupted) return;
  request.interrupted = true;
  request.onInterrupt?.();
}

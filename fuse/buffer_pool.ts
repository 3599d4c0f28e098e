/**
 * Buffers for requests and replies, used again and again: a fresh megabyte costs its page faults. Three sizes; a few
 * unused ones of each are kept, so memory shrinks after a burst.
 */
import { assert } from "../core/assert.ts";
import { type IoBuffer, ioBuffer } from "./codec.ts";

/** Room for the largest headers (in_header + write_in) beside the payload. */
export const HEADER_ROOM_BYTES = 4096;
const SMALL_BYTES = (16 << 10) + HEADER_ROOM_BYTES;
export const MIDDLE_BYTES = (128 << 10) + HEADER_ROOM_BYTES;
const SPARE_MAX = 8;

export interface BufferPool {
  /** A buffer of at least `bytes`; its contents are arbitrary. */
  take(bytes: number): IoBuffer;
  give(buffer: IoBuffer): void;
  /** Size of all buffers that are taken. */
  readonly takenBytes: number;
}

/** `payloadBytesMax` is the largest payload: a WRITE's data or a READ's answer. */
export function createBufferPool(payloadBytesMax: number): BufferPool {
  const sizes = [SMALL_BYTES, MIDDLE_BYTES, payloadBytesMax + HEADER_ROOM_BYTES].sort((a, b) => a - b);
  const spare: IoBuffer[][] = sizes.map(() => []);
  let takenBytes = 0;
  return {
    take(bytes) {
      const index = sizes.findIndex((size) => bytes <= size);
      assert(index >= 0, `a buffer of ${bytes} bytes is larger than any request`);
      takenBytes += sizes[index] as number;
      return spare[index]?.pop() ?? ioBuffer(new Uint8Array(sizes[index] as number));
    },
    give(buffer) {
      const index = sizes.indexOf(buffer.bytes.length);
      assert(index >= 0, "a buffer that is not from this pool");
      takenBytes -= buffer.bytes.length;
      const list = spare[index] as IoBuffer[];
      if (list.length < SPARE_MAX) list.push(buffer);
    },
    get takenBytes() {
      return takenBytes;
    },
  };
}

/**
 * Read-ahead: notices who reads a file in sequence, and fetches whole blocks before they are asked for.
 *
 * A file has a few streams (places where somebody reads on); a read belongs to a stream if it starts about where the
 * stream's last one ended: "about", because a kernel keeps several reads of one reader in flight and they may swap. A
 * stream's window starts at one block and doubles up to the limit; reads that belong to no stream halve all windows.
 */
import { CHUNK_BYTES } from "../limits.ts";
import type { BlockReader } from "./block_reader.ts";
import type { FileState, ReadStream } from "./file_state.ts";
import { blockCount, blockLength, chunkOf } from "./layout.ts";
import type { SliceLog, SliceRecord } from "./slice_log.ts";
import type { SliceView } from "./slice_view.ts";

const STREAMS_MAX = 4;
/** How far from its expected place a read of a stream may start: the largest read of the kernel. */
const SLACK_BYTES = 1 << 20;
/** A first read of at least this much at the start of a file: whoever it is, he wants more. */
const EAGER_BYTES = 128 << 10;

export interface ReadAheadDeps {
  readonly log: SliceLog;
  readonly reader: BlockReader;
  readonly blockBytes: number;
  readonly windowBytesMax: number;
  readonly viewOf: (file: FileState, chunk: number, list: readonly SliceRecord[]) => SliceView;
}

export type ReadAhead = ReturnType<typeof createReadAhead>;

export function createReadAhead(deps: ReadAheadDeps) {
  const { log, reader, blockBytes, windowBytesMax } = deps;

  /** The stream that a read of [offset, offset + length) belongs to, moved on; null: it stands alone. */
  function note(file: FileState, offset: number, length: number): ReadStream | null {
    const streams = file.streams;
    const end = offset + length;
    for (const stream of streams) {
      if (offset > stream.next + SLACK_BYTES || offset < stream.next - SLACK_BYTES) continue;
      if (end > stream.next) stream.next = end;
      if (stream.windowBytes === 0) stream.windowBytes = Math.min(blockBytes, windowBytesMax);
      return stream;
    }
    for (const stream of streams) stream.windowBytes = Math.floor(stream.windowBytes / 2);
    if (streams.length === STREAMS_MAX) streams.shift();
    const isEager = offset === 0 && length >= EAGER_BYTES;
    const stream = { next: end, windowBytes: isEager ? Math.min(blockBytes, windowBytesMax) : 0, ahead: 0 };
    streams.push(stream);
    return isEager ? stream : null;
  }

  /** Fetches what the stream's window has and is not fetched yet. */
  function advance(file: FileState, stream: ReadStream): void {
    if (windowBytesMax === 0) return;
    if (stream.ahead < stream.next || stream.ahead > stream.next + 2 * windowBytesMax) {
      stream.ahead = stream.next;
    }
    // Half a window in hand is enough; then the window grows while it is refilled.
    if (stream.ahead - stream.next > stream.windowBytes / 2) return;
    const end = stream.next + stream.windowBytes;
    stream.windowBytes = Math.min(windowBytesMax, Math.max(blockBytes, stream.windowBytes * 2));
    while (stream.ahead < end) {
      const chunk = chunkOf(stream.ahead);
      const list = log.readSlices(file.ino, chunk);
      if (list instanceof Promise) {
        // It is cached when it is here, and the next read finds it.
        list.catch(() => {});
        return;
      }
      if (
        !fetchChunk(stream, chunk, deps.viewOf(file, chunk, list), Math.min(end, (chunk + 1) * CHUNK_BYTES))
      ) return;
    }
  }

  /** Fetches ahead in one chunk up to file offset `end`; false if it must stop there. */
  function fetchChunk(stream: ReadStream, chunk: number, view: SliceView, end: number): boolean {
    const base = chunk * CHUNK_BYTES;
    const to = end - base;
    for (let i = view.find(stream.ahead - base); i < view.count; i++) {
      const start = view.starts[i] as number;
      if (start >= to) break;
      const record = view.records[i] as SliceRecord;
      const segmentEnd = Math.min(to, view.ends[i] as number);
      if (record.sliceId !== 0) {
        const from = Math.max(start, stream.ahead - base) - record.pos + record.off;
        const last = Math.floor((segmentEnd - 1 - record.pos + record.off) / blockBytes);
        for (let index = Math.floor(from / blockBytes); index <= last; index++) {
          if (index >= blockCount(record.size, blockBytes)) break;
          const lengthBytes = blockLength(record.size, blockBytes, index);
          const { sliceId, checksums } = record;
          if (!reader.prefetch({ sliceId, index, lengthBytes, checksums })) return false;
          // This much of the segment is on its way.
          stream.ahead = base + Math.min(segmentEnd, (index + 1) * blockBytes - record.off + record.pos);
        }
      }
      stream.ahead = base + segmentEnd;
    }
    stream.ahead = end;
    // Nothing behind the last segment: the end of the file, or a hole where looking for more costs more than it saves.
    return view.count > 0 && (view.ends[view.count - 1] as number) === CHUNK_BYTES;
  }

  return { note, advance };
}

/**
 * FileReader: answers reads from dirty slices, the block cache and the object store.
 *
 * Hand-over of a slice from dirty to committed, the invariant that no byte is lost or stale:
 *   a read lays the dirty slices of one moment over a slice list that was asked for and answered while no slice left the
 *   dirty ones (FileState.generation stood still). The committer takes a slice out only after its commit resolved, and
 *   a list asked for after that has it; so each slice is in the list, or still dirty, or both, which shows the same bytes.
 * With that list in hand the whole read is planned in one step without an await: dirty bytes in memory are copied at once,
 * what is stored is copied from the cache at once or fetched. Later writes do not touch the plan: blocks never change.
 * What is fetched later goes only to ranges that nothing newer covers.
 */
import type { Env } from "../env.ts";
import { FsError, isNoSuchObject } from "../errors.ts";
import { CHUNK_BYTES } from "../limits.ts";
import type { BlockCache } from "./block_cache.ts";
import { copyPart } from "./block_cache.ts";
import type { BlockReader } from "./block_reader.ts";
import type { DirtySlice } from "./dirty_slice.ts";
import type { FileState } from "./file_state.ts";
import { blockLength, chunkOf } from "./layout.ts";
import { asFsError, type DataCounters } from "./options.ts";
import type { ReadAhead } from "./read_ahead.ts";
import { ReadOp } from "./read_op.ts";
import type { SliceLog, SliceRecord } from "./slice_log.ts";
import { buildView, type SliceView, viewOf } from "./slice_view.ts";

/** After so many commits in the middle of one read, commits wait for it. */
const RETRIES_BEFORE_HOLD = 4;

export interface FileReaderDeps {
  readonly log: SliceLog;
  readonly env: Env;
  readonly blockBytes: number;
  readonly counters: DataCounters;
  readonly cache: BlockCache;
  readonly reader: BlockReader;
  readonly readAhead: ReadAhead;
  /** A reader no longer holds up the file's commits. */
  readonly onUnheld: (file: FileState) => void;
}

/** Where a read puts what it finds: `into[at]` is the byte at chunk position `from`; `op` is made when one must wait. */
interface Plan {
  readonly into: Uint8Array;
  readonly length: number;
  readonly isSequential: boolean;
  at: number;
  from: number;
  op: ReadOp | null;
}

const views = new WeakMap<readonly SliceRecord[], SliceView>();

/** The view of a chunk's list; derived from the file's last one if the list only grew. */
export function viewOfChunk(file: FileState, chunk: number, list: readonly SliceRecord[]): SliceView {
  return file.viewOf(chunk, list, (previous) => {
    let view = views.get(list);
    if (view === undefined) {
      view = previous === null ? buildView(list) : viewOf(list, previous);
      views.set(list, view);
    }
    return view;
  });
}

export type FileReader = ReturnType<typeof createFileReader>;

export function createFileReader(deps: FileReaderDeps) {
  const { log, blockBytes, cache, reader, readAhead, counters } = deps;

  /** Fills into[0, length) with the file's bytes from `offset`, which the caller has clipped to the file's length. */
  function read(file: FileState, offset: number, length: number, into: Uint8Array): number | Promise<number> {
    if (length === 0) return 0;
    const chunk = chunkOf(offset);
    if (chunkOf(offset + length - 1) !== chunk) return readSlowly(file, offset, length, into);
    const list = log.readSlices(file.ino, chunk);
    if (list instanceof Promise) return readSlowly(file, offset, length, into, list);
    const answer = plan(file, offset, length, into, [list]);
    return typeof answer === "number" ? answer : answer.catch((error) => {
      return readAgain(file, offset, length, into, error);
    });
  }

  /** A file that was cut or rewritten while it was read may have lost the objects of its old slices: looks once more. */
  function readAgain(
    file: FileState,
    offset: number,
    length: number,
    into: Uint8Array,
    error: unknown,
  ): Promise<number> {
    if (!(error instanceof FsError && isNoSuchObject(error.cause))) throw error;
    log.forgetSlices?.(file.ino);
    return readSlowly(file, offset, length, into, null, true);
  }

  async function readSlowly(
    file: FileState,
    offset: number,
    length: number,
    into: Uint8Array,
    first: Promise<readonly SliceRecord[]> | null = null,
    isRepeated = false,
  ): Promise<number> {
    const firstChunk = chunkOf(offset);
    const lastChunk = chunkOf(offset + length - 1);
    let isHolding = false;
    file.readers++;
    try {
      for (let attempt = 1;; attempt++) {
        const generation = file.generation;
        const lists: (readonly SliceRecord[])[] = [];
        for (let chunk = firstChunk; chunk <= lastChunk; chunk++) {
          const list = first !== null && chunk === firstChunk ? first : log.readSlices(file.ino, chunk);
          first = null;
          lists.push(list instanceof Promise ? await list : list);
        }
        // From here to the end of plan() nothing else runs.
        if (file.generation === generation) {
          const answer = plan(file, offset, length, into, lists);
          if (typeof answer === "number" || isRepeated) return answer;
          return answer.catch((error) => readAgain(file, offset, length, into, error));
        }
        if (attempt === RETRIES_BEFORE_HOLD) {
          isHolding = true;
          file.commitHolds++;
        }
      }
    } catch (error) {
      throw asFsError(error, `inode ${file.ino} cannot be read`);
    } finally {
      file.readers--;
      if (isHolding) {
        file.commitHolds--;
        deps.onUnheld(file);
      }
    }
  }

  function plan(
    file: FileState,
    offset: number,
    length: number,
    into: Uint8Array,
    lists: readonly (readonly SliceRecord[])[],
  ): number | Promise<number> {
    const stream = readAhead.note(file, offset, length);
    const todo: Plan = { into, length, isSequential: stream !== null, at: 0, from: 0, op: null };
    let chunk = chunkOf(offset);
    let done = 0;
    for (const list of lists) {
      const from = offset + done - chunk * CHUNK_BYTES;
      const to = Math.min(CHUNK_BYTES, from + length - done);
      todo.at = done;
      todo.from = from;
      const view = viewOfChunk(file, chunk, list);
      const dirty = file.overlapping(chunk, from, to);
      if (dirty.length === 0) fillCommitted(todo, view, from, to);
      else fillDirty(todo, view, dirty, dirty.length - 1, from, to);
      done += to - from;
      chunk++;
    }
    if (stream !== null) readAhead.advance(file, stream);
    return todo.op === null ? length : todo.op.promise;
  }

  /** [from, to) of the chunk as seen through dirty[0..newest] and below them the view. */
  function fillDirty(
    todo: Plan,
    view: SliceView,
    dirty: readonly DirtySlice[],
    newest: number,
    from: number,
    to: number,
  ): void {
    for (let i = newest; i >= 0; i--) {
      const slice = dirty[i] as DirtySlice;
      const start = Math.max(from, slice.start);
      const end = Math.min(to, slice.end);
      if (start >= end) continue;
      fillFromSlice(todo, slice, start, end);
      if (from < start) fillDirty(todo, view, dirty, i - 1, from, start);
      if (end < to) fillDirty(todo, view, dirty, i - 1, end, to);
      return;
    }
    fillCommitted(todo, view, from, to);
  }

  function fillFromSlice(todo: Plan, slice: DirtySlice, from: number, to: number): void {
    for (let position = from; position < to;) {
      const inSlice = position - slice.start;
      const index = Math.floor(inSlice / blockBytes);
      const end = Math.min(to, slice.start + (index + 1) * blockBytes);
      const start = inSlice - index * blockBytes;
      const buffer = slice.blocks[index];
      if (buffer) copyPart(buffer, start, start + end - position, todo.into, todo.at + position - todo.from);
      else {
        // Stored, and not committed: its length cannot change any more.
        const lengthBytes = blockLength(slice.length, blockBytes, index);
        fillFromBlock(
          todo,
          slice.sliceId,
          index,
          lengthBytes,
          slice.checksums,
          start,
          end - position,
          position,
        );
      }
      position = end;
    }
  }

  function fillCommitted(todo: Plan, view: SliceView, from: number, to: number): void {
    let position = from;
    for (let i = view.find(from); i < view.count && position < to; i++) {
      const start = Math.max(position, view.starts[i] as number);
      if (start >= to) break;
      const end = Math.min(to, view.ends[i] as number);
      const record = view.records[i] as SliceRecord;
      if (start > position) fillZeros(todo, position, start);
      if (record.sliceId === 0) fillZeros(todo, start, end);
      else fillFromRecord(todo, record, start, end);
      position = end;
    }
    if (position < to) fillZeros(todo, position, to);
  }

  function fillFromRecord(todo: Plan, record: SliceRecord, from: number, to: number): void {
    for (let position = from; position < to;) {
      const inSlice = position - record.pos + record.off;
      const index = Math.floor(inSlice / blockBytes);
      const start = inSlice - index * blockBytes;
      const length = Math.min(to - position, blockBytes - start);
      const lengthBytes = blockLength(record.size, blockBytes, index);
      fillFromBlock(todo, record.sliceId, index, lengthBytes, record.checksums, start, length, position);
      position += length;
    }
  }

  function fillFromBlock(
    todo: Plan,
    sliceId: number,
    index: number,
    lengthBytes: number,
    checksums: Uint8Array,
    start: number,
    length: number,
    position: number,
  ): void {
    const at = todo.at + position - todo.from;
    if (cache.copy(sliceId, index, start, start + length, todo.into, at)) {
      counters.cacheHits++;
      return;
    }
    todo.op ??= new ReadOp(todo.length);
    if (start + length > lengthBytes) {
      // A record that names more than its slice has: bytes that nobody has must not be made up.
      todo.op.fail(new FsError("EIO", `slice ${sliceId} is shorter than its record says`));
      return;
    }
    const block = { sliceId, index, lengthBytes, checksums };
    reader.fetch(block, start, start + length, todo.into, at, todo.isSequential, todo.op);
  }

  function fillZeros(todo: Plan, from: number, to: number): void {
    const at = todo.at + from - todo.from;
    todo.into.fill(0, at, at + to - from);
  }

  return { read };
}

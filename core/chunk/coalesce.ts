/**
 * Joins small dirty slices that touch or overlap before they are uploaded: writes that come in any order but fill a range
 * become one object, not one each.
 *
 * Which slices: the newest of a chunk, back to the first one that is frozen or has blocks on their way. Everything else
 * in the chunk is older than all of them, and what joins is laid down in write order, so a later write still wins.
 */
import { DirtySlice } from "./dirty_slice.ts";
import type { FileState } from "./file_state.ts";

export interface CoalesceDeps {
  readonly blockBytes: number;
  /** A buffer of a whole block. */
  readonly takeBlock: () => Uint8Array;
  /** Buffers that are no longer used, and how much less memory the joined slices take. */
  readonly release: (buffers: readonly Uint8Array[], savedBytes: number) => void;
}

/** Joins what can be joined in all chunks of the file. Nothing waits in here: readers see the file before or after. */
export function coalesce(file: FileState, deps: CoalesceDeps): void {
  if (file.openSlices < 2) return;
  for (const slices of file.chunks.values()) {
    const group = changeableTail(slices);
    if (group.length < 2) continue;
    const runs = touchingRuns(group);
    if (runs.length === 0) continue;
    const joined = runs.map((run) => join(file, run, deps));
    file.replaceOpen(new Set(runs.flat()), joined);
  }
}

function changeableTail(slices: readonly DirtySlice[]): readonly DirtySlice[] {
  let first = slices.length;
  while (first > 0) {
    const slice = slices[first - 1] as DirtySlice;
    if (slice.isFrozen || slice.queuedBlocks > 0) break;
    first--;
  }
  return slices.slice(first);
}

/** Runs of at least two slices whose union has no gap; runs do not touch each other. */
function touchingRuns(slices: readonly DirtySlice[]): DirtySlice[][] {
  const sorted = [...slices].sort((a, b) => a.start - b.start);
  const runs: DirtySlice[][] = [];
  let run: DirtySlice[] = [];
  let end = -1;
  for (const slice of sorted) {
    if (slice.start > end) {
      if (run.length > 1) runs.push(run);
      run = [];
    }
    run.push(slice);
    end = Math.max(end, slice.end);
  }
  if (run.length > 1) runs.push(run);
  return runs;
}

function join(file: FileState, run: readonly DirtySlice[], deps: CoalesceDeps): DirtySlice {
  const { blockBytes } = deps;
  const inOrder = [...run].sort((a, b) => a.seq - b.seq);
  const start = Math.min(...run.map((slice) => slice.start));
  const length = Math.max(...run.map((slice) => slice.end)) - start;
  const joined = new DirtySlice(file.nextSeq++, inOrder[0]?.chunk ?? 0, start, inOrder[0]?.createdAtMs ?? 0);
  joined.length = length;
  for (let done = 0; done < length; done += blockBytes) {
    const size = Math.min(blockBytes, length - done);
    joined.blocks.push(size === blockBytes ? deps.takeBlock() : new Uint8Array(size));
  }
  const unused: Uint8Array[] = [];
  let savedBytes = -length;
  for (const slice of inOrder) {
    // Shorter than a block, or it would be on its way: all its bytes are in its first buffer.
    const buffer = slice.blocks[0] as Uint8Array;
    copyIn(joined, slice.start - start, buffer.subarray(0, slice.length), blockBytes);
    joined.writtenAtMs = Math.max(joined.writtenAtMs, slice.writtenAtMs);
    if (slice.mtime !== null) joined.mtime = slice.mtime;
    unused.push(buffer);
    savedBytes += buffer.length;
  }
  deps.release(unused, savedBytes);
  return joined;
}

function copyIn(slice: DirtySlice, at: number, bytes: Uint8Array, blockBytes: number): void {
  for (let done = 0; done < bytes.length;) {
    const index = Math.floor((at + done) / blockBytes);
    const inBlock = at + done - index * blockBytes;
    const count = Math.min(bytes.length - done, blockBytes - inBlock);
    (slice.blocks[index] as Uint8Array).set(bytes.subarray(done, done + count), inBlock);
    done += count;
  }
}

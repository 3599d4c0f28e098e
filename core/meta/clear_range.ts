/**
 * Clearing a byte range of a file: which slice records go, and which runs of zeros cover the rest. Shared by truncate,
 * hole punching and zeroing. Dropping a record is right only because nothing older shows through: the run of zeros is
 * written wherever an older or partly covered record has bytes in the range.
 */
import { CHUNK_BYTES } from "../limits.ts";
import type { Found } from "./store.ts";

/** A slice record with its object's record. */
export type FoundSlice = Found<"slices", "sliceId">;

export interface ZeroRun {
  readonly chunk: number;
  readonly pos: number;
  readonly len: number;
}

export interface Clearing {
  readonly dropped: FoundSlice[];
  readonly zeros: ZeroRun[];
}

/** What clearing [start, end) means for these slice records (all of the chunks that the range touches, in key order). */
export function clearRange(slices: readonly FoundSlice[], start: number, end: number): Clearing {
  const dropped: FoundSlice[] = [];
  /** Chunk -> the part of the range that records which stay have bytes in. */
  const covered = new Map<number, { from: number; to: number }>();
  for (const slice of slices) {
    const { chunk, pos, len } = slice.row;
    const base = chunk * CHUNK_BYTES;
    const from = Math.max(start - base, 0, pos);
    const to = Math.min(end - base, pos + len);
    if (from >= to) continue;
    if (from === pos && to === pos + len) {
      dropped.push(slice);
      continue;
    }
    const known = covered.get(chunk);
    if (known === undefined) covered.set(chunk, { from, to });
    else {
      known.from = Math.min(known.from, from);
      known.to = Math.max(known.to, to);
    }
  }
  const zeros = [...covered].map(([chunk, { from, to }]) => ({ chunk, pos: from, len: to - from }));
  return { dropped, zeros };
}

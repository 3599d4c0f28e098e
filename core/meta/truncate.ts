/**
 * Setting a file's length.
 *
 * Invariant: bytes of a slice past the end of its file are never seen again, also when the file grows later: shrinking
 * removes the slices behind the new end, and covers the rest of the chunk it falls into with a run of zeros.
 * A file with very many slices shrinks in several commits, from its tail: each of them is a valid shorter file.
 */
import { FsError } from "../errors.ts";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import { accountedBytes, isDirectory, isRegular, raiseTimes, withoutSuidSgid } from "./attr.ts";
import type { MetaContext } from "./context.ts";
import { usageChange } from "./namespace.ts";
import type { InodeRow } from "./schema.ts";
import { dropSlices, type FoundSlice, noteSliceSeq, scanSlices, sliceCounter } from "./slices.ts";
import { append, checkColumns, update, type Write } from "./store.ts";
import { transact } from "./transact.ts";

/** Slice records that one commit removes at most. */
const SLICES_PER_COMMIT = 1000;

export interface Truncation {
  readonly killSuidGid?: boolean;
}

/** Sets the length. EISDIR, EINVAL (not a regular file), EFBIG, ENOENT. `permit` as in setattr. */
export async function truncate(
  ctx: MetaContext,
  ino: number,
  length: number,
  options: Truncation = {},
  permit: (row: InodeRow) => void = () => {},
): Promise<InodeRow> {
  if (length > FILE_BYTES_MAX) throw new FsError("EFBIG");
  if (length < 0) throw new FsError("EINVAL");
  for (;;) {
    const step = await truncateStep(ctx, ino, length, options, permit);
    if (step.reached) return step.row;
  }
}

function truncateStep(
  ctx: MetaContext,
  ino: number,
  wanted: number,
  options: Truncation,
  permit: (row: InodeRow) => void,
): Promise<{ reached: boolean; row: InodeRow }> {
  return transact(ctx, async (view) => {
    const row = await view.inode(ino);
    if (isDirectory(row.mode)) throw new FsError("EISDIR");
    if (!isRegular(row.mode)) throw new FsError("EINVAL", "not a regular file");
    permit(row);
    let length = wanted;
    const time = ctx.env.now();
    const mode = options.killSuidGid ? withoutSuidSgid(row.mode) : row.mode;
    const checks = [
      checkColumns("inodes", [ino], { length: row.length, mode: row.mode, sliceSeq: row.sliceSeq }),
    ];
    const writes: Write[] = [];
    let listsChange = false;
    if (wanted < row.length && row.sliceSeq > 0) {
      const cut = cutOff(await slicesBehind(ctx, ino, wanted), wanted);
      length = cut.length;
      const dropped = dropSlices(cut.dropped, time);
      checks.push(...dropped.checks);
      writes.push(...dropped.writes);
      listsChange = cut.zeros !== null || cut.dropped.length > 0;
      // The record of zeros raises `sliceSeq`; where none is needed, the counter is raised for its own sake.
      if (cut.zeros !== null) {
        const { chunk, pos, len } = cut.zeros;
        writes.push(
          append("slices", [ino, chunk], { pos, sliceId: 0, size: len, off: 0, len }, sliceCounter(ino)),
        );
      } else if (listsChange) writes.push(update("inodes", [ino], { add: { sliceSeq: 1 } }));
    }
    const bytes = accountedBytes(row.mode, length) - accountedBytes(row.mode, row.length);
    if (bytes !== 0) writes.push(usageChange(ctx, bytes, 0));
    writes.push(update("inodes", [ino], {
      set: { length, ...(mode === row.mode ? {} : { mode }) },
      // truncate() to the same length is a change too (POSIX ftruncate: mtime and ctime are marked on success).
      raise: raiseTimes(time),
    }));
    return {
      checks,
      writes,
      done: () => {
        // The check pinned the old value, so the new one is known.
        if (listsChange) {
          ctx.slices.drop(ino);
          noteSliceSeq(ctx, ino, row.sliceSeq + 1);
        }
        return { reached: length === wanted, row: ctx.cache.inode(ino)?.row ?? { ...row, length, mode } };
      },
    };
  });
}

/** All slices of the chunks from the one that `length` falls into. */
function slicesBehind(ctx: MetaContext, ino: number, length: number): Promise<FoundSlice[]> {
  const firstChunk = Math.floor(length / CHUNK_BYTES);
  return scanSlices(ctx, [ino], [firstChunk - 1, Number.MAX_SAFE_INTEGER]);
}

interface Cut {
  /** The length that this step reaches: `wanted`, or longer where too many slices are in the way. */
  readonly length: number;
  readonly dropped: FoundSlice[];
  readonly zeros: { readonly chunk: number; readonly pos: number; readonly len: number } | null;
}

/** What to remove to get from the end of `slices` (in chunk order) down to `wanted`. */
function cutOff(slices: readonly FoundSlice[], wanted: number): Cut {
  let length = wanted;
  if (slices.length > SLICES_PER_COMMIT) {
    // Only whole chunks from the tail, as many as fit; at least the last one, however many slices it has.
    const lastChunk = slices[slices.length - 1]?.row.chunk as number;
    let from = slices.length;
    let chunk = lastChunk;
    while (from > 0) {
      const next = slices[from - 1]?.row.chunk as number;
      if (next !== chunk && slices.length - from >= SLICES_PER_COMMIT) break;
      chunk = next;
      from--;
    }
    if (from > 0) length = Math.max(wanted, chunk * CHUNK_BYTES);
  }
  const boundary = Math.floor(length / CHUNK_BYTES);
  const pos = length - boundary * CHUNK_BYTES;
  const dropped = slices.filter(({ row }) =>
    row.chunk > boundary || (row.chunk === boundary && row.pos >= pos)
  );
  const coverEnd = slices.reduce(
    (end, { row }) => row.chunk === boundary && row.pos < pos ? Math.max(end, row.pos + row.len) : end,
    0,
  );
  return { length, dropped, zeros: coverEnd > pos ? { chunk: boundary, pos, len: coverEnd - pos } : null };
}

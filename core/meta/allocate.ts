/** fallocate(2): reserving changes only the length (a store has no blocks to reserve); punching and zeroing clear a range. */
import { FsError } from "../errors.ts";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import { accountedBytes, isDirectory, isRegular, raiseTimes } from "./attr.ts";
import { type Clearing, clearRange } from "./clear_range.ts";
import type { MetaContext } from "./context.ts";
import { requireNotFixed, requireNotImmutable } from "./inode_flags.ts";
import { usageChange } from "./namespace.ts";
import type { InodeRow } from "./schema.ts";
import { clearWrites, noteSliceSeq, scanSlices } from "./slices.ts";
import { checkColumns, update, type Write } from "./store.ts";
import { transact } from "./transact.ts";

export interface Allocation {
  readonly start: number;
  readonly end: number;
  /** Make the range read as zeros. */
  readonly clear: boolean;
  /** Raise the file's length to the end of the range. */
  readonly extend: boolean;
}

const NOTHING: Clearing = { dropped: [], zeros: [] };

/** Changes what a range of a regular file holds, in one commit. ENODEV for other kinds, EFBIG, EINVAL. */
export function allocate(
  ctx: MetaContext,
  ino: number,
  { start, end, clear, extend }: Allocation,
  permit: (row: InodeRow) => void = () => {},
): Promise<InodeRow> {
  if (start < 0 || end <= start) throw new FsError("EINVAL");
  if (end > FILE_BYTES_MAX) throw new FsError("EFBIG");
  return transact(ctx, async (view) => {
    const row = await view.inode(ino);
    if (isDirectory(row.mode)) throw new FsError("EISDIR");
    if (!isRegular(row.mode)) throw new FsError("ENODEV");
    permit(row);
    requireNotImmutable(row);
    // fallocate(2): an append-only file may only be given space.
    if (clear) requireNotFixed(row);
    const time = ctx.env.now();
    const length = extend ? Math.max(row.length, end) : row.length;
    const last = Math.min(end, row.length);
    const cleared = clear && row.sliceSeq > 0 && start < last
      ? clearRange(await slicesOf(ctx, ino, start, last), start, end)
      : NOTHING;
    const { checks, writes, raised } = clearWrites(ino, cleared, time);
    const bytes = accountedBytes(row.mode, length) - accountedBytes(row.mode, row.length);
    return {
      checks: [
        checkColumns("inodes", [ino], { length: row.length, sliceSeq: row.sliceSeq, flags: row.flags }),
        ...checks,
      ],
      writes: [
        ...writes,
        update("inodes", [ino], { set: { length }, raise: raiseTimes(time) }),
        usageChange(ctx, bytes, 0),
      ] satisfies Write[],
      done: () => {
        if (raised > 0) {
          ctx.slices.drop(ino);
          noteSliceSeq(ctx, ino, row.sliceSeq + raised);
        }
        return ctx.cache.inode(ino)?.row ?? { ...row, length };
      },
    };
  });
}

/** The slice records of every chunk that [start, end) touches. */
export async function slicesOf(ctx: MetaContext, ino: number, start: number, end: number) {
  const lastChunk = Math.floor((end - 1) / CHUNK_BYTES);
  const found = await scanSlices(
    ctx,
    [ino],
    [Math.floor(start / CHUNK_BYTES) - 1, Number.MAX_SAFE_INTEGER],
    lastChunk,
  );
  return found.filter(({ row }) => row.chunk <= lastChunk);
}

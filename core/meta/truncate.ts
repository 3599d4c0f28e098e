/**
 * Setting a file's length.
 *
 * Invariant: bytes of a slice past the end of its file are never seen again, also when the file grows later: shrinking
 * removes the slices behind the new end, and covers the rest of the chunk it falls into with a run of zeros.
 * A file with very many slices shrinks in several commits, from its tail: each of them is a valid shorter file.
 */
import { FsError } from "../errors.ts";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import {
  accountedBytes,
  isDirectory,
  type IsMember,
  isRegular,
  raiseTimes,
  withoutSuidSgid,
} from "./attr.ts";
import { clearRange, type FoundSlice } from "./clear_range.ts";
import type { MetaContext } from "./context.ts";
import { requireNotFixed } from "./inode_flags.ts";
import { usageChange } from "./namespace.ts";
import type { InodeRow } from "./schema.ts";
import { clearWrites, noteSliceSeq, scanSlices } from "./slices.ts";
import { dropCapability } from "./special_xattrs.ts";
import { checkColumns, update, type Write } from "./store.ts";
import { transact } from "./transact.ts";

/** Slice records that one commit removes at most. */
const SLICES_PER_COMMIT = 1000;

export interface Truncation {
  readonly killSuidGid?: boolean;
  /** Left out: a member. */
  readonly isMember?: IsMember;
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
    requireNotFixed(row);
    const dropped = dropCapability(row);
    let length = wanted;
    const time = ctx.env.now();
    const mode = options.killSuidGid
      ? withoutSuidSgid(row.mode, () => options.isMember?.(row.gid) ?? true)
      : row.mode;
    const checks = [
      checkColumns("inodes", [ino], {
        length: row.length,
        mode: row.mode,
        flags: row.flags,
        sliceSeq: row.sliceSeq,
        ...(dropped === null ? {} : { xattrBytes: row.xattrBytes, xattrKinds: row.xattrKinds }),
      }),
    ];
    const writes: Write[] = [...dropped?.writes ?? []];
    let raised = 0;
    if (wanted < row.length && row.sliceSeq > 0) {
      const behind = await slicesBehind(ctx, ino, wanted);
      length = stepLength(behind, wanted);
      const cleared = clearRange(behind, length, Infinity);
      const change = clearWrites(ino, cleared, time);
      checks.push(...change.checks);
      writes.push(...change.writes);
      raised = change.raised;
    }
    const bytes = accountedBytes(row.mode, length) - accountedBytes(row.mode, row.length);
    if (bytes !== 0) writes.push(usageChange(ctx, bytes, 0));
    writes.push(update("inodes", [ino], {
      set: { length, ...(mode === row.mode ? {} : { mode }), ...dropped?.columns },
      // truncate() to the same length is a change too (POSIX ftruncate: mtime and ctime are marked on success).
      raise: raiseTimes(time),
    }));
    return {
      checks,
      writes,
      done: () => {
        // The check pinned the old value, so the new one is known.
        if (raised > 0) {
          ctx.slices.drop(ino);
          noteSliceSeq(ctx, ino, row.sliceSeq + raised);
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

/**
 * The length that one step reaches from the end of `slices` (in chunk order) down to `wanted`: longer than wanted where
 * too many slices are in the way. Whole chunks from the tail, at least one, however many slices it has.
 */
function stepLength(slices: readonly FoundSlice[], wanted: number): number {
  if (slices.length <= SLICES_PER_COMMIT) return wanted;
  let from = slices.length;
  let chunk = slices[from - 1]?.row.chunk as number;
  while (from > 0) {
    const next = slices[from - 1]?.row.chunk as number;
    if (next !== chunk && slices.length - from >= SLICES_PER_COMMIT) break;
    chunk = next;
    from--;
  }
  return from === 0 ? wanted : Math.max(wanted, chunk * CHUNK_BYTES);
}

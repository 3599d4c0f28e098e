/**
 * Deleting data for good: files without names, then slices without references, then objects. Every step is safe to
 * repeat and to run on several clients at once: a record leaves its list only after what it stands for is gone.
 *
 * Invariant: an object is deleted only after the commit that took its last reference is synced. Otherwise a power loss
 * could bring the old reference back (the file that a rename replaced, say) without its data.
 */
import type { MetaContext } from "./context.ts";
import { dropSlices } from "./slices.ts";
import { remove } from "./store.ts";
import { withRetry } from "./retry.ts";

const FILES_PER_ROUND = 100;
const SLICES_PER_ROUND = 200;
/** Each may have a value of 64 KiB, which comes along. */
const XATTRS_PER_ROUND = 64;

/** Moves the slices of deleted files that were deleted before `beforeSec` to the list of deleted slices, and removes their
 *  extended attributes. Returns how many files were looked at: call again while it is not 0. */
export async function deleteFiles(ctx: MetaContext, beforeSec: number): Promise<number> {
  const files = await withRetry(
    ctx,
    () => ctx.store.scan({ table: "deletedFiles", prefix: [], limit: FILES_PER_ROUND }),
  );
  let count = 0;
  for (const { row: { ino, deletedAt, xattrBytes } } of files) {
    if (deletedAt > beforeSec) continue;
    if (xattrBytes > 0) await deleteXattrs(ctx, ino);
    await deleteFile(ctx, ino);
    count++;
  }
  return count;
}

async function deleteFile(ctx: MetaContext, ino: number): Promise<void> {
  for (;;) {
    const slices = await withRetry(
      ctx,
      () => ctx.store.scan({ table: "slices", prefix: [ino], limit: SLICES_PER_ROUND, follow: "sliceId" }),
    );
    const { checks, writes } = dropSlices(slices, ctx.env.now());
    const isLast = slices.length < SLICES_PER_ROUND;
    // A conflict means that another client is at the same work: look again.
    const result = await withRetry(
      ctx,
      () =>
        ctx.store.commit({ checks, writes: isLast ? [...writes, remove("deletedFiles", [ino])] : writes }, {
          durability: "ordered",
        }),
    );
    if (result.ok && isLast) {
      ctx.slices.drop(ino);
      return;
    }
  }
}

/** Nobody adds one any more: that takes the inode record. */
async function deleteXattrs(ctx: MetaContext, ino: number): Promise<void> {
  for (;;) {
    const found = await withRetry(
      ctx,
      () => ctx.store.scan({ table: "xattrs", prefix: [ino], limit: XATTRS_PER_ROUND }),
    );
    const writes = found.map(({ row }) => remove("xattrs", [ino, row.name]));
    await withRetry(ctx, () => ctx.store.commit({ checks: [], writes }, { durability: "ordered" }));
    if (found.length < XATTRS_PER_ROUND) return;
  }
}

/** Deletes the objects of slices that lost their last reference before `beforeSec`. `deleteObjects` deletes all objects
 *  of one slice. Returns how many slices were deleted: call again while it is not 0. */
export async function deleteSlices(
  ctx: MetaContext,
  beforeSec: number,
  deleteObjects: (slices: readonly { readonly sliceId: number; readonly size: number }[]) => Promise<void>,
): Promise<number> {
  const found = await withRetry(
    ctx,
    () => ctx.store.scan({ table: "deletedSlices", prefix: [], limit: SLICES_PER_ROUND }),
  );
  const slices = found.map(({ row }) => row).filter((row) => row.deletedAt <= beforeSec);
  if (slices.length === 0) return 0;
  await withRetry(ctx, () => ctx.store.commit({ checks: [], writes: [] }, { durability: "synced" }));
  await deleteObjects(slices);
  await withRetry(
    ctx,
    () =>
      ctx.store.commit({
        checks: [],
        writes: slices.map(({ sliceId }) => remove("deletedSlices", [sliceId])),
      }, {
        durability: "ordered",
      }),
  );
  return slices.length;
}

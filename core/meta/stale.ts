/**
 * Ends sessions whose client is gone: killed, or cut off for longer than the limit.
 *
 * Order, so that a client which was only paused can do no harm when it comes back:
 * 1. Its usage row is folded. Every commit that changes names or adds slices updates that row, and every one that locks
 *    checks that it is there, so all its later ones fail.
 * 2. Its locks go: whatever it did under them is done.
 * 3. Files that it kept without a name are deleted.
 * 4. Its slice ranges: objects of numbers without a record are orphans, and no commit can add a record any more.
 * 5. Its session record goes last: who finds it starts again at 1. Every step can be repeated, also by several clients.
 */
import type { MetaContext } from "./context.ts";
import { dropSessionLocks } from "./locks.ts";
import { releaseSustained } from "./namespace.ts";
import { foldUsage } from "./session.ts";
import { remove } from "./store.ts";
import { withRetry } from "./retry.ts";

const PAGE = 1000;

export type DeleteOrphans = (
  range: { readonly first: number; readonly count: number },
  isKnown: (sliceId: number) => boolean,
) => Promise<unknown>;

/** Ends every session but our own whose heartbeat is older than `beforeSec`. Returns their numbers. */
export async function endStaleSessions(
  ctx: MetaContext,
  beforeSec: number,
  deleteOrphans: DeleteOrphans,
): Promise<number[]> {
  const sessions = await withRetry(ctx, () => ctx.store.scan({ table: "sessions", prefix: [], limit: PAGE }));
  const ended: number[] = [];
  for (const { row: { session, heartbeatAt } } of sessions) {
    if (session === ctx.session || heartbeatAt > beforeSec) continue;
    await endSession(ctx, session, deleteOrphans);
    ended.push(session);
  }
  return ended;
}

async function endSession(ctx: MetaContext, session: number, deleteOrphans: DeleteOrphans): Promise<void> {
  await foldUsage(ctx, session);
  await dropSessionLocks(ctx, session);
  for (;;) {
    const sustained = await withRetry(
      ctx,
      () => ctx.store.scan({ table: "sustained", prefix: [session], limit: PAGE }),
    );
    for (const { row: { ino } } of sustained) await releaseSustained(ctx, ino, session);
    if (sustained.length < PAGE) break;
  }
  await removeSliceRanges(ctx, session, deleteOrphans);
  await withRetry(
    ctx,
    () =>
      ctx.store.commit({ checks: [], writes: [remove("sessions", [session])] }, { durability: "ordered" }),
  );
}

/** Deletes the orphans of a session's slice ranges, and the records of the ranges. Nobody takes numbers of them any more. */
export async function removeSliceRanges(
  ctx: MetaContext,
  session: number,
  deleteOrphans: DeleteOrphans,
): Promise<void> {
  const ranges = await withRetry(
    ctx,
    () => ctx.store.scan({ table: "sliceRanges", prefix: [session], limit: PAGE }),
  );
  for (const { row: { first, count } } of ranges) {
    const known = new Set<number>();
    for (const table of ["sliceObjects", "deletedSlices"] as const) {
      const found = await withRetry(
        ctx,
        () => ctx.store.scan({ table, prefix: [], after: [first - 1], limit: count }),
      );
      for (const { row } of found) known.add(row.sliceId);
    }
    await deleteOrphans({ first, count }, (sliceId) => known.has(sliceId));
    await withRetry(
      ctx,
      () =>
        ctx.store.commit({ checks: [], writes: [remove("sliceRanges", [session, first])] }, {
          durability: "ordered",
        }),
    );
  }
}

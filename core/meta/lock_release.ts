/** Taking all locks of a session away: when it ends, and when another client ends it. */
import { FsError } from "../errors.ts";
import type { MetaContext } from "./context.ts";
import { decodeState, encodeState, withoutSession } from "./lock_state.ts";
import { checkColumns, put, read, remove } from "./store.ts";
import { withRetry } from "./transact.ts";

export type LockTableName = "flocks" | "plocks";

const PAGE = 1000;
const CONFLICTS_MAX = 100;

/**
 * Takes a session's locks out of one record. The session must not lock any more. `writer` is then the session's negative
 * number: this happens once to a session and a record, so the pair with `stamp` 0 is one that no other change has.
 */
export async function dropLocksOn(
  ctx: MetaContext,
  table: LockTableName,
  ino: number,
  session: number,
): Promise<void> {
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const [found] = await withRetry(ctx, () => ctx.store.get([read(table, [ino])]));
    if (found === null) return;
    const before = decodeState(found.row);
    const after = withoutSession(before, session);
    if (after === before) return;
    const columns = encodeState({ ...after, writer: -session, stamp: 0 });
    const result = await withRetry(ctx, () =>
      ctx.store.commit({
        checks: [checkColumns(table, [ino], { writer: before.writer, stamp: before.stamp })],
        writes: [columns === null ? remove(table, [ino]) : put(table, [ino], columns)],
      }, { durability: "ordered" }));
    if (result.ok) return;
    await ctx.env.sleep(ctx.env.random() * Math.min(conflicts, 20));
  }
  throw new FsError("EBUSY", "too many conflicting changes of the locks of one file");
}

/** Takes everything out of the lock tables that a session left. The session must not lock any more. */
export async function dropSessionLocks(ctx: MetaContext, session: number): Promise<void> {
  for (const table of ["flocks", "plocks"] as const) {
    for (let after: [number] | undefined;;) {
      const page = await withRetry(ctx, () => ctx.store.scan({ table, prefix: [], after, limit: PAGE }));
      for (const { row } of page) {
        const state = decodeState(row);
        if (withoutSession(state, session) !== state) await dropLocksOn(ctx, table, row.ino, session);
        after = [row.ino];
      }
      if (page.length < PAGE) break;
    }
  }
}

/**
 * Records of the lock tables: reading one, changing one, taking a session out of them.
 *
 * A record's (`writer`, `stamp`) is never the same for two states of a file's locks: `writer` is the session that wrote it
 * and `stamp` a number that it uses once; who takes the session S away writes (-S, 0), which happens once to a record.
 */
import { FsError } from "../errors.ts";
import type { MetaContext } from "./context.ts";
import { decodeState, encodeState, type LockState, noLocks, withoutSession } from "./lock_state.ts";
import { type Check, checkAbsent, checkColumns, put, read, remove } from "./store.ts";
import { withRetry } from "./retry.ts";
import { believe } from "./transact.ts";

export type LockTableName = "flocks" | "plocks";

const PAGE = 1000;
const CONFLICTS_MAX = 100;

/** The record, and with it the inode into the cache: who gets the lock must not see an older one. */
export async function readLocks(ctx: MetaContext, table: LockTableName, ino: number): Promise<LockState> {
  const startedAt = ctx.cache.beginFetch();
  try {
    const [record, inode] = await withRetry(
      ctx,
      () => ctx.store.get([read(table, [ino]), read("inodes", [ino])]),
    );
    // Overtaken by a commit of our own: the next one who asks fetches it.
    if (inode !== null && believe(ctx, inode.row, startedAt) !== inode.row) ctx.cache.dropInode(ino);
    return record === null ? noLocks : decodeState(record.row);
  } finally {
    ctx.cache.endFetch();
  }
}

/** - conflict: the record is another one by now. - ended: another client ended this session. */
export type LockCommit = "done" | "conflict" | "ended";

/** Replaces the state `before` by `after`, which is the same object if only the checks are wanted. `isLocking`: the session
 *  gets or asks for something, which it may only while it lives. */
export async function commitLocks(
  ctx: MetaContext,
  table: LockTableName,
  ino: number,
  { before, after, isLocking }: {
    readonly before: LockState;
    readonly after: LockState;
    readonly isLocking: boolean;
  },
): Promise<LockCommit> {
  const key = [ino];
  const checks: Check[] = [
    before.writer === 0
      ? checkAbsent(table, key)
      : checkColumns(table, key, { writer: before.writer, stamp: before.stamp }),
  ];
  if (isLocking) checks.push(checkColumns("usage", [ctx.session], {}));
  const columns = encodeState(after);
  const writes = after === before ? [] : [columns === null ? remove(table, key) : put(table, key, columns)];
  const result = await withRetry(ctx, () => ctx.store.commit({ checks, writes }, { durability: "ordered" }));
  if (result.ok) return "done";
  return result.failed.includes(1) ? "ended" : "conflict";
}

/** Takes a session's locks out of one record. The session must not lock any more. */
export async function dropLocks(
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
        if (withoutSession(state, session) !== state) await dropLocks(ctx, table, row.ino, session);
        after = [row.ino];
      }
      if (page.length < PAGE) break;
    }
  }
}

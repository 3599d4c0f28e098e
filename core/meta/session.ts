/**
 * Sessions: one record per client that has the volume open. A session owns its usage row, the files it keeps alive
 * without a name (`sustained`) and the ranges of slice numbers it takes.
 */
import type { Env } from "../env.ts";
import { takeIds } from "./ids.ts";
import { checkVersion, type MetaStore, put, read, remove, update } from "./store.ts";
import { withRetry } from "./retry.ts";

/** Who a session is, for people: shown by `slayerfs status`. */
export interface SessionInfo {
  readonly host: string;
  readonly pid: number;
  /** Absent for a program that uses the library. */
  readonly mountPoint?: string;
  readonly version: string;
  readonly readOnly?: boolean;
  /** Seconds since the epoch. */
  readonly startedAt: number;
}

interface SessionContext {
  readonly store: MetaStore;
  readonly env: Env;
  readonly options: { readonly retryDeadlineMs: number };
}

/** The usage row that ended sessions' rows are added to. */
const ENDED_SESSIONS = 0;
const CONFLICTS_MAX = 1000;

/** Registers a new session and returns its number. */
export async function openSession(
  ctx: SessionContext,
  info: Omit<SessionInfo, "startedAt">,
): Promise<number> {
  const startedAt = ctx.env.now().sec;
  return await takeIds(ctx, "nextSession", 1, (session) => [
    put("sessions", [session], { heartbeatAt: startedAt, info: JSON.stringify({ ...info, startedAt }) }),
    put("usage", [session], { bytes: 0, inodes: 0 }),
  ]);
}

/** Says that the session lives. False if another client has ended it. */
export async function heartbeat(ctx: SessionContext, session: number): Promise<boolean> {
  const result = await withRetry(ctx, () =>
    ctx.store.commit({
      checks: [],
      writes: [update("sessions", [session], { set: { heartbeatAt: ctx.env.now().sec } })],
    }, { durability: "ordered" }));
  return result.ok;
}

/** Ends this client's session. Everything it sustained is released before. */
export async function closeSession(ctx: SessionContext, session: number): Promise<void> {
  await foldUsage(ctx, session);
  await withRetry(
    ctx,
    () => ctx.store.commit({ checks: [], writes: [remove("sessions", [session])] }, { durability: "synced" }),
  );
}

/** Adds a session's usage row to the row of ended sessions and removes it: from then on its commits fail. */
export async function foldUsage(ctx: SessionContext, session: number): Promise<void> {
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const [own] = await withRetry(ctx, () => ctx.store.get([read("usage", [session])]));
    if (own === null) return;
    const result = await withRetry(ctx, () =>
      ctx.store.commit({
        checks: [checkVersion("usage", [session], own.version)],
        writes: [
          update("usage", [ENDED_SESSIONS], { add: { bytes: own.row.bytes, inodes: own.row.inodes } }),
          remove("usage", [session]),
        ],
      }, { durability: "ordered" }));
    if (result.ok) return;
  }
}

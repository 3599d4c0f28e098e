/**
 * The optimistic commit loop that every changing operation runs in: read (through the cache), plan the writes, commit
 * with checks on what was relied on; on a conflict refresh just what the failed checks name and plan again.
 *
 * Rules:
 * - An error that was concluded from cached records is concluded again from fresh ones before it is reported.
 * - The number of conflicts is bounded (EBUSY after that: only sustained contention on one record gets there).
 * - A store's `retry` errors are retried with back-off until the deadline; then the operation fails with the error.
 */
import { FsError } from "../errors.ts";
import type { MetaContext } from "./context.ts";
import { withRetry } from "./retry.ts";
import type { InodeRow } from "./schema.ts";
import { type Check, type Durability, type Key, read, type Write } from "./store.ts";

const CONFLICTS_MAX = 100;

export interface Plan<T> {
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
  /** The error that a failed check means by itself (a name that exists), if it does; else the plan is made again. */
  readonly failure?: (failed: readonly number[]) => FsError | undefined;
  /** Called once after the commit and the cache's update; makes the operation's result. */
  readonly done: (assigned: readonly number[]) => T;
}

/** Reads for one attempt of a plan. Notes whether the cache was believed. */
export class View {
  usedCache = false;
  constructor(private readonly ctx: MetaContext, private readonly fresh: boolean) {}

  /** The inode, or FsError ENOENT. */
  async inode(ino: number): Promise<InodeRow> {
    const row = await this.inodeOrNull(ino);
    if (row === null) throw new FsError("ENOENT", `inode ${ino}`);
    return row;
  }

  inodeOrNull(ino: number): InodeRow | null | Promise<InodeRow | null> {
    if (!this.fresh) {
      const cached = this.ctx.cache.inode(ino);
      if (cached !== undefined) {
        this.usedCache = true;
        return cached.row;
      }
    }
    return fetchInode(this.ctx, ino);
  }

  /** Looks names up, in one round trip for all that are not cached. */
  async edges(names: readonly (readonly [parent: number, name: Uint8Array])[]): Promise<(InodeRow | null)[]> {
    const found: (InodeRow | null | undefined)[] = names.map(([parent, name]) => {
      if (this.fresh) return undefined;
      const edge = this.ctx.cache.edge(parent, name);
      if (edge === undefined) return undefined;
      const inode = this.ctx.cache.inode(edge.ino);
      if (inode === undefined) return undefined;
      this.usedCache = true;
      return inode.row;
    });
    const missing = names.filter((_, i) => found[i] === undefined);
    if (missing.length > 0) {
      const fetched = await fetchEdges(this.ctx, missing);
      for (let i = 0, j = 0; i < found.length; i++) if (found[i] === undefined) found[i] = fetched[j++];
    }
    return found as (InodeRow | null)[];
  }

  /** The inode that a name leads to, or FsError ENOENT. */
  async edge(parent: number, name: Uint8Array): Promise<InodeRow> {
    const [row] = await this.edges([[parent, name]]);
    if (row === null || row === undefined) throw new FsError("ENOENT");
    return row;
  }
}

/** Fetches that a local commit overtook, at most; then what was read last is believed. */
const OVERTAKEN_MAX = 10;

/** Takes a fetched record into the caches; see MetaCache.putInode for the result. */
export function believe(ctx: MetaContext, row: InodeRow, startedAt: number): InodeRow | undefined {
  const believed = ctx.cache.putInode(row, startedAt, ctx.env.monotonicMs());
  if (believed !== undefined) ctx.slices.validate(believed.ino, believed.sliceSeq);
  return believed;
}

/** Reads one inode from the store into the cache. */
export async function fetchInode(ctx: MetaContext, ino: number): Promise<InodeRow | null> {
  for (let overtaken = 0;; overtaken++) {
    const startedAt = ctx.cache.beginFetch();
    try {
      const [found] = await withRetry(ctx, () => ctx.store.get([read("inodes", [ino])]));
      if (found === null) return null;
      const row = believe(ctx, found.row, startedAt) ?? (overtaken < OVERTAKEN_MAX ? undefined : found.row);
      if (row !== undefined) return row;
    } finally {
      ctx.cache.endFetch();
    }
  }
}

/** Reads entries and their inodes from the store into the cache, in one round trip. */
export async function fetchEdges(
  ctx: MetaContext,
  names: readonly (readonly [parent: number, name: Uint8Array])[],
): Promise<(InodeRow | null)[]> {
  for (let overtaken = 0;; overtaken++) {
    const startedAt = ctx.cache.beginFetch();
    try {
      const results = await withRetry(
        ctx,
        () => ctx.store.get(names.map(([parent, name]) => read("edges", [parent, name], "ino"))),
      );
      const nowMs = ctx.env.monotonicMs();
      let isCurrent = true;
      const rows = results.map((found, i) => {
        const [parent, name] = names[i] as readonly [number, Uint8Array];
        if (found === null || found.ref === null) {
          ctx.cache.dropEdge(parent, name);
          return null;
        }
        const row = believe(ctx, found.ref.row, startedAt);
        if (!ctx.cache.putEdge(parent, name, found.row.ino, startedAt, nowMs) || row === undefined) {
          isCurrent = false;
        }
        return row ?? found.ref.row;
      });
      if (isCurrent || overtaken === OVERTAKEN_MAX) return rows;
    } finally {
      ctx.cache.endFetch();
    }
  }
}

/** Runs a plan until it commits. See the head of this file. */
export async function transact<T>(
  ctx: MetaContext,
  build: (view: View) => Plan<T> | Promise<Plan<T>>,
  durability: Durability = "ordered",
): Promise<T> {
  let fresh = false;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX;) {
    const view = new View(ctx, fresh);
    let plan: Plan<T>;
    try {
      plan = await build(view);
    } catch (error) {
      if (!(error instanceof FsError) || !view.usedCache) throw error;
      fresh = true;
      continue; // with fresh reads `usedCache` stays false: at most once between two commits
    }
    fresh = false;
    const result = await withRetry(ctx, () => ctx.store.commit(plan, { durability }));
    if (result.ok) {
      ctx.cache.apply(plan.writes, ctx.env.monotonicMs());
      return plan.done(result.assigned);
    }
    const failure = result.failed.length > 0 ? plan.failure?.(result.failed) : undefined;
    for (const i of result.failed) forget(ctx, plan.checks[i] as Check);
    for (const i of result.missing) forget(ctx, plan.writes[i] as Write);
    if (failure !== undefined) throw failure;
    const usageRow = result.missing.find((i) => plan.writes[i]?.table === "usage");
    if (usageRow !== undefined) {
      throw new FsError("EIO", "this client's session was ended by another client; mount again");
    }
    if (++conflicts > 3) await ctx.env.sleep(ctx.env.random() * Math.min(conflicts, 20));
  }
  throw new FsError("EBUSY", "too many conflicting changes of the same file");
}

/** Drops what a failed check or a missing record named, so that the next attempt reads it again. */
function forget(ctx: MetaContext, about: Check | Write): void {
  const key: Key = "key" in about ? about.key : about.prefix;
  const named = "counter" in about ? about.counter : { table: about.table, key };
  if (named.table === "inodes") ctx.cache.dropInode(named.key[0] as number);
  else if (named.table === "edges" && named.key.length === 2) {
    ctx.cache.dropEdge(named.key[0] as number, named.key[1] as Uint8Array);
  } else if (named.table === "slices" || named.table === "sliceObjects") ctx.slices.clear();
  else if (named.table === "xattrs") ctx.defaultAcls.delete(named.key[0] as number);
}

/**
 * Inode and slice numbers, taken from counters in batches so that giving one out costs no round trip.
 *
 * Invariants: a number is given out at most once in the life of a volume, by any client; what is left of a batch when
 * a client ends is never used. A slice number's range is on record (table sliceRanges) before the number is given out.
 */
import { FsError } from "../errors.ts";
import { withRetry } from "./retry.ts";
import type { Env } from "../env.ts";
import { checkColumns, type MetaStore, put, read, remove, update, type Write } from "./store.ts";

const INODE_BATCH = 1024;
const SLICE_BATCH = 1024;
const CONFLICTS_MAX = 1000;

interface IdContext {
  readonly store: MetaStore;
  readonly env: Env;
  readonly options: { readonly retryDeadlineMs: number };
}

/** Takes [first, first + count) from a counter; `also` adds writes to the same commit. */
export async function takeIds(
  ctx: IdContext,
  counter: string,
  count: number,
  also: (first: number) => Write[] = () => [],
): Promise<number> {
  for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
    const [found] = await withRetry(ctx, () => ctx.store.get([read("counters", [counter])]));
    if (found === null) throw new FsError("EIO", `the volume has no counter ${counter}`);
    const first = found.row.value;
    const result = await withRetry(ctx, () =>
      ctx.store.commit({
        checks: [checkColumns("counters", [counter], { value: first })],
        writes: [update("counters", [counter], { set: { value: first + count } }), ...also(first)],
      }, { durability: "ordered" }));
    if (result.ok) return first;
  }
  throw new FsError("EBUSY", `counter ${counter} is contended`);
}

export interface IdBatch {
  next(): number | Promise<number>;
}

export function inodeIds(ctx: IdContext): IdBatch {
  let nextId = 0;
  let end = 0;
  let refill: Promise<void> | undefined;
  const next = (): number | Promise<number> => {
    if (nextId < end) return nextId++;
    refill ??= takeIds(ctx, "nextInode", INODE_BATCH).then((first) => {
      nextId = first;
      end = first + INODE_BATCH;
    }).finally(() => {
      refill = undefined;
    });
    // Others that waited for the same batch may have used it up: ask again.
    return refill.then(next);
  };
  return { next };
}

export interface SliceIds extends IdBatch {
  /** The slice was committed, or its objects are deleted: its number needs no record any more. */
  settle(sliceId: number): void;
  /** Removes the records of this session's ranges. Only when every number given out is settled. */
  close(): Promise<void>;
}

/** See the head of this file; `session` owns the ranges. */
export function sliceIds(ctx: IdContext, session: number): SliceIds {
  /** Ranges on record -> numbers given out and not settled. The last one is the one in use. */
  const ranges = new Map<number, { end: number; open: number; nextId: number }>();
  let current: { end: number; open: number; nextId: number } | undefined;
  let refill: Promise<void> | undefined;

  const takeRange = async () => {
    const done = [...ranges].filter(([, range]) => range.open === 0 && range.nextId === range.end);
    const first = await takeIds(
      ctx,
      "nextSlice",
      SLICE_BATCH,
      (first) => [
        put("sliceRanges", [session, first], { count: SLICE_BATCH }),
        ...done.map(([first]) => remove("sliceRanges", [session, first])),
      ],
    );
    for (const [first] of done) ranges.delete(first);
    current = { end: first + SLICE_BATCH, open: 0, nextId: first };
    ranges.set(first, current);
  };
  const next = (): number | Promise<number> => {
    if (current !== undefined && current.nextId < current.end) {
      current.open++;
      return current.nextId++;
    }
    refill ??= takeRange().finally(() => {
      refill = undefined;
    });
    return refill.then(next);
  };
  return {
    next,
    settle(sliceId) {
      for (const [first, range] of ranges) {
        if (sliceId >= first && sliceId < range.end) {
          range.open--;
          return;
        }
      }
    },
    async close() {
      const settled = [...ranges].filter(([, range]) => range.open === 0).map(([first]) => first);
      if (settled.length === 0) return;
      await ctx.store.commit({
        checks: [],
        writes: settled.map((first) => remove("sliceRanges", [session, first])),
      }, {
        durability: "ordered",
      });
      for (const first of settled) ranges.delete(first);
    },
  };
}

/** What the volume holds: the sum of all sessions' usage rows, exact at the moment it is read. */
import type { MetaContext } from "./context.ts";
import type { MetaStore } from "./store.ts";
import { withRetry } from "./retry.ts";

export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

const PAGE = 1000;
/** How old a sum may be that limits are held against, ms. Between two sums this client's own growth is not counted. */
const SUM_AGE_MS_MAX = 1000;

export async function readUsage(store: MetaStore): Promise<Usage> {
  let bytes = 0;
  let inodes = 0;
  for (let after: number[] | undefined;;) {
    const rows = await store.scan({ table: "usage", prefix: [], after, limit: PAGE });
    for (const { row } of rows) {
      bytes += row.bytes;
      inodes += row.inodes;
      after = [row.session];
    }
    if (rows.length < PAGE) return { bytes, inodes };
  }
}

/** Says whether the volume's limits leave room; remembers the sum for a moment. */
export function usageGuard(ctx: Pick<MetaContext, "store" | "env" | "options">) {
  let sum: Usage = { bytes: 0, inodes: 0 };
  let readMs = -Infinity;
  const { capacityBytes, inodesMax } = ctx.options;
  return {
    /** True if this many more bytes and inodes stay within the limits. Answers at once where there are none. */
    hasRoom(bytes: number, inodes: number): boolean | Promise<boolean> {
      if (capacityBytes === 0 && inodesMax === 0) return true;
      const judge = () =>
        (capacityBytes === 0 || bytes === 0 || sum.bytes + bytes <= capacityBytes) &&
        (inodesMax === 0 || inodes === 0 || sum.inodes + inodes <= inodesMax);
      if (ctx.env.monotonicMs() - readMs < SUM_AGE_MS_MAX) return judge();
      return withRetry(ctx, () => readUsage(ctx.store)).then((usage) => {
        sum = usage;
        readMs = ctx.env.monotonicMs();
        return judge();
      });
    },
  };
}

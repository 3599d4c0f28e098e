/** Calls of a store that may fail for a moment. */
import type { Env } from "../env.ts";
import { StoreError } from "../errors.ts";

const BACKOFF_MS_MIN = 2;
const BACKOFF_MS_MAX = 1000;

/** Calls a store; on a `retry` error again, with growing pauses, until the deadline. */
export async function withRetry<T>(
  ctx: { readonly env: Env; readonly options: { readonly retryDeadlineMs: number } },
  call: () => Promise<T>,
): Promise<T> {
  let deadlineMs: number | undefined;
  for (let backoffMs = BACKOFF_MS_MIN;; backoffMs = Math.min(backoffMs * 2, BACKOFF_MS_MAX)) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== "retry") throw error;
      const nowMs = ctx.env.monotonicMs();
      deadlineMs ??= nowMs + ctx.options.retryDeadlineMs;
      if (nowMs >= deadlineMs) throw error;
    }
    await ctx.env.sleep(backoffMs * (0.5 + ctx.env.random()));
  }
}

/** Log lines of failing requests, bounded: a store that is down must not fill the disk with its errors. */
import type { Env, LogLevel } from "../core/env.ts";

const LINES_MAX = 20;
const PERIOD_MS = 10_000;

/** At most 20 lines in 10 s; what was left out is counted in the next line that is printed. */
export function limitedLog(env: Env): (level: LogLevel, message: string) => void {
  let periodStartMs = env.monotonicMs();
  let lines = 0;
  return (level, message) => {
    const nowMs = env.monotonicMs();
    if (nowMs - periodStartMs > PERIOD_MS) {
      const leftOut = lines - LINES_MAX;
      periodStartMs = nowMs;
      lines = 0;
      if (leftOut > 0) env.log("warn", `${leftOut} more failures of file operations were not logged`);
    }
    if (lines++ < LINES_MAX) env.log(level, message);
  };
}

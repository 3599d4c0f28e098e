/**
 * Everything ambient that `core/` may use: time, timers, randomness, log lines. It is injected, so that the same
 * code runs on the system's clock in a mount and on a virtual clock with a seed in tests. `scripts/tidy.ts` bans
 * the ambient functions everywhere else in core/.
 */

/** A point in wall-clock time as POSIX has it (struct timespec): seconds since the epoch and 0..999,999,999 ns. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** A pending timer; `cancel` is idempotent and makes sure that the callback does not run later. */
export interface Timer {
  cancel(): void;
}

export interface Env {
  /** Wall-clock time: for what users see (mtime) and what other machines compare (heartbeats). May jump. */
  now(): Timespec;
  /** Monotonic milliseconds from an arbitrary start: for durations, deadlines and cache expiry. */
  monotonicMs(): number;
  /** Runs `callback` once after at least `ms`. Does not keep a process alive. */
  timer(ms: number, callback: () => void): Timer;
  /** Resolves after at least `ms`. Keeps the process alive: somebody awaits it. */
  sleep(ms: number): Promise<void>;
  /** Uniform in [0, 1): for jitter and sampling, not for secrets. */
  random(): number;
  /** Unpredictable bytes: for uuids and session names. */
  randomBytes(length: number): Uint8Array;
  /** One line for the operator. Must not carry secrets or file contents. */
  log(level: LogLevel, message: string): void;
}

/** The real world. `minLevel` silences lines below it; lines go to stderr. */
export function systemEnv(minLevel: LogLevel = "info"): Env {
  const levels: LogLevel[] = ["debug", "info", "warn", "error"];
  const threshold = levels.indexOf(minLevel);
  // performance.timeOrigin + now() has sub-millisecond steps, where Date.now() has whole milliseconds only.
  // Re-anchored once a second, so that a stepped wall clock (NTP, suspend) is followed.
  let anchorWallMs = Date.now();
  let anchorMonotonicMs = performance.now();
  let previousWallMs = 0;
  return {
    now() {
      const monotonicMs = performance.now();
      let wallMs = anchorWallMs + (monotonicMs - anchorMonotonicMs);
      if (monotonicMs - anchorMonotonicMs > 1000) {
        const systemMs = Date.now();
        // Date.now() is truncated to 1 ms: only a larger difference is a step of the clock.
        if (Math.abs(systemMs - wallMs) > 2) {
          wallMs = systemMs;
          previousWallMs = 0;
        }
        anchorWallMs = wallMs;
        anchorMonotonicMs = monotonicMs;
      }
      if (wallMs < previousWallMs) wallMs = previousWallMs;
      previousWallMs = wallMs;
      const sec = Math.floor(wallMs / 1000);
      return { sec, nsec: Math.min(999_999_999, Math.floor((wallMs - sec * 1000) * 1e6)) };
    },
    monotonicMs: () => performance.now(),
    timer(ms, callback) {
      const id = setTimeout(callback, ms);
      Deno.unrefTimer(id);
      return { cancel: () => clearTimeout(id) };
    },
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    random: Math.random,
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    log(level, message) {
      if (levels.indexOf(level) >= threshold) {
        console.error(`${new Date().toISOString()} ${level.toUpperCase()} ${message}`);
      }
    },
  };
}

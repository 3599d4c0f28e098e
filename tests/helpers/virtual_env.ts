/**
 * A world without real time: an Env whose clock moves only when a test says so, and whose randomness comes from a seed.
 * Between two timers everything that is runnable runs. The same seed gives the same run.
 */
import { setImmediate } from "node:timers";
import type { Env, LogLevel, Timespec } from "../../core/env.ts";

interface PendingTimer {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

export interface VirtualEnv extends Env {
  /** Every line logged, oldest first. */
  readonly logged: { readonly level: LogLevel; readonly message: string }[];
  /** Lets the clock run for `ms`, firing timers at their times. */
  advance(ms: number): Promise<void>;
  /** Lets the clock run, as far as needed, until the promise settles; at most for `limitMs` (default: an hour). */
  run<T>(promise: Promise<T>, limitMs?: number): Promise<T>;
  /** Lets everything run that needs no time to pass. */
  settle(): Promise<void>;
  /** Timers that have not fired. */
  readonly pendingTimers: number;
}

/** Wall-clock start: an arbitrary, recognizable time. */
const START_SEC = 1_700_000_000;

/** A seeded generator of numbers in [0, 1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function createVirtualEnv(seed = 1): VirtualEnv {
  const random = seededRandom(seed);
  const timers = new Set<PendingTimer>();
  const logged: { level: LogLevel; message: string }[] = [];
  let nowMs = 0;
  let order = 0;

  function timer(ms: number, callback: () => void) {
    const pending = { atMs: nowMs + Math.max(0, ms), order: order++, callback };
    timers.add(pending);
    return { cancel: () => void timers.delete(pending) };
  }

  function nextTimer(): PendingTimer | null {
    let next: PendingTimer | null = null;
    for (const pending of timers) {
      if (
        next === null || pending.atMs < next.atMs ||
        (pending.atMs === next.atMs && pending.order < next.order)
      ) {
        next = pending;
      }
    }
    return next;
  }

  // A turn of the event loop: every microtask runs before it, however long the chain.
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

  function fire(pending: PendingTimer): void {
    timers.delete(pending);
    nowMs = Math.max(nowMs, pending.atMs);
    pending.callback();
  }

  return {
    logged,
    now(): Timespec {
      const sec = Math.floor(nowMs / 1000);
      return { sec: START_SEC + sec, nsec: Math.floor((nowMs - sec * 1000) * 1e6) };
    },
    monotonicMs: () => nowMs,
    timer,
    sleep: (ms) => new Promise<void>((resolve) => void timer(ms, resolve)),
    random,
    randomBytes: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)),
    log: (level, message) => void logged.push({ level, message }),

    settle,

    async advance(ms) {
      const untilMs = nowMs + ms;
      for (;;) {
        await settle();
        const next = nextTimer();
        if (next === null || next.atMs > untilMs) break;
        fire(next);
      }
      nowMs = untilMs;
      await settle();
    },

    async run(promise, limitMs = 3_600_000) {
      const untilMs = nowMs + limitMs;
      let isSettled = false;
      const done = () => void (isSettled = true);
      promise.then(done, done);
      for (;;) {
        await settle();
        if (isSettled) return await promise;
        const next = nextTimer();
        if (next === null) throw new Error("nothing is left to happen, and the promise has not settled");
        if (next.atMs > untilMs) throw new Error(`the promise has not settled after ${limitMs} virtual ms`);
        fire(next);
      }
    },

    get pendingTimers() {
      return timers.size;
    },
  };
}

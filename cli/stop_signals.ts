/**
 * The signals that ask the program to end, as a queue. Wrappers (`deno task`, `npx`) pass on the Ctrl-C that the
 * terminal already sent to every process, so copies that come close together count once.
 */
const COPY_WINDOW_MS = 500;
const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type StopSignal = typeof stopSignals[number];

export interface StopSignals {
  /** A signal has come, whether or not it was taken. */
  readonly stopping: boolean;
  /** Resolves with the next signal that was not yet taken. One waiter at a time. */
  next(): Promise<StopSignal>;
  /** Gives the signals back to their default action. */
  release(): void;
}

export function takeStopSignals(): StopSignals {
  const queue: StopSignal[] = [];
  let waiter: ((signal: StopSignal) => void) | null = null;
  let lastAtMs = -Infinity;
  let stopping = false;
  const listeners = stopSignals.map((signal) => {
    const listener = () => {
      const nowMs = performance.now();
      const isCopy = nowMs - lastAtMs < COPY_WINDOW_MS;
      lastAtMs = nowMs;
      if (isCopy) return;
      stopping = true;
      if (waiter === null) {
        // More than this nobody means; the third already says "at once".
        if (queue.length < 3) queue.push(signal);
        return;
      }
      const take = waiter;
      waiter = null;
      take(signal);
    };
    Deno.addSignalListener(signal, listener);
    return { signal, listener };
  });
  return {
    get stopping() {
      return stopping;
    },
    next() {
      const queued = queue.shift();
      if (queued !== undefined) return Promise.resolve(queued);
      return new Promise((resolve) => waiter = resolve);
    },
    release() {
      for (const { signal, listener } of listeners) Deno.removeSignalListener(signal, listener);
    },
  };
}

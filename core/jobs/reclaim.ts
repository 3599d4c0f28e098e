/**
 * Deletes the data of removed files: soon after this client removed something, and now and then for what others left.
 *
 * Invariants: one round at a time; a failing round is logged once per failure and tried again at the next wake or period.
 */
import type { Env, Timer } from "../env.ts";
import type { MetaEngine } from "../meta/engine.ts";

export interface ReclaimConfig {
  readonly engine: Pick<MetaEngine, "deleteFiles" | "deleteSlices">;
  readonly env: Env;
  readonly deleteObjects: (
    slices: readonly { readonly sliceId: number; readonly size: number }[],
  ) => Promise<void>;
  /** How long data of removed files is kept for readers on other clients, s. */
  readonly delaySec: number;
  readonly periodMs: number;
  /** From a wake to the round: so that removing a tree is a few rounds and not thousands. */
  readonly wakeMs: number;
}

export interface Reclaimer {
  wake(): void;
  /** One round now; for tests and orderly shutdown. */
  run(): Promise<void>;
  /** Waits for the round under way; none starts later. */
  stop(): Promise<void>;
}

export function startReclaimer(config: ReclaimConfig): Reclaimer {
  const { engine, env } = config;
  let timer: Timer | undefined;
  let dueMs = Infinity;
  let running: Promise<void> | undefined;
  let isStopped = false;

  const schedule = (ms: number) => {
    const atMs = env.monotonicMs() + ms;
    if (isStopped || atMs >= dueMs) return;
    timer?.cancel();
    dueMs = atMs;
    timer = env.timer(ms, () => {
      dueMs = Infinity;
      run().finally(() => schedule(config.periodMs));
    });
  };

  const round = async () => {
    const beforeSec = env.now().sec - config.delaySec;
    while (!isStopped && await engine.deleteFiles(beforeSec) > 0);
    while (!isStopped && await engine.deleteSlices(beforeSec, config.deleteObjects) > 0);
  };

  const run = (): Promise<void> => {
    running ??= round()
      .catch((error) =>
        env.log("warn", `deleting data of removed files: ${error.message}; will be tried again`)
      )
      .finally(() => running = undefined);
    return running;
  };

  schedule(config.periodMs);
  return {
    wake: () => schedule(config.wakeMs),
    run,
    async stop() {
      isStopped = true;
      timer?.cancel();
      await running;
    },
  };
}

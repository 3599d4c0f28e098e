/**
 * Sessions: tells other clients that this one lives, and ends those that have not been heard of for too long.
 *
 * Invariant: one round at a time; a failing round is logged and the next one tries again.
 */
import type { Env, Timer } from "../env.ts";
import type { MetaEngine } from "../meta/engine.ts";
import type { DeleteOrphans } from "../meta/stale.ts";

/** The period of JuiceFS (pkg/meta/config.go Heartbeat), and its limit (five beats). */
export const HEARTBEAT_MS = 12_000;
export const SESSION_EXPIRY_SEC = 60;

export interface SessionsConfig {
  readonly engine: Pick<MetaEngine, "session" | "heartbeat" | "endStaleSessions">;
  readonly env: Env;
  readonly deleteOrphans: DeleteOrphans;
  /** Called when a session of another client was ended: there may be data to delete. */
  readonly wakeReclaim: () => void;
  /** A read-only client changes nothing of others. */
  readonly readOnly: boolean;
}

export function startSessions(config: SessionsConfig): { stop(): Promise<void> } {
  const { engine, env } = config;
  let isStopped = false;
  let timer: Timer;
  let running: Promise<void> = Promise.resolve();

  const beat = async () => {
    try {
      if (!await engine.heartbeat()) {
        env.log("error", `session ${engine.session} was ended by another client: mount again`);
      }
      if (!config.readOnly && !isStopped) {
        const ended = await engine.endStaleSessions(env.now().sec - SESSION_EXPIRY_SEC, config.deleteOrphans);
        if (ended.length > 0) {
          env.log(
            "info",
            `ended sessions that were not heard of for ${SESSION_EXPIRY_SEC} s: ${ended.join(", ")}`,
          );
          config.wakeReclaim();
        }
      }
    } catch (error) {
      env.log("warn", `heartbeat: ${error instanceof Error ? error.message : error}`);
    }
    if (!isStopped) schedule();
  };
  const schedule = () => {
    timer = env.timer(HEARTBEAT_MS, () => {
      running = beat();
    });
  };
  schedule();
  return {
    async stop() {
      isStopped = true;
      timer.cancel();
      await running;
    },
  };
}

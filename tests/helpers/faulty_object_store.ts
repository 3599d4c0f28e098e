/**
 * An object store that misbehaves as real ones do, by a seed: calls take time, fail before or after they took effect, are
 * refused for lack of room, or find the store down. What it never does is lose or change an object it acknowledged; for
 * that there is `damage`.
 */
import type { Env } from "../../core/env.ts";
import { StoreError } from "../../core/errors.ts";
import type { ObjectStore } from "../../core/chunk/object_store.ts";

export interface Faults {
  /** Chance that a call fails with kind `retry`; half of the failing puts and deletes have taken effect. */
  errorRate: number;
  /** Calls take up to this long; 0: no time passes. */
  delayMsMax: number;
  /** Every call fails with kind `retry`. */
  isDown: boolean;
  /** Puts fail with ENOSPC. */
  isFull: boolean;
  /** Syncs fail with a fatal EIO. */
  failsSync: boolean;
  /** Calls do not return until this is false again (looked at every 100 ms). */
  hangs: boolean;
  /** Chance that what `get` answers has one bit flipped, once. */
  flipRate: number;
}

export interface FaultyObjectStore extends ObjectStore {
  readonly faults: Faults;
  /** How often each call was made. */
  readonly calls: Record<"put" | "get" | "delete" | "head" | "list" | "sync", number>;
  /** Keys whose last put was followed by a sync. */
  readonly syncedKeys: Set<string>;
  /** Most puts, and gets, that were under way at the same time. */
  readonly concurrent: { puts: number; gets: number };
  /** Changes one stored byte. */
  damage(key: string, at: number): Promise<void>;
}

export function createFaultyObjectStore(inner: ObjectStore, env: Env): FaultyObjectStore {
  const faults: Faults = {
    errorRate: 0,
    delayMsMax: 0,
    isDown: false,
    isFull: false,
    failsSync: false,
    hangs: false,
    flipRate: 0,
  };
  const calls = { put: 0, get: 0, delete: 0, head: 0, list: 0, sync: 0 };
  const concurrent = { puts: 0, gets: 0 };
  const syncedKeys = new Set<string>();
  let puts = 0;
  let gets = 0;

  /** Runs `effect`, or fails; `effect` may have happened all the same. */
  async function call<T>(what: keyof typeof calls, effect: () => Promise<T>): Promise<T> {
    calls[what]++;
    if (faults.delayMsMax > 0) await env.sleep(env.random() * faults.delayMsMax);
    while (faults.hangs) await env.sleep(100);
    if (faults.isDown) throw new StoreError("retry", `the store is down (${what})`);
    if (faults.errorRate > 0 && env.random() < faults.errorRate) {
      if ((what === "put" || what === "delete") && env.random() < 0.5) await effect();
      throw new StoreError("retry", `an injected fault (${what})`);
    }
    const result = await effect();
    if (faults.delayMsMax > 0) await env.sleep(env.random() * faults.delayMsMax);
    return result;
  }

  return {
    faults,
    calls,
    syncedKeys,
    concurrent,

    async put(key, body) {
      concurrent.puts = Math.max(concurrent.puts, ++puts);
      try {
        await call("put", () => {
          if (faults.isFull) throw new StoreError("fatal", "the store is full", { errno: "ENOSPC" });
          syncedKeys.delete(key);
          return inner.put(key, body);
        });
      } finally {
        puts--;
      }
    },

    async get(key, range, into) {
      concurrent.gets = Math.max(concurrent.gets, ++gets);
      try {
        const bytes = await call("get", () => inner.get(key, range, into));
        if (faults.flipRate > 0 && bytes.length > 0 && env.random() < faults.flipRate) {
          const at = Math.floor(env.random() * bytes.length);
          bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(env.random() * 8));
        }
        return bytes;
      } finally {
        gets--;
      }
    },

    delete: (keys) => call("delete", () => inner.delete(keys)),
    head: (key) => call("head", () => inner.head(key)),
    list: (prefix, options) => call("list", () => inner.list(prefix, options)),

    sync: (keys) =>
      call("sync", async () => {
        if (faults.failsSync) throw new StoreError("fatal", "the disk failed to write");
        await inner.sync(keys);
        for (const key of keys) syncedKeys.add(key);
      }),

    close: () => inner.close(),

    async damage(key, at) {
      const bytes = await inner.get(key);
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      await inner.put(key, bytes);
    },
  };
}

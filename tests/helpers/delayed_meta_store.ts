/**
 * A MetaStore in front of another one that takes its time: every call waits a seeded number of turns before it reaches the
 * store and again before its result comes back. With the same seed the interleaving is the same.
 */
import type { MetaStore } from "../../core/meta/store.ts";

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function delayedMetaStore(inner: MetaStore, random: () => number, turnsMax = 12): MetaStore {
  const wait = async () => {
    for (let turns = Math.floor(random() * turnsMax); turns > 0; turns--) await null;
  };
  const delayed = async <T>(call: () => Promise<T>): Promise<T> => {
    await wait();
    const result = await call();
    await wait();
    return result;
  };
  return {
    capabilities: inner.capabilities,
    get: (reads) => delayed(() => inner.get(reads)),
    scan: (scan) => delayed(() => inner.scan(scan)),
    commit: (batch, options) => delayed(() => inner.commit(batch, options)),
    close: () => inner.close(),
  };
}

/** Bodies for tests, and their comparison: `deepEqual` takes seconds for megabytes, and its message is useless then. */
import { equal } from "node:assert/strict";

/** Bytes that differ between seeds, pages and neighbours. */
export function patternBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (Math.imul(seed, 2654435761) + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Fails at the first byte that differs. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  equal(actual.length, expected.length, `${what}: length`);
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] !== expected[i]) equal(actual[i], expected[i], `${what}: byte ${i}`);
  }
}

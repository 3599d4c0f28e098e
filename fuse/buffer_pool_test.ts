import { equal, notEqual, ok, throws } from "node:assert/strict";
import { createBufferPool, HEADER_ROOM_BYTES } from "./buffer_pool.ts";

Deno.test("buffers are used again by size, and what is taken is counted", () => {
  const pool = createBufferPool(1 << 20);
  const large = pool.take((1 << 20) + HEADER_ROOM_BYTES);
  const small = pool.take(100);
  notEqual(large.bytes.length, small.bytes.length);
  equal(pool.takenBytes, large.bytes.length + small.bytes.length);
  pool.give(large);
  pool.give(small);
  equal(pool.takenBytes, 0);
  equal(pool.take(1 << 20), large);
  equal(pool.take(1), small);
  throws(() => pool.take(2 << 20), /larger than any request/);
});

Deno.test("after a burst only a few unused buffers are kept", () => {
  const pool = createBufferPool(1 << 20);
  const burst = Array.from({ length: 40 }, () => pool.take(1));
  for (const buffer of burst) pool.give(buffer);
  const kept = burst.map(() => pool.take(1)).filter((buffer) => burst.includes(buffer));
  ok(kept.length > 0 && kept.length <= 8);
});

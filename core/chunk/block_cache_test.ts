import { equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { CHECKSUM_PAGE_BYTES as PAGE } from "../limits.ts";
import { BlockCache, keyOf } from "./block_cache.ts";
import { BufferPool } from "./buffers.ts";

const BLOCK = 4 * PAGE;

function createCache(limitBlocks: number) {
  const blockPool = new BufferPool(BLOCK, 100);
  const pagePool = new BufferPool(PAGE, 100);
  const cache = new BlockCache(limitBlocks * (BLOCK + 256), BLOCK, blockPool, pagePool);
  return { cache, blockPool, pagePool };
}

Deno.test("the least recently used goes first, and its buffer back to the pool", () => {
  const { cache, blockPool } = createCache(3);
  const buffers = [1, 2, 3, 4].map(() => new Uint8Array(BLOCK));
  for (const i of [0, 1, 2]) cache.putBlock(i + 1, 0, buffers[i] as Uint8Array, false);
  ok(cache.copy(1, 0, 0, 1, new Uint8Array(1), 0)); // 2 is the oldest now
  cache.putBlock(4, 0, buffers[3] as Uint8Array, false);
  equal(cache.hasBlock(2, 0), false);
  for (const id of [1, 3, 4]) ok(cache.hasBlock(id, 0));
  equal(blockPool.take(), buffers[1]);
  cache.clear();
  equal(cache.usedBytes, 0);
});

Deno.test("what does not fit is not kept", () => {
  const { cache } = createCache(0);
  cache.putBlock(1, 0, new Uint8Array(BLOCK), true);
  equal(cache.hasBlock(1, 0), false);
  equal(cache.usedBytes, 0);
  equal(cache.unreadBytes, 0);
});

Deno.test("pages of a block answer ranges that they cover together", () => {
  const { cache } = createCache(10);
  const block = Uint8Array.from({ length: BLOCK }, (_, i) => i * 3 + (i >> 8));
  for (const page of [1, 2]) cache.putPage(9, 1, page, block.slice(page * PAGE, (page + 1) * PAGE));
  const into = new Uint8Array(2 * PAGE);
  ok(cache.copy(9, 1, PAGE + 5, 3 * PAGE - 5, into, 3));
  equal(into[3], block[PAGE + 5]);
  equal(into[3 + 2 * PAGE - 11], block[3 * PAGE - 6]);
  equal(cache.copy(9, 1, PAGE - 1, PAGE + 1, into, 0), false);
  equal(cache.copy(9, 0, PAGE, PAGE + 1, into, 0), false, "another block");
  equal(cache.copy(8, 1, PAGE, PAGE + 1, into, 0), false, "another slice");
});

Deno.test("usage stays within the limit and adds up, whatever is put and touched", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(6), fc.nat(2), fc.nat(3), fc.boolean()), { maxLength: 60 }),
      (steps) => {
        const { cache } = createCache(4);
        for (const [id, what, page, isUnread] of steps) {
          if (what === 0) cache.putBlock(id + 1, 0, new Uint8Array(BLOCK), isUnread);
          else if (what === 1) cache.putPage(id + 1, 0, page, new Uint8Array(PAGE));
          else cache.copy(id + 1, 0, page * PAGE, page * PAGE + 1, new Uint8Array(1), 0);
          ok(cache.usedBytes <= cache.limitBytes && cache.unreadBytes <= cache.usedBytes);
        }
        cache.clear();
        equal(cache.usedBytes, 0);
        equal(cache.unreadBytes, 0);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("keys do not collide, and what does not fit one is refused", () => {
  const keys = new Set<number>();
  for (const id of [1, 2, 1024, 2 ** 42]) for (const part of [0, 1, 1023]) keys.add(keyOf(id, part));
  equal(keys.size, 12);
  throws(() => keyOf(1, 1024));
  throws(() => keyOf(2 ** 43, 0));
});

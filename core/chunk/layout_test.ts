import { deepEqual, equal, throws } from "node:assert/strict";
import { CHUNK_BYTES } from "../limits.ts";
import { blockCount, blockKey, blockLength, chunkOf, pagesPerBlock, sliceKeys } from "./layout.ts";

const MIB = 1 << 20;

Deno.test("keys are those of JuiceFS", () => {
  equal(blockKey("vol/", 1, 0, 4096), "vol/chunks/0/0/1_0_4096");
  equal(blockKey("", 1234567, 3, 4 * MIB), "chunks/1/1234/1234567_3_4194304");
  equal(blockKey("v/", 1e12 + 1, 15, 1), "v/chunks/1000000/1000000000/1000000000001_15_1");
});

Deno.test("a slice has full blocks and a shorter last one", () => {
  const layout = { prefix: "v/", blockBytes: 4 * MIB };
  deepEqual(sliceKeys(layout, 7, 8 * MIB + 5), [
    "v/chunks/0/0/7_0_4194304",
    "v/chunks/0/0/7_1_4194304",
    "v/chunks/0/0/7_2_5",
  ]);
  deepEqual(sliceKeys(layout, 7, 4 * MIB), ["v/chunks/0/0/7_0_4194304"]);
  deepEqual(sliceKeys(layout, 0, 4 * MIB), []);
  equal(sliceKeys(layout, 7, CHUNK_BYTES).length, 16);
  throws(() => sliceKeys(layout, 7, CHUNK_BYTES + 1));
});

Deno.test("offsets, blocks and pages", () => {
  equal(chunkOf(0), 0);
  equal(chunkOf(CHUNK_BYTES - 1), 0);
  equal(chunkOf(CHUNK_BYTES), 1);
  equal(chunkOf(Number.MAX_SAFE_INTEGER), 134217727);
  equal(blockCount(0, MIB), 0);
  equal(blockCount(MIB, MIB), 1);
  equal(blockCount(MIB + 1, MIB), 2);
  equal(blockLength(MIB + 1, MIB, 0), MIB);
  equal(blockLength(MIB + 1, MIB, 1), 1);
  equal(pagesPerBlock(64 << 10), 1);
  equal(pagesPerBlock(4 * MIB), 16);
});

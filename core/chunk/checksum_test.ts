import { equal } from "node:assert/strict";
import fc from "fast-check";
import { CHECKSUM_PAGE_BYTES } from "../limits.ts";
import { blockCount, blockLength } from "./layout.ts";
import { checksumsLength, sliceChecksums, verifyPages } from "./checksum.ts";

Deno.test("the packed form is CRC32 in little-endian order", () => {
  const sums = sliceChecksums(new TextEncoder().encode("123456789"), 64 << 10);
  // The check value of CRC-32/ISO-HDLC: 0xcbf43926.
  equal([...sums].map((b) => b.toString(16)).join(" "), "26 39 f4 cb");
});

Deno.test("every page verifies by itself and no flipped bit goes unseen", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20),
      fc.integer({ min: 1, max: 3 << 20 }),
      fc.nat(),
      fc.nat(7),
      (blockBytes, size, where, bit) => {
        const bytes = new Uint8Array(size);
        for (let i = 0; i < size; i += 97) bytes[i] = i * 31;
        const sums = sliceChecksums(bytes, blockBytes);
        equal(sums.length, checksumsLength(size, blockBytes));
        const flipped = where % size;
        for (const damaged of [false, true]) {
          if (damaged) bytes[flipped] = (bytes[flipped] ?? 0) ^ (1 << bit);
          for (let index = 0; index < blockCount(size, blockBytes); index++) {
            const start = index * blockBytes;
            const length = blockLength(size, blockBytes, index);
            const holdsFlipped = damaged && flipped >= start && flipped < start + length;
            equal(
              verifyPages(sums, blockBytes, index, 0, bytes.subarray(start, start + length)),
              !holdsFlipped,
            );
            for (let page = 0; page * CHECKSUM_PAGE_BYTES < length; page++) {
              const from = start + page * CHECKSUM_PAGE_BYTES;
              const to = Math.min(from + CHECKSUM_PAGE_BYTES, start + length);
              const bad = damaged && flipped >= from && flipped < to;
              equal(verifyPages(sums, blockBytes, index, page, bytes.subarray(from, to)), !bad);
            }
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("checksums that are too short verify nothing", () => {
  const bytes = new Uint8Array(CHECKSUM_PAGE_BYTES + 1);
  const sums = sliceChecksums(bytes, 1 << 20);
  equal(verifyPages(sums, 1 << 20, 0, 0, bytes), true);
  equal(verifyPages(sums.subarray(0, 4), 1 << 20, 0, 0, bytes), false);
  equal(verifyPages(new Uint8Array(), 1 << 20, 0, 0, bytes), false);
});

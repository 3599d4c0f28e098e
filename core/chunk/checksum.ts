/**
 * Page checksums: CRC32 (ISO 3309, as in zlib) of every CHECKSUM_PAGE_BYTES of a block's plain bytes, packed as u32
 * little-endian, block after block. A block starts a new page, so the last page of a block may be short. Blocks smaller
 * than a page have one page each.
 */
import { crc32 } from "node:zlib";
import { assert } from "../assert.ts";
import { CHECKSUM_PAGE_BYTES } from "../limits.ts";
import { blockCount, blockLength, pagesPerBlock } from "./layout.ts";

/** Bytes that one checksum takes in the packed form. */
export const CHECKSUM_BYTES = 4;

/** Bytes of the packed checksums of a slice of `sizeBytes`. */
export function checksumsLength(sizeBytes: number, blockBytes: number): number {
  if (sizeBytes === 0) return 0;
  const last = blockCount(sizeBytes, blockBytes) - 1;
  const lastPages = Math.ceil(blockLength(sizeBytes, blockBytes, last) / CHECKSUM_PAGE_BYTES);
  return (last * pagesPerBlock(blockBytes) + lastPages) * CHECKSUM_BYTES;
}

/** Writes the checksums of one whole block into the packed checksums of its slice. */
export function writeBlockChecksums(
  checksums: Uint8Array,
  blockBytes: number,
  index: number,
  block: Uint8Array,
): void {
  let at = index * pagesPerBlock(blockBytes) * CHECKSUM_BYTES;
  for (let start = 0; start < block.length; start += CHECKSUM_PAGE_BYTES) {
    const crc = crc32(block.subarray(start, start + CHECKSUM_PAGE_BYTES));
    assert(at + CHECKSUM_BYTES <= checksums.length, "room for the block's checksums");
    checksums[at] = crc;
    checksums[at + 1] = crc >>> 8;
    checksums[at + 2] = crc >>> 16;
    checksums[at + 3] = crc >>> 24;
    at += CHECKSUM_BYTES;
  }
}

/** The packed checksums of a whole slice in memory. */
export function sliceChecksums(bytes: Uint8Array, blockBytes: number): Uint8Array {
  const checksums = new Uint8Array(checksumsLength(bytes.length, blockBytes));
  for (let index = 0; index * blockBytes < bytes.length; index++) {
    const block = bytes.subarray(index * blockBytes, (index + 1) * blockBytes);
    writeBlockChecksums(checksums, blockBytes, index, block);
  }
  return checksums;
}

/**
 * True if `bytes`, which start at page `firstPage` of block `index` and end at a page's end or the block's, have the
 * checksums of their slice. False too if the checksums are too short to say.
 */
export function verifyPages(
  checksums: Uint8Array,
  blockBytes: number,
  index: number,
  firstPage: number,
  bytes: Uint8Array,
): boolean {
  let at = (index * pagesPerBlock(blockBytes) + firstPage) * CHECKSUM_BYTES;
  for (let start = 0; start < bytes.length; start += CHECKSUM_PAGE_BYTES) {
    if (at + CHECKSUM_BYTES > checksums.length) return false;
    const end = start + CHECKSUM_PAGE_BYTES;
    const page = start === 0 && end >= bytes.length ? bytes : bytes.subarray(start, end);
    if (crc32(page) !== readU32(checksums, at)) return false;
    at += CHECKSUM_BYTES;
  }
  return true;
}

function readU32(bytes: Uint8Array, at: number): number {
  // The caller has checked the bounds; without a DataView, because one would be made for every slice.
  const low = (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8;
  const high = (bytes[at + 2] ?? 0) | (bytes[at + 3] ?? 0) << 8;
  return (low | high << 16) >>> 0;
}

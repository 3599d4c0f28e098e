/**
 * Where bytes live: file -> chunk -> slice -> block -> object. The one place that knows object keys, so that another
 * packing of slices into objects changes nothing else.
 *
 * A file is cut into chunks of CHUNK_BYTES; a slice lies within one chunk and is cut into blocks of `blockBytes`, the last
 * one shorter; a block is one object. Keys as in JuiceFS (pkg/chunk/cached_store.go, `key`), without its hash prefix.
 */
import { assert } from "../assert.ts";
import { CHECKSUM_PAGE_BYTES, CHUNK_BYTES } from "../limits.ts";

export interface Layout {
  /** Put before `chunks/...`: the volume's name and a slash, or "". */
  readonly prefix: string;
  /** Bytes of a full block: a power of two. */
  readonly blockBytes: number;
}

/** The chunk that holds the byte of a file at `offset`. */
export function chunkOf(offset: number): number {
  return Math.floor(offset / CHUNK_BYTES);
}

/** How many blocks a slice of `sizeBytes` has. */
export function blockCount(sizeBytes: number, blockBytes: number): number {
  return Math.ceil(sizeBytes / blockBytes);
}

/** Bytes of block `index` of a slice of `sizeBytes`. */
export function blockLength(sizeBytes: number, blockBytes: number, index: number): number {
  return Math.min(blockBytes, sizeBytes - index * blockBytes);
}

/** The object of one block; `lengthBytes` is the block's own length. */
export function blockKey(prefix: string, sliceId: number, index: number, lengthBytes: number): string {
  const thousands = Math.floor(sliceId / 1000);
  const millions = Math.floor(sliceId / 1_000_000);
  return `${prefix}chunks/${millions}/${thousands}/${sliceId}_${index}_${lengthBytes}`;
}

/** The objects of a whole slice, in order of its bytes. Slice 0 is zeros and has none. */
export function sliceKeys(layout: Layout, sliceId: number, sizeBytes: number): string[] {
  if (sliceId === 0) return [];
  const count = blockCount(sizeBytes, layout.blockBytes);
  assert(count * layout.blockBytes <= CHUNK_BYTES, `slice ${sliceId} is longer than a chunk: ${sizeBytes}`);
  const keys: string[] = [];
  for (let i = 0; i < count; i++) {
    keys.push(blockKey(layout.prefix, sliceId, i, blockLength(sizeBytes, layout.blockBytes, i)));
  }
  return keys;
}

/** Checksum pages of a full block; a block smaller than a page has one. */
export function pagesPerBlock(blockBytes: number): number {
  return Math.max(1, blockBytes / CHECKSUM_PAGE_BYTES);
}

/** Most checksum pages, and most blocks, that a slice can have with any block size: 64 MiB of 64 KiB blocks. */
export const SLICE_PAGES_MAX = 1024;

/** The common prefix of all objects of the slices with the same thousands, and the slice number in a key under it. */
export function thousandPrefix(prefix: string, sliceId: number): string {
  return `${prefix}chunks/${Math.floor(sliceId / 1_000_000)}/${Math.floor(sliceId / 1000)}/`;
}
export function sliceIdOf(key: string): number | null {
  const match = /\/(\d+)_\d+_\d+$/.exec(key);
  return match === null ? null : Number(match[1]);
}

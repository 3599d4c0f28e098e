/**
 * DirtySlice: consecutive bytes of one chunk that were written here and are not committed yet.
 *
 * Life: open (takes more bytes) -> frozen (its length is final) -> stored (all blocks are objects) -> committed (gone).
 * Invariants:
 * - Blocks [0, queuedBlocks) are handed to the uploader and never change again; while the slice is open they are full.
 *   At most one more block exists, the one being written.
 * - blocks[i] is null exactly when block i is stored: then it is read like a committed block.
 * - Bytes [start, end) are all written: a slice has no holes.
 */
import type { Timespec } from "../env.ts";
import { CHUNK_BYTES } from "../limits.ts";
import { CHECKSUM_BYTES, checksumsLength } from "./checksum.ts";
import { pagesPerBlock } from "./layout.ts";

const EMPTY = new Uint8Array(0);

export class DirtySlice {
  /** 0 until the first block is uploaded. */
  sliceId = 0;
  /** The id being asked for. */
  idRequest: Promise<void> | null = null;
  length = 0;
  isFrozen = false;
  /** The file is gone: what is uploaded is garbage. */
  isDropped = false;
  readonly blocks: (Uint8Array | null)[] = [];
  queuedBlocks = 0;
  storedBlocks = 0;
  /** Packed page checksums of the stored blocks; possibly longer than the slice needs. */
  checksums: Uint8Array = EMPTY;
  /** Time of the last write; null: the user has set the file's mtime since. */
  mtime: Timespec | null = null;
  writtenAtMs: number;

  constructor(
    /** Position in the write order of the file. */
    readonly seq: number,
    readonly chunk: number,
    /** Position in the chunk. */
    readonly start: number,
    readonly createdAtMs: number,
  ) {
    this.writtenAtMs = createdAtMs;
  }

  get end(): number {
    return this.start + this.length;
  }

  get isStored(): boolean {
    return this.isFrozen && this.storedBlocks === this.blocks.length;
  }

  /** True if bytes at `position` may go into this slice: it is not finished, and they touch its changeable part. */
  accepts(position: number, blockBytes: number): boolean {
    return !this.isFrozen && position <= this.start + this.length &&
      position >= this.start + this.queuedBlocks * blockBytes;
  }

  /** Makes room for checksums before the first block is uploaded. */
  prepareChecksums(blockBytes: number): void {
    if (this.checksums.length > 0) return;
    const length = this.isFrozen
      ? checksumsLength(this.length, blockBytes)
      : CHUNK_BYTES / blockBytes * pagesPerBlock(blockBytes) * CHECKSUM_BYTES;
    this.checksums = new Uint8Array(length);
  }
}

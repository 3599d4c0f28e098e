/**
 * SliceLog: what the data path needs of the metadata engine. `core/meta/` implements it; `core/chunk/` imports only this.
 */
import type { Timespec } from "../env.ts";
import type { Durability } from "../meta/store.ts";

/** One record of a chunk's slice list, oldest first in a list; the later record wins where two overlap.
 *  Bytes [off, off+len) of the slice appear at [pos, pos+len) of the chunk. */
export interface SliceRecord {
  readonly pos: number;
  /** 0: zeros, without an object. */
  readonly sliceId: number;
  /** Bytes of the whole slice: with the block size it decides the object keys. */
  readonly size: number;
  readonly off: number;
  readonly len: number;
  /** Packed page checksums of the whole slice (schema.ts, sliceObjects); empty for zeros. */
  readonly checksums: Uint8Array;
}

/** A finished slice whose objects are all stored, ready to be committed. */
export interface NewSlice {
  readonly chunk: number;
  readonly pos: number;
  readonly sliceId: number;
  readonly size: number;
  readonly checksums: Uint8Array;
}

export interface SliceLog {
  /** The chunk's slices in commit order. May be answered from a cache; neither side changes the array once it was given
   *  out: a changed list is a new array, so that what is derived from a list can be kept by its identity. A call made after
   *  `commitSlices` has resolved answers with those slices. */
  readSlices(ino: number, chunk: number): readonly SliceRecord[] | Promise<readonly SliceRecord[]>;
  /** The file's cached lists turned out to be old (an object they name is gone): the next `readSlices` asks the store. */
  forgetSlices?(ino: number): void;
  /** A fresh slice id, never given out before. The id's range was recorded first, so leftovers are found after a crash. */
  newSliceId(): number | Promise<number>;
  /** The id will not be committed and none of its objects is left: nobody needs to look for them. */
  dropSliceId?(sliceId: number): void;
  /**
   * Adds finished slices, in this order, in one commit: with their objects' records, the file's length raised to cover
   * them, mtime and ctime raised to `mtime` (null: only ctime to now; the user has set mtime since), and the usage. An empty list with durability `synced` syncs what was
   * committed before. FsError ENOENT: the file is gone for good (no name, no user), the slices' objects are garbage.
   */
  commitSlices(
    ino: number,
    slices: readonly NewSlice[],
    mtime: Timespec | null,
    durability: Durability,
  ): Promise<void>;
}

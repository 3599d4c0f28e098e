/**
 * Operations on ranges of open files that move no bytes: fallocate(2), lseek(2) for data and holes, copy_file_range(2).
 *
 * All of them look at slice lists, so what is dirty is committed first: what they see is what was written.
 */
import { buildView } from "../chunk/slice_view.ts";
import { FsError } from "../errors.ts";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import { S_ISGID, S_ISUID } from "../meta/attr.ts";
import type { InodeRow } from "../meta/schema.ts";
import { XATTR_CAPABILITY } from "../meta/special_xattrs.ts";
import { requireWritable, type VfsContext } from "./context.ts";
import {
  type Caller,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  O_ACCMODE,
  O_APPEND,
  O_RDONLY,
  O_WRONLY,
  SEEK_DATA,
  SEEK_HOLE,
} from "./types.ts";

export function rangesOf(ctx: VfsContext) {
  const { engine, data, handles, nodes } = ctx;

  async function flushed(ino: number): Promise<void> {
    if (data.hasDirty(ino)) await data.flush(ino, "ordered");
  }

  /** After a change of a file's lists by this client: what the kernel shows follows by itself, our caches do not. */
  function changed(row: InodeRow): void {
    data.invalidate(row.ino);
    const node = nodes.get(row.ino);
    if (node !== undefined) node.contentSeq = -1;
  }

  /** A write takes capabilities away, and one that is not root's set-user-ID and set-group-ID. */
  async function killSuidGid(caller: Caller, ino: number): Promise<void> {
    const { mode, xattrKinds } = await engine.getattr(ino);
    const kills = caller.uid !== 0 && (mode & (S_ISUID | S_ISGID)) !== 0;
    if (kills || (xattrKinds & XATTR_CAPABILITY) !== 0) {
      await engine.setattr(ino, { killSuidGid: kills, killCapability: true });
    }
  }

  /** Offset of the first byte at or after `offset` that is data (or a hole); null if there is none before `length`. */
  async function seek(
    ino: number,
    offset: number,
    length: number,
    wantData: boolean,
  ): Promise<number | null> {
    for (let at = offset; at < length;) {
      const chunk = Math.floor(at / CHUNK_BYTES);
      const base = chunk * CHUNK_BYTES;
      const view = buildView(await engine.sliceLog.readSlices(ino, chunk));
      const chunkEnd = Math.min(length, base + CHUNK_BYTES);
      for (let i = view.find(at - base); i < view.count && at < chunkEnd; i++) {
        const start = base + (view.starts[i] as number);
        const isZeros = view.records[i]?.sliceId === 0;
        if (start > at && !wantData) return at;
        if (isZeros !== wantData && start < chunkEnd) {
          const found = Math.max(at, start);
          if (wantData || isZeros) return found;
        }
        at = Math.max(at, Math.min(chunkEnd, base + (view.ends[i] as number)));
      }
      if (at < chunkEnd) {
        if (!wantData) return at;
        // Nothing more in this chunk: on to the next one that has slices at all.
        const next = await engine.nextChunk(ino, chunk + 1);
        if (next === null) return null;
        at = next * CHUNK_BYTES;
      }
    }
    return null;
  }

  return {
    async fallocate(
      caller: Caller,
      ino: number,
      handle: number,
      mode: number,
      offset: number,
      length: number,
    ): Promise<void> {
      requireWritable(ctx);
      if ((handles.file(handle).flags & O_ACCMODE) === O_RDONLY) throw new FsError("EBADF");
      if (length <= 0 || offset < 0) throw new FsError("EINVAL");
      if (offset + length > FILE_BYTES_MAX) throw new FsError("EFBIG");
      const keepSize = (mode & FALLOC_KEEP_SIZE) !== 0;
      const clear = (mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) !== 0;
      if ((mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) !== 0) {
        throw new FsError("ENOTSUP");
      }
      if ((mode & FALLOC_PUNCH_HOLE) && (!keepSize || (mode & FALLOC_ZERO_RANGE))) {
        throw new FsError("ENOTSUP");
      }
      await flushed(ino);
      await killSuidGid(caller, ino);
      const before = await engine.getattr(ino);
      const grown = keepSize ? 0 : offset + length - before.length;
      if (grown > 0 && !await engine.hasRoom(grown)) throw new FsError("ENOSPC", "the volume is full");
      changed(await engine.allocate(ino, { start: offset, end: offset + length, clear, extend: !keepSize }));
      if (clear) ctx.wakeReclaim();
    },

    async lseek(
      _caller: Caller,
      ino: number,
      _handle: number,
      offset: number,
      whence: number,
    ): Promise<number> {
      if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError("EINVAL");
      await flushed(ino);
      const { length } = await engine.getattr(ino);
      if (offset < 0 || offset >= length) throw new FsError("ENXIO");
      const found = await seek(ino, offset, length, whence === SEEK_DATA);
      if (found !== null) return found;
      // Every file ends with a hole: lseek(2).
      if (whence === SEEK_HOLE) return length;
      throw new FsError("ENXIO");
    },

    async copyFileRange(
      caller: Caller,
      from: { readonly ino: number; readonly handle: number; readonly offset: number },
      to: { readonly ino: number; readonly handle: number; readonly offset: number },
      length: number,
    ): Promise<number> {
      requireWritable(ctx);
      if ((handles.file(from.handle).flags & O_ACCMODE) === O_WRONLY) throw new FsError("EBADF");
      const targetFlags = handles.file(to.handle).flags;
      if ((targetFlags & O_ACCMODE) === O_RDONLY || (targetFlags & O_APPEND)) throw new FsError("EBADF");
      await flushed(from.ino);
      await flushed(to.ino);
      await killSuidGid(caller, to.ino);
      const target = await engine.getattr(to.ino);
      const grown = to.offset + length - target.length;
      if (grown > 0 && !await engine.hasRoom(grown)) throw new FsError("ENOSPC", "the volume is full");
      const range = { from: from.ino, fromOffset: from.offset, to: to.ino, toOffset: to.offset, length };
      const { copiedBytes, target: after } = await engine.copyRange(range);
      if (copiedBytes > 0) changed(after);
      return copiedBytes;
    },
  };
}

/**
 * The POSIX operation surface (types.ts) over the metadata engine and the data path. The operations stand in names.ts
 * and files.ts; here are directories and the volume as a whole.
 */
import { FsError } from "../errors.ts";
import { isDirectory } from "../meta/attr.ts";
import { AccessTimes } from "./atime.ts";
import type { VfsContext } from "./context.ts";
import { DirectoryStream } from "./directory_stream.ts";
import { filesOf } from "./files.ts";
import { Handles } from "./handles.ts";
import { inodeFlagsOf } from "./inode_flags.ts";
import { locksOf } from "./locks.ts";
import { namesOf } from "./names.ts";
import { Nodes } from "./nodes.ts";
import { R_OK } from "./permission.ts";
import { rangesOf } from "./ranges.ts";
import type { Caller, DirSink, Opened, StatFs, Vfs } from "./types.ts";
import { xattrsOf } from "./xattrs.ts";

/** Shown as free where nothing limits the volume. */
const UNLIMITED_BYTES = 2 ** 50;
const UNLIMITED_INODES = 2 ** 31;

export interface VfsWithClose extends Vfs {
  /** Gives up what is still open: files without names go for good. The data path was flushed before. */
  close(): Promise<void>;
}

export function createVfs(parts: Omit<VfsContext, "nodes" | "handles" | "accessTimes">): VfsWithClose {
  const { atime, nodiratime } = parts.options;
  const accessTimes = new AccessTimes(parts.engine, parts.env, atime, nodiratime);
  const ctx: VfsContext = { ...parts, nodes: new Nodes(), handles: new Handles(), accessTimes };
  const { engine, nodes, handles } = ctx;
  const { create, requireDirectoryAccess, ...names } = namesOf(ctx);
  const { endOwner, endHandle, ...locks } = locksOf(ctx);
  const files = filesOf(ctx, { create, requireDirectoryAccess, endOwner, endHandle });
  // What this client commits itself does not make the kernel's pages stale.
  engine.onAppend((ino, before, after) => {
    const node = nodes.get(ino);
    if (node !== undefined) node.contentSeq = node.contentSeq === before ? after : -1;
  });
  return {
    ...names,
    ...files,
    ...rangesOf(ctx),
    ...xattrsOf(ctx),
    ...inodeFlagsOf(ctx),
    ...locks,

    forget: (ino, count) => nodes.forget(ino, count),

    async opendir(caller: Caller, ino: number): Promise<Opened> {
      const row = await engine.getattr(ino);
      if (!isDirectory(row.mode)) throw new FsError("ENOTDIR");
      await requireDirectoryAccess(caller, ino, R_OK);
      const stream = new DirectoryStream(ctx, ino, row.parent);
      return { handle: handles.add({ kind: "directory", stream }), keepCache: false, directIo: false };
    },

    readdir: (_caller: Caller, _ino: number, handle: number, offset: number, plus: boolean, sink: DirSink) =>
      handles.directory(handle).stream.read(offset, plus, sink),

    releasedir(_ino, handle) {
      handles.remove(handle);
    },

    async fsyncdir() {
      await engine.sync();
    },

    async statfs(): Promise<StatFs> {
      const [usage, capacity] = await Promise.all([engine.usage(), ctx.capacity()]);
      const { capacityBytes, inodesMax } = engine.options;
      let freeBytes = capacity?.freeBytes ?? UNLIMITED_BYTES;
      if (capacityBytes > 0) freeBytes = Math.min(freeBytes, Math.max(0, capacityBytes - usage.bytes));
      const freeInodes = inodesMax > 0 ? Math.max(0, inodesMax - usage.inodes) : UNLIMITED_INODES;
      return {
        totalBytes: usage.bytes + freeBytes,
        freeBytes,
        totalInodes: usage.inodes + freeInodes,
        freeInodes,
        blockBytes: 4096,
      };
    },

    async close() {
      for (const node of [...nodes.sustained()]) {
        node.sustained = false;
        ctx.data.discard(node.ino);
        await engine.releaseSustained(node.ino);
      }
    },
  };
}

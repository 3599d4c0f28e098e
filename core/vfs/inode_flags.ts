/**
 * Inode flags as ioctl_iflags(2) sees them: which there are, and who may change them. What they forbid stands in
 * core/meta/inode_flags.ts.
 *
 * Kept: immutable and append-only, synchronous writes, and the marks that concern other programs (no dump, no atime).
 * Everything else that chattr(1) knows asks for something that this file system has no notion of: ENOTSUP.
 */
import { FsError } from "../errors.ts";
import { isDirectory, isRegular } from "../meta/attr.ts";
import {
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  FS_NOATIME_FL,
  FS_NODUMP_FL,
  FS_SYNC_FL,
} from "../meta/inode_flags.ts";
import type { InodeRow } from "../meta/schema.ts";
import { requireWritable, type VfsContext } from "./context.ts";
import type { Caller } from "./types.ts";

const SUPPORTED = FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL;
/** For these CAP_LINUX_IMMUTABLE is needed: root has it. */
const PRIVILEGED = FS_IMMUTABLE_FL | FS_APPEND_FL;

export function inodeFlagsOf(ctx: VfsContext) {
  const { engine, data } = ctx;

  function requireMayChangeFlags(row: InodeRow, caller: Caller, flags: number): void {
    const changed = row.flags ^ flags;
    // Always looked at: before Linux 5.13 the kernel leaves it to the file system.
    if (caller.uid !== 0 && (caller.uid !== row.uid || (changed & PRIVILEGED) !== 0)) {
      throw new FsError("EPERM");
    }
    // A file that stays immutable keeps its other flags, too.
    const staysImmutable = (row.flags & flags & FS_IMMUTABLE_FL) !== 0;
    if (staysImmutable && changed !== 0) throw new FsError("EPERM", "immutable file");
  }

  function requireKind(row: InodeRow): void {
    if (!isRegular(row.mode) && !isDirectory(row.mode)) throw new FsError("ENOTTY");
  }

  return {
    async getFlags(_caller: Caller, ino: number): Promise<number> {
      const row = await engine.getattr(ino);
      requireKind(row);
      return row.flags;
    },

    async setFlags(caller: Caller, ino: number, flags: number, mask = -1): Promise<void> {
      requireWritable(ctx);
      if ((flags & mask & ~SUPPORTED) !== 0) throw new FsError("ENOTSUP", "no such inode flag here");
      // Data that was taken before the file became immutable belongs to it.
      if ((flags & FS_IMMUTABLE_FL) !== 0 && data.hasDirty(ino)) await data.flush(ino, "ordered");
      await engine.setFlags(ino, (row) => {
        requireKind(row);
        const after = (row.flags & ~mask) | (flags & mask);
        requireMayChangeFlags(row, caller, after);
        return after;
      });
    },
  };
}

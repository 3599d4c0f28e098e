/**
 * Inode flags, the bits of FS_IOC_GETFLAGS: what they forbid, and changing them. Sources: ioctl_iflags(2), chattr(1), and for
 * the errors what Linux does for every file system (may_delete and vfs_link in fs/namei.c, notify_change in fs/attr.c).
 *
 * Every operation that a flag forbids looks at it in its plan and checks the column in its commit, so that a flag holds from
 * its own commit on. Only writes of data look at the cached record: data that was taken is never refused afterwards.
 */
import { FsError } from "../errors.ts";
import { raiseCtime } from "./attr.ts";
import type { MetaContext } from "./context.ts";
import type { InodeRow } from "./schema.ts";
import { checkColumns, update } from "./store.ts";
import { transact } from "./transact.ts";

/** Written data is synced before the write returns. */
export const FS_SYNC_FL = 0x08;
export const FS_IMMUTABLE_FL = 0x10;
export const FS_APPEND_FL = 0x20;
/** For dump(8). */
export const FS_NODUMP_FL = 0x40;
export const FS_NOATIME_FL = 0x80;

const FIXED = FS_IMMUTABLE_FL | FS_APPEND_FL;
/** What new files take from their directory, as on ext4. */
const INHERITED = FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL;

export const isImmutable = (row: { readonly flags: number }): boolean => (row.flags & FS_IMMUTABLE_FL) !== 0;
export const isAppendOnly = (row: { readonly flags: number }): boolean => (row.flags & FS_APPEND_FL) !== 0;

export function inheritedFlags(directory: InodeRow): number {
  return directory.flags & INHERITED;
}

/** EPERM where no entry may be added to a directory. */
export function requireMayAdd(directory: InodeRow): void {
  if (isImmutable(directory)) throw new FsError("EPERM", "immutable directory");
}

/** EPERM where no entry may be taken from a directory, or get another meaning. */
export function requireMayTake(directory: InodeRow): void {
  if ((directory.flags & FIXED) !== 0) throw new FsError("EPERM", "immutable or append-only directory");
}

/** EPERM for a file whose names, attributes and extended attributes stay as they are. */
export function requireNotFixed(row: InodeRow): void {
  if ((row.flags & FIXED) !== 0) throw new FsError("EPERM", "immutable or append-only file");
}

/** EPERM for a file that cannot be changed at all. */
export function requireNotImmutable(row: InodeRow): void {
  if (isImmutable(row)) throw new FsError("EPERM", "immutable file");
}

/** Sets the flags to what `change` makes of them; it may throw EPERM about the file as the commit will find it. */
export function setFlags(
  ctx: MetaContext,
  ino: number,
  change: (row: InodeRow) => number,
): Promise<InodeRow> {
  return transact(ctx, async (view) => {
    const row = await view.inode(ino);
    const flags = change(row);
    return {
      checks: [checkColumns("inodes", [ino], { flags: row.flags, uid: row.uid })],
      writes: [update("inodes", [ino], { set: { flags }, raise: raiseCtime(ctx.env.now()) })],
      done: () => ctx.cache.inode(ino)?.row ?? { ...row, flags },
    };
  });
}

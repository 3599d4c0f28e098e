/** Attributes: getattr and setattr of mode, owner and times. Length is truncate.ts. */
import type { Timespec } from "../env.ts";
import { FsError } from "../errors.ts";
import { isDirectory, type IsMember, raiseCtime, S_IFMT, withoutSuidSgid } from "./attr.ts";
import type { MetaContext } from "./context.ts";
import { requireNotFixed, requireNotImmutable } from "./inode_flags.ts";
import type { InodeRow } from "./schema.ts";
import { aclChmod, dropCapability } from "./special_xattrs.ts";
import { checkColumns, update } from "./store.ts";
import { fetchInode, transact } from "./transact.ts";

/** The inode: from the cache while it is young enough, else from the store. FsError ENOENT. */
export function getattr(ctx: MetaContext, ino: number): InodeRow | Promise<InodeRow> {
  const cached = ctx.cache.inode(ino);
  if (cached !== undefined && ctx.env.monotonicMs() - cached.fetchedMs < ctx.options.attrTtlMs) {
    return cached.row;
  }
  return refresh(ctx, ino);
}

/** The inode as the store has it now: what open(2) promises (close-to-open). */
export async function refresh(ctx: MetaContext, ino: number): Promise<InodeRow> {
  const row = await fetchInode(ctx, ino);
  if (row === null) {
    ctx.cache.dropInode(ino);
    throw new FsError("ENOENT", `inode ${ino}`);
  }
  return row;
}

/** Sets atime, unless it is later already. ctime stays: it is about changes. ENOENT if the file is gone. */
export async function raiseAtime(ctx: MetaContext, ino: number, time: Timespec): Promise<void> {
  await transact(ctx, async (view) => {
    await view.inode(ino);
    const raise = [{ columns: ["atime", "atimeNsec"], to: [time.sec, time.nsec] }];
    return { checks: [], writes: [update("inodes", [ino], { raise })], done: () => {} };
  });
}

export interface AttrChange {
  /** Permission bits 07777. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly atime?: Timespec;
  readonly mtime?: Timespec;
  /** Clears set-user-ID and set-group-ID as a write does. */
  readonly killSuidGid?: boolean;
  /** Left out: a member. */
  readonly isMember?: IsMember;
  /** Takes capabilities away, as a write and chown do. */
  readonly killCapability?: boolean;
  /** The times are "now": what utimensat(2) lets others than the owner do, and with append-only files. */
  readonly touch?: boolean;
  /** The time that `touch` and ctime mean: one clock reading for all. */
  readonly now?: Timespec;
}

/** Changes attributes; ctime becomes now. `permit` may throw EPERM or EACCES about the file as the commit will find it. */
export function setattr(
  ctx: MetaContext,
  ino: number,
  change: AttrChange,
  permit: (row: InodeRow) => void = () => {},
): Promise<InodeRow> {
  return transact(ctx, async (view) => {
    const row = await view.inode(ino);
    permit(row);
    requireMaySet(row, change);
    const set: Partial<InodeRow> = {};
    let mode = row.mode;
    if (change.mode !== undefined) mode = (row.mode & S_IFMT) | (change.mode & 0o7777);
    // chown clears the bits for everybody, root too, as Linux does (chown_common in fs/open.c).
    const isChown = change.uid !== undefined || change.gid !== undefined;
    if ((isChown || change.killSuidGid) && !isDirectory(row.mode)) {
      mode = withoutSuidSgid(mode, () => change.isMember?.(row.gid) ?? true);
    }
    if (mode !== row.mode) set.mode = mode;
    if (change.uid !== undefined) set.uid = change.uid;
    if (change.gid !== undefined) set.gid = change.gid;
    if (change.atime !== undefined) {
      set.atime = change.atime.sec;
      set.atimeNsec = change.atime.nsec;
    }
    if (change.mtime !== undefined) {
      set.mtime = change.mtime.sec;
      set.mtimeNsec = change.mtime.nsec;
    }
    const acl = change.mode === undefined ? undefined : await aclChmod(ctx, row, mode);
    const dropped = isChown || change.killCapability ? dropCapability(row) : null;
    const { xattrBytes, xattrKinds } = row;
    return {
      checks: [
        checkColumns("inodes", [ino], {
          mode: row.mode,
          uid: row.uid,
          gid: row.gid,
          flags: row.flags,
          xattrKinds,
          ...(dropped === null ? {} : { xattrBytes }),
        }),
        ...acl?.checks ?? [],
      ],
      writes: [
        update("inodes", [ino], {
          set: { ...set, ...dropped?.columns },
          raise: raiseCtime(change.now ?? ctx.env.now()),
        }),
        ...acl?.writes ?? [],
        ...dropped?.writes ?? [],
      ],
      done: () => ctx.cache.inode(ino)?.row ?? { ...row, ...set },
    };
  });
}

/** notify_change and ext4_setattr in Linux: an immutable file keeps its attributes, an append-only one all but "now". */
function requireMaySet(row: InodeRow, change: AttrChange): void {
  requireNotImmutable(row);
  const setsTime = (change.atime !== undefined || change.mtime !== undefined) && !change.touch;
  if (change.mode !== undefined || change.uid !== undefined || change.gid !== undefined || setsTime) {
    requireNotFixed(row);
  }
}

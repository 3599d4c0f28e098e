/**
 * Names: lookup, create of every kind of file, link, unlink, rmdir. Each is one commit. rename stands in rename.ts.
 *
 * What the commits rely on, so that no interleaving with other clients breaks the tree:
 * - An entry is added only while its directory's record exists with the mode, owner and flags that were looked at.
 *   Directories are removed with a check that no entry is under them, and the record goes in the same commit: so an
 *   entry never has a directory that is gone.
 * - Adding entries to one directory only raises its times and adds to its link count: creates do not conflict.
 * - A file's link count changes only in the commit that adds or removes the entry.
 */
import type { Timespec } from "../env.ts";
import { FsError } from "../errors.ts";
import { LINKS_MAX, NAME_BYTES_MAX, SYMLINK_BYTES_MAX } from "../limits.ts";
import {
  accountedBytes,
  DIRECTORY_LENGTH,
  isDirectory,
  isRegular,
  isSymlink,
  newInode,
  raiseCtime,
  raiseTimes,
  S_IFMT,
  S_ISGID,
} from "./attr.ts";
import type { MetaContext } from "./context.ts";
import {
  inheritedFlags,
  isImmutable,
  requireMayAdd,
  requireMayTake,
  requireNotFixed,
} from "./inode_flags.ts";
import type { InodeRow } from "./schema.ts";
import { inherit } from "./special_xattrs.ts";
import {
  type Check,
  checkAbsent,
  checkColumns,
  checkEmpty,
  put,
  read,
  remove,
  update,
  type Write,
} from "./store.ts";
import { withRetry } from "./retry.ts";
import { fetchEdges, transact } from "./transact.ts";

const DOT = 0x2e;

/** Throws ENAMETOOLONG, or EINVAL for what can never be an entry's name. */
export function checkName(name: Uint8Array): void {
  if (name.length > NAME_BYTES_MAX) throw new FsError("ENAMETOOLONG");
  if (name.length === 0 || name.includes(0) || name.includes(0x2f)) throw new FsError("EINVAL", "bad name");
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) {
    throw new FsError("EINVAL", "`.` and `..` are not entries");
  }
}

/** The inode behind a name: from the cache while it is young enough, else from the store. FsError ENOENT. */
export function lookup(ctx: MetaContext, parent: number, name: Uint8Array): InodeRow | Promise<InodeRow> {
  if (name.length > NAME_BYTES_MAX) throw new FsError("ENAMETOOLONG");
  const edge = ctx.cache.edge(parent, name);
  if (edge !== undefined) {
    const inode = ctx.cache.inode(edge.ino);
    const nowMs = ctx.env.monotonicMs();
    if (
      inode !== undefined && nowMs - edge.fetchedMs < ctx.options.entryTtlMs &&
      nowMs - inode.fetchedMs < ctx.options.attrTtlMs
    ) return inode.row;
  }
  return fetchEdges(ctx, [[parent, name]]).then(([row]) => {
    if (row === null || row === undefined) throw new FsError("ENOENT");
    return row;
  });
}

/** The check that a directory still is what a plan looked at, when an entry is added to it or taken from it. */
export function directoryCheck(directory: InodeRow, more: Partial<InodeRow> = {}): Check {
  return checkColumns("inodes", [directory.ino], {
    mode: directory.mode,
    uid: directory.uid,
    gid: directory.gid,
    flags: directory.flags,
    xattrKinds: directory.xattrKinds,
    ...more,
  });
}

export function requireDirectory(row: InodeRow): void {
  if (!isDirectory(row.mode)) throw new FsError("ENOTDIR");
}

/** The writes that a changed set of entries means for the directory itself. */
export function directoryChange(directory: InodeRow, links: number, time: Timespec): Write {
  if (links > 0 && directory.nlink >= LINKS_MAX) throw new FsError("EMLINK");
  return update("inodes", [directory.ino], {
    add: links === 0 ? {} : { nlink: links },
    raise: raiseTimes(time),
  });
}

/** This session's share of the volume's use. */
export function usageChange(ctx: MetaContext, bytes: number, inodes: number): Write {
  return update("usage", [ctx.session], { add: { bytes, inodes } });
}

export interface NewFile {
  /** Type bits and permissions. */
  readonly mode: number;
  /** Permissions to leave out, unless the directory has a default ACL. Default: none. */
  readonly umask?: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev?: number;
  /** Of a symbolic link. */
  readonly target?: Uint8Array;
}

/** Creates a file of any kind. EEXIST, ENOENT (the directory is gone), ENOTDIR, EMLINK, ENAMETOOLONG. */
export async function create(
  ctx: MetaContext,
  parent: number,
  name: Uint8Array,
  file: NewFile,
): Promise<InodeRow> {
  checkName(name);
  if (file.target !== undefined && file.target.length > SYMLINK_BYTES_MAX) throw new FsError("ENAMETOOLONG");
  if (file.target !== undefined && file.target.length === 0) {
    throw new FsError("ENOENT", "empty symlink target");
  }
  const ino = await ctx.inodeIds.next();
  return transact(ctx, async (view) => {
    const directory = await view.inode(parent);
    requireDirectory(directory);
    if (isImmutable(directory)) {
      const [existing] = await view.edges([[parent, name]]);
      throw new FsError(existing ? "EEXIST" : "EPERM");
    }
    const time = ctx.env.now();
    const isDir = isDirectory(file.mode);
    const { row, checks, writes } = await newInodeWrites(ctx, ino, directory, file, isDir ? 2 : 1, time);
    return {
      checks: [checkAbsent("edges", [parent, name]), directoryCheck(directory), ...checks],
      writes: [
        put("edges", [parent, name], { ino, mode: file.mode & S_IFMT }),
        ...writes,
        directoryChange(directory, isDir ? 1 : 0, time),
      ],
      failure: (failed) => failed.includes(0) ? new FsError("EEXIST") : undefined,
      done: () => row,
    };
  });
}

/** Creates a regular file without a name (O_TMPFILE), which this session keeps until `releaseSustained` or `link`. */
export async function createUnnamed(ctx: MetaContext, parent: number, file: NewFile): Promise<InodeRow> {
  const ino = await ctx.inodeIds.next();
  return transact(ctx, async (view) => {
    const directory = await view.inode(parent);
    requireDirectory(directory);
    requireMayAdd(directory);
    const { row, checks, writes } = await newInodeWrites(ctx, ino, directory, file, 0, ctx.env.now());
    return {
      checks: [directoryCheck(directory), ...checks],
      writes: [...writes, put("sustained", [ctx.session, ino], {})],
      done: () => row,
    };
  });
}

/** The record of a new file in `directory`, and the writes that make it. */
async function newInodeWrites(
  ctx: MetaContext,
  ino: number,
  directory: InodeRow,
  file: NewFile,
  nlink: number,
  time: Timespec,
): Promise<{ row: InodeRow; checks: readonly Check[]; writes: Write[] }> {
  const isDir = isDirectory(file.mode);
  const inherited = inherit(ctx, ino, directory, file.mode, file.umask ?? 0);
  const { mode, xattrBytes, xattrKinds, checks, writes: xattrWrites } = inherited instanceof Promise
    ? await inherited
    : inherited;
  // A set-group-ID directory hands its group on, and directories hand on the bit too: inode(7).
  const inherits = (directory.mode & S_ISGID) !== 0;
  const row = newInode(ino, {
    mode: isDir && inherits ? mode | S_ISGID : mode,
    uid: file.uid,
    gid: inherits ? directory.gid : file.gid,
    rdev: file.rdev,
    nlink,
    length: isDir ? DIRECTORY_LENGTH : file.target?.length ?? 0,
    parent: isDir ? directory.ino : 0,
    flags: isDir || isRegular(mode) ? inheritedFlags(directory) : 0,
    xattrBytes,
    xattrKinds,
  }, time);
  const { ino: _, ...columns } = row;
  const writes = [
    put("inodes", [ino], columns),
    usageChange(ctx, accountedBytes(row.mode, row.length), 1),
    ...xattrWrites,
  ];
  if (isSymlink(file.mode)) writes.push(put("symlinks", [ino], { target: file.target as Uint8Array }));
  return { row, checks, writes };
}

/** The target of a symbolic link. */
export async function readlink(ctx: MetaContext, ino: number): Promise<Uint8Array> {
  const [found] = await withRetry(ctx, () => ctx.store.get([read("symlinks", [ino])]));
  if (found === null) throw new FsError("EINVAL", "not a symbolic link");
  return found.row.target;
}

/**
 * Another name for a file. EPERM for directories, EMLINK, EEXIST, ENOENT when the file has no name left; `isKept`: it may
 * have none, because this session keeps it (linkat of an O_TMPFILE file; the kernel knows which files may be linked).
 */
export function link(
  ctx: MetaContext,
  ino: number,
  parent: number,
  name: Uint8Array,
  isKept = false,
): Promise<InodeRow> {
  checkName(name);
  return transact(ctx, async (view) => {
    const directory = await view.inode(parent);
    requireDirectory(directory);
    requireMayAdd(directory);
    const file = await view.inode(ino);
    requireNotFixed(file);
    if (isDirectory(file.mode)) throw new FsError("EPERM", "hard link to a directory");
    if (file.nlink === 0 && !isKept) throw new FsError("ENOENT");
    if (file.nlink >= LINKS_MAX) throw new FsError("EMLINK");
    const time = ctx.env.now();
    return {
      checks: [
        checkAbsent("edges", [parent, name]),
        directoryCheck(directory),
        checkColumns("inodes", [ino], { nlink: file.nlink, flags: file.flags }),
      ],
      writes: [
        put("edges", [parent, name], { ino, mode: file.mode & S_IFMT }),
        update("inodes", [ino], { add: { nlink: 1 }, raise: raiseCtime(time) }),
        directoryChange(directory, 0, time),
        ...(file.nlink === 0 ? [remove("sustained", [ctx.session, ino])] : []),
      ],
      failure: (failed) => failed.includes(0) ? new FsError("EEXIST") : undefined,
      done: () => ctx.cache.inode(ino)?.row ?? { ...file, nlink: file.nlink + 1 },
    };
  });
}

/** What became of a file that lost a name. */
export interface Unlinked {
  /** The file as it was before. */
  readonly before: InodeRow;
  /** No name is left. */
  readonly last: boolean;
  /** No name is left, but this session keeps it until `releaseSustained`. */
  readonly sustained: boolean;
  /** Its data or its extended attributes wait in `deletedFiles`. */
  readonly deleted: boolean;
}

/** Checks and writes that take one name from `file`; shared by unlink and rename over a file. */
export function dropName(
  ctx: MetaContext,
  file: InodeRow,
  isOpen: boolean,
  time: Timespec,
): { checks: Check[]; writes: Write[]; outcome: Unlinked } {
  requireNotFixed(file);
  if (file.nlink > 1) {
    return {
      checks: [checkColumns("inodes", [file.ino], { nlink: file.nlink, flags: file.flags })],
      writes: [update("inodes", [file.ino], { add: { nlink: -1 }, raise: raiseCtime(time) })],
      outcome: { before: file, last: false, sustained: false, deleted: false },
    };
  }
  if (isOpen) {
    return {
      checks: [checkColumns("inodes", [file.ino], { nlink: file.nlink, flags: file.flags })],
      writes: [
        update("inodes", [file.ino], { add: { nlink: -1 }, raise: raiseCtime(time) }),
        put("sustained", [ctx.session, file.ino], {}),
      ],
      outcome: { before: file, last: true, sustained: true, deleted: false },
    };
  }
  return {
    checks: [
      checkColumns("inodes", [file.ino], { nlink: file.nlink, flags: file.flags, ...dataColumns(file) }),
    ],
    writes: removeInode(ctx, file, time),
    outcome: {
      before: file,
      last: true,
      sustained: false,
      deleted: leavesRecords(file),
    },
  };
}

/** What the accounts and the deletion of data rely on. */
const dataColumns = (file: InodeRow) => ({
  length: file.length,
  sliceSeq: file.sliceSeq,
  xattrBytes: file.xattrBytes,
});

/** Removing the file leaves records that `deletedFiles` stands for. */
const leavesRecords = (file: InodeRow): boolean =>
  (isRegular(file.mode) && file.sliceSeq > 0) || file.xattrBytes > 0;

function deletedFileWrites(file: InodeRow, time: Timespec): Write[] {
  if (!leavesRecords(file)) return [];
  const { length, xattrBytes } = file;
  return [put("deletedFiles", [file.ino], { length, xattrBytes, deletedAt: time.sec })];
}

/** The writes that end a file without names: its record, its target, its share of the use; what is left of it is put
 *  on the list. */
function removeInode(ctx: MetaContext, file: InodeRow, time: Timespec): Write[] {
  const writes = [
    remove("inodes", [file.ino]),
    usageChange(ctx, -accountedBytes(file.mode, file.length), -1),
  ];
  if (isSymlink(file.mode)) writes.push(remove("symlinks", [file.ino]));
  writes.push(...deletedFileWrites(file, time));
  return writes;
}

/** Removes a name of a file that is not a directory. `isOpen` says whether this client has it open at that moment. */
export function unlink(
  ctx: MetaContext,
  parent: number,
  name: Uint8Array,
  isOpen: (ino: number) => boolean,
): Promise<Unlinked> {
  return transact(ctx, async (view) => {
    const [file, directory] = await Promise.all([view.edge(parent, name), view.inode(parent)]);
    requireMayTake(directory);
    if (isDirectory(file.mode)) throw new FsError("EISDIR");
    const time = ctx.env.now();
    const dropped = dropName(ctx, file, isOpen(file.ino), time);
    return {
      checks: [
        checkColumns("edges", [parent, name], { ino: file.ino }),
        directoryCheck(directory),
        ...dropped.checks,
      ],
      writes: [remove("edges", [parent, name]), directoryChange(directory, 0, time), ...dropped.writes],
      done: () => dropped.outcome,
    };
  });
}

/** Checks and writes that end an empty directory; shared by rmdir and rename over a directory. */
export function dropDirectory(
  ctx: MetaContext,
  directory: InodeRow,
  time: Timespec,
): { checks: Check[]; writes: Write[] } {
  requireNotFixed(directory);
  return {
    // The empty check comes first: its index is what the caller turns into ENOTEMPTY.
    checks: [
      checkEmpty("edges", [directory.ino]),
      directoryCheck(directory, { xattrBytes: directory.xattrBytes }),
    ],
    writes: [
      remove("inodes", [directory.ino]),
      usageChange(ctx, -accountedBytes(directory.mode, directory.length), -1),
      ...deletedFileWrites(directory, time),
    ],
  };
}

/** Removes an empty directory. ENOTDIR, ENOTEMPTY. Returns the directory as it was. */
export function rmdir(ctx: MetaContext, parent: number, name: Uint8Array): Promise<InodeRow> {
  return transact(ctx, async (view) => {
    const [victim, directory] = await Promise.all([view.edge(parent, name), view.inode(parent)]);
    requireMayTake(directory);
    requireDirectory(victim);
    const time = ctx.env.now();
    const dropped = dropDirectory(ctx, victim, time);
    return {
      checks: [
        ...dropped.checks,
        checkColumns("edges", [parent, name], { ino: victim.ino }),
        directoryCheck(directory),
      ],
      writes: [
        remove("edges", [parent, name]),
        directoryChange(directory, -1, time),
        ...dropped.writes,
      ],
      failure: (failed) => failed.includes(0) ? new FsError("ENOTEMPTY") : undefined,
      done: () => victim,
    };
  });
}

/**
 * The last close of a file without names, or the end of the session that kept it: it goes, and its data is put on the
 * list. False if it has a name again.
 */
export function releaseSustained(ctx: MetaContext, ino: number, session = ctx.session): Promise<boolean> {
  return transact(ctx, async (view) => {
    const file = await view.inodeOrNull(ino);
    if (file === null || file.nlink > 0) {
      return { checks: [], writes: [remove("sustained", [session, ino])], done: () => false };
    }
    return {
      checks: [checkColumns("inodes", [ino], { nlink: 0, ...dataColumns(file) })],
      writes: [remove("sustained", [session, ino]), ...removeInode(ctx, file, ctx.env.now())],
      done: () => true,
    };
  });
}

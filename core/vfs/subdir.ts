/**
 * A directory of a volume as a file system of its own: its inode is the root's for whoever uses the result.
 *
 * Invariants:
 * - `ROOT_INO` outside is the directory inside, in every call and every answer; all other numbers are the same.
 * - Nothing above the directory is answered: its `..` is itself.
 * - The directory's reference that opening it took is kept, as the kernel never gives up a root.
 */
import { FsError, UserError } from "../errors.ts";
import { NAME_BYTES_MAX, ROOT_INO } from "../limits.ts";
import { isDirectory, isSymlink } from "../meta/attr.ts";
import type { AttrReply, Caller, Entry, MaybePromise, Vfs } from "./types.ts";

const root: Caller = { uid: 0, gid: 0, pid: 0 };
const DOT = 0x2e;

/** `vfs` from the directory `path` on. UserError if it is not there, or not a directory. */
export async function openSubdir(vfs: Vfs, path: string): Promise<Vfs> {
  let ino = ROOT_INO;
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    const parent = ino;
    try {
      ino = await directoryIn(vfs, parent, part, path);
    } finally {
      if (parent !== ROOT_INO) vfs.forget(parent, 1);
    }
  }
  return ino === ROOT_INO ? vfs : rootedAt(vfs, ino);
}

async function directoryIn(vfs: Vfs, parent: number, name: string, path: string): Promise<number> {
  const bytes = new TextEncoder().encode(name);
  if (name === "..") throw new UserError(`the subdirectory ${path} must not have .. in it`);
  if (bytes.length > NAME_BYTES_MAX) {
    throw new UserError(`the subdirectory ${path} has a name that is too long`);
  }
  let entry: Entry;
  try {
    entry = await vfs.lookup(root, parent, bytes);
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== "ENOENT") throw error;
    throw new UserError(
      `there is no subdirectory ${path} in the volume: make it first, on a mount of the whole volume`,
    );
  }
  const { attr } = entry;
  if (isDirectory(attr.mode)) return attr.ino;
  vfs.forget(attr.ino, 1);
  const what = isSymlink(attr.mode) ? "a symbolic link" : "no directory";
  throw new UserError(`the subdirectory ${path} cannot be mounted: ${name} is ${what}`);
}

function rootedAt(vfs: Vfs, top: number): Vfs {
  const inside = (ino: number): number => ino === ROOT_INO ? top : ino;
  const outside = (ino: number): number => ino === top ? ROOT_INO : ino;

  /** Answers about the directory itself are rare: everything else is passed on as it is. */
  function shown<R extends AttrReply>(reply: R): R {
    return reply.attr.ino === top ? { ...reply, attr: { ...reply.attr, ino: ROOT_INO } } : reply;
  }
  function answer<R extends AttrReply>(reply: MaybePromise<R>): MaybePromise<R> {
    return reply instanceof Promise ? reply.then(shown) : shown(reply);
  }

  return {
    async lookup(caller, parent, name) {
      const isDots = name.length === 2 && name[0] === DOT && name[1] === DOT;
      if (!isDots) return await answer(vfs.lookup(caller, inside(parent), name));
      if (parent === ROOT_INO) return shown(await vfs.lookup(caller, top, name.subarray(0, 1)));
      const entry = await vfs.lookup(caller, parent, name);
      if (entry.attr.ino !== ROOT_INO) return shown(entry);
      // Another client moved the directory out of this part of the volume.
      vfs.forget(ROOT_INO, 1);
      throw new FsError("ESTALE");
    },
    forget: (ino, count) => vfs.forget(inside(ino), count),
    getattr: (caller, ino, handle) => answer(vfs.getattr(caller, inside(ino), handle)),
    setattr: (caller, ino, change) => answer(vfs.setattr(caller, inside(ino), change)),
    readlink: (caller, ino) => vfs.readlink(caller, inside(ino)),
    mknod: (caller, parent, name, mode, rdev, umask) =>
      vfs.mknod(caller, inside(parent), name, mode, rdev, umask),
    mkdir: (caller, parent, name, mode, umask) => vfs.mkdir(caller, inside(parent), name, mode, umask),
    symlink: (caller, parent, name, target) => vfs.symlink(caller, inside(parent), name, target),
    link: (caller, ino, newParent, newName) => vfs.link(caller, inside(ino), inside(newParent), newName),
    unlink: (caller, parent, name) => vfs.unlink(caller, inside(parent), name),
    rmdir: (caller, parent, name) => vfs.rmdir(caller, inside(parent), name),
    rename: (caller, parent, name, newParent, newName, flags) =>
      vfs.rename(caller, inside(parent), name, inside(newParent), newName, flags),
    create: (caller, parent, name, mode, flags, umask) =>
      vfs.create(caller, inside(parent), name, mode, flags, umask),
    tmpfile: (caller, parent, mode, flags, umask) => vfs.tmpfile(caller, inside(parent), mode, flags, umask),
    open: (caller, ino, flags, killSuidGid) => vfs.open(caller, inside(ino), flags, killSuidGid),
    read: (caller, ino, handle, offset, into) => vfs.read(caller, inside(ino), handle, offset, into),
    write: (caller, ino, handle, offset, data, killSuidGid, isAppend) =>
      vfs.write(caller, inside(ino), handle, offset, data, killSuidGid, isAppend),
    flush: (caller, ino, handle, lockOwner) => vfs.flush(caller, inside(ino), handle, lockOwner),
    fsync: (caller, ino, handle, dataOnly) => vfs.fsync(caller, inside(ino), handle, dataOnly),
    release: (ino, handle) => vfs.release(inside(ino), handle),
    fallocate: (caller, ino, handle, mode, offset, length) =>
      vfs.fallocate(caller, inside(ino), handle, mode, offset, length),
    lseek: (caller, ino, handle, offset, whence) => vfs.lseek(caller, inside(ino), handle, offset, whence),
    // Files, which the directory is not.
    copyFileRange: (caller, from, to, length) => vfs.copyFileRange(caller, from, to, length),
    getlk: (caller, ino, handle, lock) => vfs.getlk(caller, inside(ino), handle, lock),
    setlk: (caller, ino, handle, lock, options) => vfs.setlk(caller, inside(ino), handle, lock, options),
    flock: (caller, ino, handle, kind, options) => vfs.flock(caller, inside(ino), handle, kind, options),
    opendir: (caller, ino) => vfs.opendir(caller, inside(ino)),
    readdir: (caller, ino, handle, offset, plus, sink) =>
      vfs.readdir(
        caller,
        inside(ino),
        handle,
        offset,
        plus,
        (name, entryIno, mode, cookie, attr, ...ttls) => {
          const isDots = name.length === 2 && name[0] === DOT && name[1] === DOT;
          const shownIno = isDots && ino === ROOT_INO ? ROOT_INO : outside(entryIno);
          return sink(name, shownIno, mode, cookie, attr, ...ttls);
        },
      ),
    releasedir: (ino, handle) => vfs.releasedir(inside(ino), handle),
    fsyncdir: (caller, ino, handle, dataOnly) => vfs.fsyncdir(caller, inside(ino), handle, dataOnly),
    statfs: (caller, ino) => vfs.statfs(caller, inside(ino)),
    getxattr: (caller, ino, name) => vfs.getxattr(caller, inside(ino), name),
    setxattr: (caller, ino, name, value, flags) => vfs.setxattr(caller, inside(ino), name, value, flags),
    listxattr: (caller, ino) => vfs.listxattr(caller, inside(ino)),
    removexattr: (caller, ino, name) => vfs.removexattr(caller, inside(ino), name),
    getFlags: (caller, ino) => vfs.getFlags(caller, inside(ino)),
    setFlags: (caller, ino, flags, mask) => vfs.setFlags(caller, inside(ino), flags, mask),
    access: (caller, ino, mask) => vfs.access(caller, inside(ino), mask),
  };
}

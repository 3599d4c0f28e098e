/**
 * A file system in a few maps, for tests of the kernel adapter: real enough for a shell, without any of the product's
 * engine. Answers at once; {@link slowed} makes every answer a promise.
 */
import type { Env } from "../../core/env.ts";
import { type Errno, FsError } from "../../core/errors.ts";
import type { InodeRow } from "../../core/meta/schema.ts";
import {
  type Caller,
  type Entry,
  FALLOC_KEEP_SIZE,
  O_EXCL,
  O_TRUNC,
  type Opened,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  S_ISUID,
  SEEK_DATA,
  type SetAttr,
  type Vfs,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../../core/vfs/types.ts";

const PAGE_BYTES = 1 << 20;

export interface TreeNode {
  row: InodeRow;
  /** By the name's bytes as Latin-1. */
  readonly children: Map<string, TreeNode>;
  readonly pages: Map<number, Uint8Array>;
  readonly xattrs: Map<string, Uint8Array>;
  target: Uint8Array;
  lookups: number;
  opens: number;
}

export interface TreeVfsOptions {
  readonly ttlMs?: number;
  readonly keepCache?: boolean;
}

export interface TreeVfs extends Vfs {
  readonly nodes: ReadonlyMap<number, TreeNode>;
  readonly root: TreeNode;
  /** Handles that are open. */
  readonly openHandles: number;
}

export function createTreeVfs(env: Env, options: TreeVfsOptions = {}): TreeVfs {
  const { ttlMs = 0, keepCache = false } = options;
  const nodes = new Map<number, TreeNode>();
  /** Open directories hold the names that they will list. */
  const handles = new Map<number, string[]>();
  let nextIno = 1;
  let nextHandle = 1;

  function newNode(mode: number, caller: { uid: number; gid: number }, parent: number): TreeNode {
    const now = env.now();
    const node: TreeNode = {
      row: {
        ino: nextIno++,
        mode,
        uid: caller.uid,
        gid: caller.gid,
        nlink: (mode & S_IFMT) === S_IFDIR ? 2 : 1,
        rdev: 0,
        length: (mode & S_IFMT) === S_IFDIR ? 4096 : 0,
        parent,
        flags: 0,
        sliceSeq: 0,
        xattrBytes: 0,
        xattrKinds: 0,
        atime: now.sec,
        atimeNsec: now.nsec,
        mtime: now.sec,
        mtimeNsec: now.nsec,
        ctime: now.sec,
        ctimeNsec: now.nsec,
      },
      children: new Map(),
      pages: new Map(),
      xattrs: new Map(),
      target: new Uint8Array(0),
      lookups: 0,
      opens: 0,
    };
    nodes.set(node.row.ino, node);
    return node;
  }

  const root = newNode(S_IFDIR | 0o755, { uid: 0, gid: 0 }, 0);

  function node(ino: number): TreeNode {
    return nodes.get(ino) ?? fail("ESTALE");
  }

  function directory(ino: number): TreeNode {
    const found = node(ino);
    return isDirectory(found) ? found : fail("ENOTDIR");
  }

  function child(parent: TreeNode, name: Uint8Array): TreeNode {
    return parent.children.get(keyOf(name)) ?? fail("ENOENT");
  }

  function touch(target: TreeNode, fields: readonly ("mtime" | "ctime" | "atime")[]): void {
    const now = env.now();
    for (const field of fields) {
      target.row[field] = now.sec;
      target.row[`${field}Nsec`] = now.nsec;
    }
  }

  function entry(found: TreeNode): Entry {
    found.lookups++;
    return { attr: found.row, entryTtlMs: ttlMs, attrTtlMs: ttlMs };
  }

  function addNew(caller: Caller, parentIno: number, name: Uint8Array, mode: number): TreeNode {
    const parent = directory(parentIno);
    if (name.length > 255) fail("ENAMETOOLONG");
    if (parent.children.has(keyOf(name))) fail("EEXIST");
    const made = newNode(mode, caller, parentIno);
    parent.children.set(keyOf(name), made);
    if (isDirectory(made)) parent.row.nlink++;
    touch(parent, ["mtime", "ctime"]);
    return made;
  }

  /** One name of `target` is gone. */
  function dropName(target: TreeNode): void {
    target.row.nlink = isDirectory(target) ? 0 : target.row.nlink - 1;
    touch(target, ["ctime"]);
    forgetIfUnused(target);
  }

  function forgetIfUnused(target: TreeNode): void {
    if (target.row.nlink === 0 && target.lookups <= 0 && target.opens === 0) nodes.delete(target.row.ino);
  }

  function openNode(target: TreeNode, names: string[] = []): Opened {
    target.opens++;
    const handle = nextHandle++;
    handles.set(handle, names);
    return { handle, keepCache, directIo: false };
  }

  function closeNode(ino: number, handle: number): void {
    if (!handles.delete(handle)) fail("EBADF");
    const target = nodes.get(ino);
    if (target === undefined) return;
    target.opens--;
    forgetIfUnused(target);
  }

  function setLength(target: TreeNode, length: number): void {
    if (length < target.row.length) {
      for (const [index, page] of target.pages) {
        if (index * PAGE_BYTES >= length) target.pages.delete(index);
        else if ((index + 1) * PAGE_BYTES > length) page.fill(0, length - index * PAGE_BYTES);
      }
    }
    target.row.length = length;
    touch(target, ["mtime", "ctime"]);
  }

  return {
    nodes,
    root,
    get openHandles() {
      return handles.size;
    },
    lookup: (_caller, parent, name) => entry(child(directory(parent), name)),
    forget(ino, count) {
      const target = nodes.get(ino);
      if (target === undefined) return;
      target.lookups -= count;
      forgetIfUnused(target);
    },
    getattr: (_caller, ino) => ({ attr: node(ino).row, attrTtlMs: ttlMs }),
    setattr(_caller, ino, change: SetAttr) {
      const target = node(ino);
      const { row } = target;
      if (change.length !== undefined) setLength(target, change.length);
      if (change.mode !== undefined) row.mode = (row.mode & S_IFMT) | change.mode;
      if (change.uid !== undefined) row.uid = change.uid;
      if (change.gid !== undefined) row.gid = change.gid;
      for (const field of ["atime", "mtime"] as const) {
        const time = change[field];
        if (time === undefined) continue;
        const { sec, nsec } = time === "now" ? env.now() : time;
        row[field] = sec;
        row[`${field}Nsec`] = nsec;
      }
      if (change.killSuidGid) killSuidGid(row);
      touch(target, ["ctime"]);
      return { attr: row, attrTtlMs: ttlMs };
    },
    readlink: (_caller, ino) => node(ino).target,
    mknod(caller, parent, name, mode, rdev, umask) {
      const made = addNew(caller, parent, name, mode & ~umask);
      made.row.rdev = rdev;
      return entry(made);
    },
    mkdir: (caller, parent, name, mode, umask) =>
      entry(addNew(caller, parent, name, S_IFDIR | (mode & 0o7777 & ~umask))),
    symlink(caller, parent, name, target) {
      const made = addNew(caller, parent, name, S_IFLNK | 0o777);
      made.target = target;
      made.row.length = target.length;
      return entry(made);
    },
    link(_caller, ino, newParent, newName) {
      const parent = directory(newParent);
      if (parent.children.has(keyOf(newName))) fail("EEXIST");
      const target = node(ino);
      parent.children.set(keyOf(newName), target);
      target.row.nlink++;
      touch(target, ["ctime"]);
      touch(parent, ["mtime", "ctime"]);
      return entry(target);
    },
    unlink(_caller, parentIno, name) {
      const parent = directory(parentIno);
      const target = child(parent, name);
      if (isDirectory(target)) fail("EISDIR");
      parent.children.delete(keyOf(name));
      touch(parent, ["mtime", "ctime"]);
      dropName(target);
    },
    rmdir(_caller, parentIno, name) {
      const parent = directory(parentIno);
      const target = child(parent, name);
      if (!isDirectory(target)) fail("ENOTDIR");
      if (target.children.size > 0) fail("ENOTEMPTY");
      parent.children.delete(keyOf(name));
      parent.row.nlink--;
      touch(parent, ["mtime", "ctime"]);
      dropName(target);
    },
    rename(_caller, parentIno, name, newParentIno, newName, flags) {
      const parent = directory(parentIno);
      const newParent = directory(newParentIno);
      const moved = child(parent, name);
      const replaced = newParent.children.get(keyOf(newName));
      if (flags & RENAME_EXCHANGE) {
        if (replaced === undefined) fail("ENOENT");
        parent.children.set(keyOf(name), replaced as TreeNode);
        newParent.children.set(keyOf(newName), moved);
        return;
      }
      if (replaced !== undefined) {
        if (flags & RENAME_NOREPLACE) fail("EEXIST");
        if (replaced === moved) return;
        if (replaced.children.size > 0) fail("ENOTEMPTY");
        if (isDirectory(replaced)) newParent.row.nlink--;
      }
      parent.children.delete(keyOf(name));
      newParent.children.set(keyOf(newName), moved);
      if (isDirectory(moved)) {
        parent.row.nlink--;
        newParent.row.nlink++;
        moved.row.parent = newParentIno;
      }
      touch(parent, ["mtime", "ctime"]);
      touch(newParent, ["mtime", "ctime"]);
      if (replaced !== undefined) dropName(replaced);
    },
    create(caller, parentIno, name, mode, flags, umask) {
      const existing = directory(parentIno).children.get(keyOf(name));
      if (existing !== undefined && (flags & O_EXCL)) fail("EEXIST");
      const made = existing ?? addNew(caller, parentIno, name, S_IFREG | (mode & 0o7777 & ~umask));
      return { ...entry(made), ...openNode(made) };
    },
    open(_caller, ino, flags, kill) {
      const target = node(ino);
      if (flags & O_TRUNC) setLength(target, 0);
      if (kill) killSuidGid(target.row);
      return openNode(target);
    },
    read(_caller, ino, _handle, offset, into) {
      const target = node(ino);
      const count = Math.max(0, Math.min(into.length, target.row.length - offset));
      for (let done = 0; done < count;) {
        const index = Math.floor((offset + done) / PAGE_BYTES);
        const start = offset + done - index * PAGE_BYTES;
        const length = Math.min(PAGE_BYTES - start, count - done);
        const page = target.pages.get(index);
        if (page === undefined) into.fill(0, done, done + length);
        else into.set(page.subarray(start, start + length), done);
        done += length;
      }
      return count;
    },
    write(_caller, ino, _handle, offset, data, kill) {
      const target = node(ino);
      for (let done = 0; done < data.length;) {
        const index = Math.floor((offset + done) / PAGE_BYTES);
        const start = offset + done - index * PAGE_BYTES;
        const length = Math.min(PAGE_BYTES - start, data.length - done);
        let page = target.pages.get(index);
        if (page === undefined) target.pages.set(index, page = new Uint8Array(PAGE_BYTES));
        page.set(data.subarray(done, done + length), start);
        done += length;
      }
      if (offset + data.length > target.row.length) target.row.length = offset + data.length;
      if (kill) killSuidGid(target.row);
      touch(target, ["mtime", "ctime"]);
      return data.length;
    },
    getxattr: (_caller, ino, name) => node(ino).xattrs.get(keyOf(name)) ?? fail("ENODATA"),
    setxattr(_caller, ino, name, value, { flags = 0 } = {}) {
      const { xattrs } = node(ino);
      if ((flags & XATTR_CREATE) && xattrs.has(keyOf(name))) fail("EEXIST");
      if ((flags & XATTR_REPLACE) && !xattrs.has(keyOf(name))) fail("ENODATA");
      xattrs.set(keyOf(name), value.slice());
    },
    listxattr: (_caller, ino) => [...node(ino).xattrs.keys()].map(bytesOf),
    removexattr(_caller, ino, name) {
      if (!node(ino).xattrs.delete(keyOf(name))) fail("ENODATA");
    },
    getFlags: (_caller, ino) => node(ino).row.flags,
    setFlags(_caller, ino, flags, mask = -1) {
      const { row } = node(ino);
      row.flags = (row.flags & ~mask) | (flags & mask);
    },
    flush() {},
    fsync() {},
    release: closeNode,
    fallocate(_caller, ino, _handle, mode, offset, length) {
      const target = node(ino);
      const end = offset + length;
      if (mode & ~FALLOC_KEEP_SIZE) fail("ENOTSUP");
      if (!(mode & FALLOC_KEEP_SIZE) && end > target.row.length) setLength(target, end);
    },
    lseek(_caller, ino, _handle, offset, whence) {
      const { length } = node(ino).row;
      if (offset >= length) fail("ENXIO");
      return whence === SEEK_DATA ? offset : length;
    },
    copyFileRange(caller, from, to, length) {
      const bytes = new Uint8Array(Math.min(length, PAGE_BYTES));
      const count = this.read(caller, from.ino, from.handle, from.offset, bytes) as number;
      return this.write(caller, to.ino, to.handle, to.offset, bytes.subarray(0, count), false);
    },
    opendir(_caller, ino) {
      const target = directory(ino);
      return openNode(target, [...target.children.keys()]);
    },
    readdir(_caller, ino, handle, offset, plus, sink) {
      const target = directory(ino);
      const names = handles.get(handle) ?? fail("EBADF");
      const dots: [string, number][] = [[".", ino], ["..", target.row.parent || 1]];
      for (let i = offset; i < names.length + 2; i++) {
        const dot = dots[i];
        if (dot !== undefined) {
          if (!sink(bytesOf(dot[0]), dot[1], S_IFDIR, i + 1, null)) return;
          continue;
        }
        const name = names[i - 2] as string;
        const found = target.children.get(name);
        if (found === undefined) continue;
        const { ino: childIno, mode } = found.row;
        if (!sink(bytesOf(name), childIno, mode, i + 1, plus ? found.row : null, ttlMs, ttlMs)) return;
        if (plus) found.lookups++;
      }
    },
    releasedir: closeNode,
    fsyncdir() {},

    tmpfile: () => fail("ENOSYS"),
    getlk: () => fail("ENOSYS"),
    setlk: () => fail("ENOSYS"),
    flock: () => fail("ENOSYS"),
    statfs: () => ({
      totalBytes: 2 ** 40,
      freeBytes: 2 ** 39,
      totalInodes: 1_000_000,
      freeInodes: 1_000_000 - nodes.size,
      blockBytes: 4096,
    }),
    access() {},
  };
}

/** Every answer of `vfs`, but that of forget, is a promise that takes what `before` takes. */
export function slowed(vfs: Vfs, before: (operation: keyof Vfs) => Promise<void>): Vfs {
  return new Proxy(vfs, {
    get(target, property, receiver) {
      const value = Reflect.get(target, property, receiver);
      if (typeof value !== "function" || property === "forget") return value;
      return async (...args: unknown[]) => {
        await before(property as keyof Vfs);
        return value.apply(target, args);
      };
    },
  });
}

function fail(code: Errno): never {
  throw new FsError(code);
}

function isDirectory(target: TreeNode): boolean {
  return (target.row.mode & S_IFMT) === S_IFDIR;
}

function killSuidGid(row: InodeRow): void {
  row.mode &= ~S_ISUID;
  if (row.mode & 0o010) row.mode &= ~S_ISGID;
}

function keyOf(name: Uint8Array): string {
  return String.fromCharCode(...name);
}

function bytesOf(key: string): Uint8Array {
  return Uint8Array.from(key, (character) => character.charCodeAt(0));
}

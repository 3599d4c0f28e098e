/**
 * The shapes of the POSIX operation surface. The kernel adapter (fuse/) decodes a request, calls one of these and encodes
 * the answer; mod.ts builds the library API on the same calls. Names are bytes, times seconds and nanoseconds.
 */
import type { InodeRow } from "../meta/schema.ts";
import type { Timespec } from "../env.ts";

export {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
  S_ISUID,
  S_ISVTX,
} from "../meta/attr.ts";

/** Attributes of a file: the inode record. `mode` has the type bits. */
export type Attr = Readonly<InodeRow>;

/** What can be known at once is answered without a promise: a microtask less on the hot path. */
export type MaybePromise<T> = T | Promise<T>;

/** Who asks. One object per request; `interrupt` is set by operations that can wait for long (locks). */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** The kernel said that the caller no longer waits: a blocking operation may end with EINTR. */
  interrupted?: boolean;
  /** Called when `interrupted` becomes true. */
  onInterrupt?: () => void;
  /** Nobody has checked what this caller may: the kernel knows it under another identity. */
  readonly unchecked?: boolean;
  /** Is this one of its supplementary groups? Left out: it has none. */
  inGroup?(gid: number): boolean;
}

/** The result of a call that gives the kernel a reference to an inode: each one adds 1 to its lookup count. */
export interface Entry {
  readonly attr: Attr;
  /** How long the kernel may keep the name and the attributes, ms. */
  readonly entryTtlMs: number;
  readonly attrTtlMs: number;
}

export interface AttrReply {
  readonly attr: Attr;
  readonly attrTtlMs: number;
}

/** An open file or directory. */
export interface Opened {
  /** File handle: a positive integer unique in this mount. */
  readonly handle: number;
  /** The kernel's cached pages of this file are still right. */
  readonly keepCache: boolean;
  /** Reads and writes must not go through the page cache. */
  readonly directIo: boolean;
}

/** What setattr changes; absent fields stay. `"now"` is UTIME_NOW: the server's clock. */
export interface SetAttr {
  /** Permission bits 07777. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly length?: number;
  readonly atime?: Timespec | "now";
  readonly mtime?: Timespec | "now";
  /** Kernel-kept ctime (writeback cache); otherwise the server takes its own clock. */
  readonly ctime?: Timespec;
  /** Open handle through which the change is made (ftruncate), 0 if none. */
  readonly handle?: number;
  /** Clear setuid/setgid as for a write by an unprivileged user (FATTR_KILL_SUIDGID). */
  readonly killSuidGid?: boolean;
}

export interface StatFs {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly totalInodes: number;
  readonly freeInodes: number;
  readonly blockBytes: number;
}

/**
 * Takes directory entries while they fit: returns false when this one did not fit, which ends the call; that entry was
 * not taken. `cookie` is what a later call passes as `offset` to go on after this entry. `attr` is null without `plus`,
 * and for `.` and `..`. The kernel may keep the name and the attributes for the times given; left out: not at all.
 */
export type DirSink = (
  name: Uint8Array,
  ino: number,
  mode: number,
  cookie: number,
  attr: Attr | null,
  entryTtlMs?: number,
  attrTtlMs?: number,
) => boolean;

/** open(2) flags that the server looks at (Linux, generic architecture). */
export const O_ACCMODE = 0o3;
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_DIRECT = 0o40000;

/** fallocate(2) modes and lseek(2) whences that the server knows. */
export const FALLOC_KEEP_SIZE = 0x01;
export const FALLOC_PUNCH_HOLE = 0x02;
export const FALLOC_ZERO_RANGE = 0x10;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

export type LockKind = "read" | "write" | "unlock";

/** What the kernel keeps of a file and must not believe any more, because others may have changed it. */
export type Outdated = "nothing" | "attributes" | "contents";

/** A record lock: bytes `start` to `end` of a file, both included. `end` FILE_BYTES_MAX (core/limits.ts): to the end of file,
 *  however far the file grows; what is beyond can be neither locked nor written. */
export interface FileLock {
  readonly type: LockKind;
  readonly start: number;
  readonly end: number;
  /** The process; in an answer 0 for one of another client. */
  readonly pid: number;
  /** Names the owner in this mount: the kernel's u64, as text. */
  readonly owner: string;
}

/** setxattr(2) flags. */
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

export interface SetXattrFlags {
  /** XATTR_CREATE, XATTR_REPLACE. */
  readonly flags?: number;
  /** An access ACL takes the set-group-ID bit away: the caller is neither in the file's group nor privileged. */
  readonly killSgid?: boolean;
}

/** rename(2) flags. */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

/**
 * The operation surface. Every call throws (or rejects with) FsError. Lookup counts: lookup, mknod, mkdir, symlink,
 * link, create, and every entry with attributes that a readdir sink took (other than `.` and `..`) add one reference,
 * which the kernel gives back with forget; a file without names lives on while it is referenced by an open handle.
 */
export interface Vfs {
  lookup(caller: Caller, parent: number, name: Uint8Array): MaybePromise<Entry>;
  /** Gives back `count` references. Never fails. */
  forget(ino: number, count: number): void;
  getattr(caller: Caller, ino: number, handle: number): MaybePromise<AttrReply>;
  setattr(caller: Caller, ino: number, change: SetAttr): MaybePromise<AttrReply>;
  readlink(caller: Caller, ino: number): MaybePromise<Uint8Array>;
  /** `mode` has type bits and permissions; the permissions in `umask` are left out, here and in the other calls that make
   *  files, unless the directory has a default ACL, which then decides: umask(2). */
  mknod(
    caller: Caller,
    parent: number,
    name: Uint8Array,
    mode: number,
    rdev: number,
    umask: number,
  ): MaybePromise<Entry>;
  mkdir(caller: Caller, parent: number, name: Uint8Array, mode: number, umask: number): MaybePromise<Entry>;
  symlink(caller: Caller, parent: number, name: Uint8Array, target: Uint8Array): MaybePromise<Entry>;
  link(caller: Caller, ino: number, newParent: number, newName: Uint8Array): MaybePromise<Entry>;
  unlink(caller: Caller, parent: number, name: Uint8Array): MaybePromise<void>;
  rmdir(caller: Caller, parent: number, name: Uint8Array): MaybePromise<void>;
  rename(
    caller: Caller,
    parent: number,
    name: Uint8Array,
    newParent: number,
    newName: Uint8Array,
    flags: number,
  ): MaybePromise<void>;
  create(
    caller: Caller,
    parent: number,
    name: Uint8Array,
    mode: number,
    flags: number,
    umask: number,
  ): MaybePromise<Entry & Opened>;
  /** `killSuidGid`: with O_TRUNC, clear setuid/setgid as for a write by an unprivileged user. */
  /** O_TMPFILE: a regular file without a name in the file system of `parent`. */
  tmpfile(
    caller: Caller,
    parent: number,
    mode: number,
    flags: number,
    umask: number,
  ): MaybePromise<Entry & Opened>;
  open(caller: Caller, ino: number, flags: number, killSuidGid?: boolean): MaybePromise<Opened>;
  /** Fills `into` from `offset`; the number of bytes read, less than asked only at end of file. */
  read(caller: Caller, ino: number, handle: number, offset: number, into: Uint8Array): MaybePromise<number>;
  /** `data` is valid until the result settles. `killSuidGid`: as in SetAttr. `isAppend`: at the end of file if that is past
   *  `offset`, which the kernel chose by the end that it knows. The number of bytes written. */
  write(
    caller: Caller,
    ino: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    killSuidGid: boolean,
    isAppend?: boolean,
  ): MaybePromise<number>;
  /** A close(2) of one descriptor: what was written is stored and visible to others when it returns. `lockOwner`: this
   *  owner's record locks on the file are given back, as every close does (POSIX). */
  flush(caller: Caller, ino: number, handle: number, lockOwner?: string): MaybePromise<void>;
  fsync(caller: Caller, ino: number, handle: number, dataOnly: boolean): MaybePromise<void>;
  /** The last descriptor of the handle is gone, and with it its flock. Never fails. */
  release(ino: number, handle: number): MaybePromise<void>;
  fallocate(
    caller: Caller,
    ino: number,
    handle: number,
    mode: number,
    offset: number,
    length: number,
  ): MaybePromise<void>;
  /** SEEK_DATA and SEEK_HOLE only; ENXIO past the end. */
  lseek(caller: Caller, ino: number, handle: number, offset: number, whence: number): MaybePromise<number>;
  /** The number of bytes copied, which may be less than asked; 0 at the source's end. */
  copyFileRange(
    caller: Caller,
    from: { readonly ino: number; readonly handle: number; readonly offset: number },
    to: { readonly ino: number; readonly handle: number; readonly offset: number },
    length: number,
  ): MaybePromise<number>;
  /** The first lock that keeps `lock` from being set (F_GETLK), of type `unlock` if there is none. */
  getlk(caller: Caller, ino: number, handle: number, lock: FileLock): MaybePromise<FileLock>;
  /** Sets a record lock, for all clients. EAGAIN (in the way and not to wait), EINTR, EDEADLK, ENOLCK, EBADF (not open for
   *  that), EOVERFLOW (beyond what a file can have). Who gets a lock must see what was written under the one before. */
  setlk(
    caller: Caller,
    ino: number,
    handle: number,
    lock: FileLock,
    options: { readonly wait: boolean },
  ): MaybePromise<Outdated>;
  /** flock(2) of the open handle, for all clients: EAGAIN, EINTR. A lock that cannot be converted is lost. */
  flock(
    caller: Caller,
    ino: number,
    handle: number,
    kind: LockKind,
    options: { readonly wait: boolean },
  ): MaybePromise<Outdated>;
  opendir(caller: Caller, ino: number): MaybePromise<Opened>;
  /** Feeds entries after cookie `offset` (0: from the start) to `sink`. `plus`: with attributes and references. */
  readdir(
    caller: Caller,
    ino: number,
    handle: number,
    offset: number,
    plus: boolean,
    sink: DirSink,
  ): MaybePromise<void>;
  releasedir(ino: number, handle: number): MaybePromise<void>;
  fsyncdir(caller: Caller, ino: number, handle: number, dataOnly: boolean): MaybePromise<void>;
  statfs(caller: Caller, ino: number): MaybePromise<StatFs>;
  /** The value of an extended attribute. ENODATA if there is none, ENOTSUP outside the namespaces. */
  getxattr(caller: Caller, ino: number, name: Uint8Array): MaybePromise<Uint8Array>;
  /** `value` is copied. EEXIST and ENODATA as `flags` ask, E2BIG, ENOSPC, EPERM for immutable and append-only files. */
  setxattr(
    caller: Caller,
    ino: number,
    name: Uint8Array,
    value: Uint8Array,
    flags?: SetXattrFlags,
  ): MaybePromise<void>;
  /** The names that the caller may see. */
  listxattr(caller: Caller, ino: number): MaybePromise<readonly Uint8Array[]>;
  removexattr(caller: Caller, ino: number, name: Uint8Array): MaybePromise<void>;
  /** Inode flags: bits of FS_IOC_GETFLAGS. ENOTTY for what is neither a file nor a directory. */
  getFlags(caller: Caller, ino: number): MaybePromise<number>;
  /** Sets the flags within `mask` (all, if not given). ENOTSUP for flags that are not kept here. */
  setFlags(caller: Caller, ino: number, flags: number, mask?: number): MaybePromise<void>;
  /** access(2) with `mask` of R_OK 4, W_OK 2, X_OK 1; EACCES or nothing. */
  access(caller: Caller, ino: number, mask: number): MaybePromise<void>;
}

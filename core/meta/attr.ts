/** Small rules about inode records that several operations share. */
import type { Timespec } from "../env.ts";
import type { InodeRow } from "./schema.ts";
import type { Raise } from "./store.ts";

/** stat(2) type bits. */
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;
const S_IXGRP = 0o010;

/** What a file of this length takes in the volume's accounts, and in st_blocks: whole 4 KiB units. */
const ACCOUNT_UNIT_BYTES = 4096;
/** The length that a directory shows; constant, as a directory's entries are records and not bytes. */
export const DIRECTORY_LENGTH = 4096;

export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR;
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG;
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK;

/** Bytes that count for a file: the same rule for `df` (the usage counters) and `du` (st_blocks), so that they agree. */
export function accountedBytes(mode: number, length: number): number {
  const kind = mode & S_IFMT;
  if (kind === S_IFREG) return Math.ceil(length / ACCOUNT_UNIT_BYTES) * ACCOUNT_UNIT_BYTES;
  return kind === S_IFDIR ? ACCOUNT_UNIT_BYTES : 0;
}

/**
 * The mode after set-user-ID and set-group-ID were cleared as Linux does on write, truncate and chown of a file that is
 * not a directory: setuid always, setgid where the group may execute or whoever does it is not in the file's group
 * (fs/attr.c setattr_should_drop_sgid). `isMember` is asked only where it matters.
 */
export function withoutSuidSgid(mode: number, isMember: () => boolean): number {
  if (isDirectory(mode)) return mode;
  const dropped = mode & ~S_ISUID;
  if ((dropped & S_ISGID) === 0) return dropped;
  return (dropped & S_IXGRP) !== 0 || !isMember() ? dropped & ~S_ISGID : dropped;
}

/** Whether who changes a file may keep its set-group-ID bit: members of this group, and root. */
export type IsMember = (gid: number) => boolean;

/** Raises ctime, and mtime too, to `time`. */
export function raiseCtime(time: Timespec): Raise[] {
  return [{ columns: ["ctime", "ctimeNsec"], to: [time.sec, time.nsec] }];
}
export function raiseTimes(time: Timespec): Raise[] {
  return [{ columns: ["mtime", "mtimeNsec"], to: [time.sec, time.nsec] }, ...raiseCtime(time)];
}

/** A new inode, all times `time`. */
export function newInode(
  ino: number,
  fields: {
    mode: number;
    uid: number;
    gid: number;
    rdev?: number;
    nlink: number;
    length: number;
    parent: number;
    flags?: number;
    xattrBytes?: number;
    xattrKinds?: number;
  },
  time: Timespec,
): InodeRow {
  return {
    ino,
    mode: fields.mode,
    uid: fields.uid,
    gid: fields.gid,
    nlink: fields.nlink,
    rdev: fields.rdev ?? 0,
    length: fields.length,
    parent: fields.parent,
    flags: fields.flags ?? 0,
    sliceSeq: 0,
    xattrBytes: fields.xattrBytes ?? 0,
    xattrKinds: fields.xattrKinds ?? 0,
    atime: time.sec,
    atimeNsec: time.nsec,
    mtime: time.sec,
    mtimeNsec: time.nsec,
    ctime: time.sec,
    ctimeNsec: time.nsec,
  };
}

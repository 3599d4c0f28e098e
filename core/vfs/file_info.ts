/** What the library tells about a file: the attributes of the operation surface in the manner of Deno.FileInfo. */
import type { Timespec } from "../env.ts";
import {
  type Attr,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "./types.ts";

/** Attributes of a file, as stat(2) has them. */
export interface FileInfo {
  readonly isFile: boolean;
  readonly isDirectory: boolean;
  readonly isSymlink: boolean;
  readonly isFifo: boolean;
  readonly isSocket: boolean;
  readonly isBlockDevice: boolean;
  readonly isCharDevice: boolean;
  /** Bytes. Of a symbolic link: the length of its target. */
  readonly size: number;
  readonly ino: number;
  /** Type bits and permissions. */
  readonly mode: number;
  /** Hard links; of a directory 2 and one for each directory in it. */
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Times to the millisecond. */
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  /** The same times to the nanosecond. */
  readonly atimeSpec: Timespec;
  readonly mtimeSpec: Timespec;
  readonly ctimeSpec: Timespec;
}

export function fileInfo(attr: Attr): FileInfo {
  const kind = attr.mode & S_IFMT;
  const atimeSpec = { sec: attr.atime, nsec: attr.atimeNsec };
  const mtimeSpec = { sec: attr.mtime, nsec: attr.mtimeNsec };
  const ctimeSpec = { sec: attr.ctime, nsec: attr.ctimeNsec };
  return {
    isFile: kind === S_IFREG,
    isDirectory: kind === S_IFDIR,
    isSymlink: kind === S_IFLNK,
    isFifo: kind === S_IFIFO,
    isSocket: kind === S_IFSOCK,
    isBlockDevice: kind === S_IFBLK,
    isCharDevice: kind === S_IFCHR,
    size: attr.length,
    ino: attr.ino,
    mode: attr.mode,
    nlink: attr.nlink,
    uid: attr.uid,
    gid: attr.gid,
    rdev: attr.rdev,
    atime: dateOf(atimeSpec),
    mtime: dateOf(mtimeSpec),
    ctime: dateOf(ctimeSpec),
    atimeSpec,
    mtimeSpec,
    ctimeSpec,
  };
}

function dateOf(time: Timespec): Date {
  return new Date(time.sec * 1000 + Math.floor(time.nsec / 1e6));
}

/** A time as callers give it: a Date, seconds since the epoch, seconds and nanoseconds, or the volume's clock. */
export type TimeInput = Date | number | Timespec | "now";

/** For setattr. Null when `time` is no time: an invalid Date, NaN, nanoseconds out of range. */
export function timespecOf(time: TimeInput): Timespec | "now" | null {
  if (time === "now") return time;
  if (time instanceof Date || typeof time === "number") {
    // A Date counts whole milliseconds: splitting those keeps 0.123 s from becoming 122,999,999 ns.
    const ms = time instanceof Date ? time.getTime() : time * 1000;
    if (!Number.isFinite(ms)) return null;
    const sec = Math.floor(ms / 1000);
    return { sec, nsec: Math.min(999_999_999, Math.round((ms - sec * 1000) * 1e6)) };
  }
  const valid = Number.isSafeInteger(time.sec) && Number.isInteger(time.nsec) && time.nsec >= 0 &&
    time.nsec < 1e9;
  return valid ? { sec: time.sec, nsec: time.nsec } : null;
}

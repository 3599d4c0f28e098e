/**
 * Linux numbers that the suite needs, from the kernel's uapi headers. The generic values hold on x86-64; where aarch64
 * differs the table says so.
 */
import { constants } from "node:os";

const arm = Deno.build.arch === "aarch64";

export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  SYNC: 0o4010000,
  DIRECT: arm ? 0o200000 : 0o40000,
  DIRECTORY: arm ? 0o40000 : 0o200000,
  NOFOLLOW: arm ? 0o100000 : 0o400000,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
  TMPFILE: 0o20000000 | (arm ? 0o40000 : 0o200000),
} as const;

export const AT = {
  FDCWD: -100,
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  EACCESS: 0x200,
  SYMLINK_FOLLOW: 0x400,
  EMPTY_PATH: 0x1000,
} as const;

export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;

export const S = {
  IFMT: 0o170000,
  IFSOCK: 0o140000,
  IFLNK: 0o120000,
  IFREG: 0o100000,
  IFBLK: 0o060000,
  IFDIR: 0o040000,
  IFCHR: 0o020000,
  IFIFO: 0o010000,
} as const;

export const SEEK = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const;

export const FALLOC = {
  KEEP_SIZE: 1,
  PUNCH_HOLE: 2,
  COLLAPSE_RANGE: 8,
  ZERO_RANGE: 16,
  INSERT_RANGE: 32,
} as const;

export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const;
export const F = {
  GETFL: 3,
  SETFL: 4,
  GETLK: 5,
  SETLK: 6,
  SETLKW: 7,
  OFD_GETLK: 36,
  OFD_SETLK: 37,
  RDLCK: 0,
  WRLCK: 1,
  UNLCK: 2,
} as const;

export const FS_IOC = {
  GETFLAGS: 0x80086601,
  SETFLAGS: 0x40086602,
  FSGETXATTR: 0x801c581f,
  IMMUTABLE: 0x10,
  APPEND: 0x20,
} as const;

export const XATTR = { CREATE: 1, REPLACE: 2 } as const;
export const UTIME = { NOW: 0x3fffffff, OMIT: 0x3ffffffe } as const;
export const ACCESS = { F: 0, X: 1, W: 2, R: 4 } as const;
export const DT = { FIFO: 1, CHR: 2, DIR: 4, BLK: 6, REG: 8, LNK: 10, SOCK: 12 } as const;

/** Numbers of the calls that change one thread's identity where glibc's wrappers change every thread's. */
export const NR = arm
  ? { setresuid: 147, setresgid: 149, setgroups: 159 }
  : { setresuid: 117, setresgid: 119, setgroups: 116 };

export const NAME_MAX = 255;
/** With the terminating NUL: the longest path has 4095 bytes. */
export const PATH_MAX = 4096;
/** Symbolic links that one walk follows; one more is ELOOP. */
export const SYMLINKS_MAX = 40;

export type Errno = keyof typeof constants.errno | "ENODATA" | "OK";

const names = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));
// Numbers with two names, and those that Node does not list.
names.set(11, "EAGAIN").set(95, "EOPNOTSUPP").set(26, "ETXTBSY").set(61, "ENODATA");

/** What a wrapper's result says: "OK" for zero and more. */
export function errnoName(result: number): string {
  return result >= 0 ? "OK" : names.get(-result) ?? `errno ${-result}`;
}

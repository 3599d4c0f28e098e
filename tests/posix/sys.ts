/**
 * System calls on paths, through libc. Every wrapper answers the call's result, or minus the errno: a test names what it
 * expects instead of catching. Paths are strings (UTF-8), bytes, or null for a bad address.
 *
 * The calls block, so a mount under test is served by another process. They run on the calling thread with its identity
 * (identity.ts).
 */
import { AT, O } from "./abi.ts";

export type Path = string | Uint8Array | null;

const path = "buffer";
const { symbols: c } = Deno.dlopen(Deno.build.os === "linux" ? "libc.so.6" : "libc", {
  __errno_location: { parameters: [], result: "pointer" },
  openat: { parameters: ["i32", path, "i32", "u32"], result: "i32" },
  mkdirat: { parameters: ["i32", path, "u32"], result: "i32" },
  mknodat: { parameters: ["i32", path, "u32", "u64"], result: "i32" },
  mkfifoat: { parameters: ["i32", path, "u32"], result: "i32" },
  unlinkat: { parameters: ["i32", path, "i32"], result: "i32" },
  unlink: { parameters: [path], result: "i32" },
  rmdir: { parameters: [path], result: "i32" },
  renameat2: { parameters: ["i32", path, "i32", path, "u32"], result: "i32" },
  linkat: { parameters: ["i32", path, "i32", path, "i32"], result: "i32" },
  symlinkat: { parameters: [path, "i32", path], result: "i32" },
  readlinkat: { parameters: ["i32", path, "buffer", "usize"], result: "isize" },
  chmod: { parameters: [path, "u32"], result: "i32" },
  chown: { parameters: [path, "i64", "i64"], result: "i32" },
  lchown: { parameters: [path, "i64", "i64"], result: "i32" },
  truncate: { parameters: [path, "i64"], result: "i32" },
  utimensat: { parameters: ["i32", path, "buffer", "i32"], result: "i32" },
  statx: { parameters: ["i32", path, "i32", "u32", "buffer"], result: "i32" },
  faccessat: { parameters: ["i32", path, "i32", "i32"], result: "i32" },
  statfs: { parameters: [path, "buffer"], result: "i32" },
  umask: { parameters: ["u32"], result: "u32" },
  mount: { parameters: [path, path, path, "u64", path], result: "i32" },
  umount2: { parameters: [path, "i32"], result: "i32" },
  setxattr: { parameters: [path, path, "buffer", "usize", "i32"], result: "i32" },
  lsetxattr: { parameters: [path, path, "buffer", "usize", "i32"], result: "i32" },
  lgetxattr: { parameters: [path, path, "buffer", "usize"], result: "isize" },
  llistxattr: { parameters: [path, "buffer", "usize"], result: "isize" },
  lremovexattr: { parameters: [path, path], result: "i32" },
});

/** The result, or minus errno: to be taken at once after the call. */
export function resultOf(result: number | bigint): number {
  if (result >= 0) return Number(result);
  const at = c.__errno_location();
  return at === null ? -1 : -new Deno.UnsafePointerView(at).getInt32();
}

const encoder = new TextEncoder();

export function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? encoder.encode(text) : text;
}

function cString(text: Path): Uint8Array<ArrayBuffer> | null {
  if (text === null) return null;
  const bytes = bytesOf(text);
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** `directory/name` in bytes. */
export function join(directory: string | Uint8Array, name: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const a = bytesOf(directory);
  const b = bytesOf(name);
  const joined = new Uint8Array(a.length + 1 + b.length);
  joined.set(a);
  joined[a.length] = 0x2f;
  joined.set(b, a.length + 1);
  return joined;
}

export const open = (p: Path, flags: number, mode = 0, at: number = AT.FDCWD) =>
  resultOf(c.openat(at, cString(p), flags | O.CLOEXEC, mode));
export const mkdir = (p: Path, mode = 0o755, at: number = AT.FDCWD) =>
  resultOf(c.mkdirat(at, cString(p), mode));
export const mkfifo = (p: Path, mode = 0o644, at: number = AT.FDCWD) =>
  resultOf(c.mkfifoat(at, cString(p), mode));
/** `type` is one of S.IF*. */
export const mknod = (p: Path, type: number, mode = 0o644, device = 0, at: number = AT.FDCWD) =>
  resultOf(c.mknodat(at, cString(p), type | mode, BigInt(device)));
export const unlink = (p: Path) => resultOf(c.unlink(cString(p)));
export const unlinkAt = (at: number, p: Path, flags = 0) => resultOf(c.unlinkat(at, cString(p), flags));
export const rmdir = (p: Path) => resultOf(c.rmdir(cString(p)));
export const rename = (from: Path, to: Path, flags = 0) =>
  resultOf(c.renameat2(AT.FDCWD, cString(from), AT.FDCWD, cString(to), flags));
export const renameAt = (fromAt: number, from: Path, toAt: number, to: Path, flags = 0) =>
  resultOf(c.renameat2(fromAt, cString(from), toAt, cString(to), flags));
/** link(2) of Linux does not follow a symbolic link; AT.SYMLINK_FOLLOW does. */
export const link = (from: Path, to: Path, flags = 0, fromAt: number = AT.FDCWD) =>
  resultOf(c.linkat(fromAt, cString(from), AT.FDCWD, cString(to), flags));
export const symlink = (target: Path, p: Path) =>
  resultOf(c.symlinkat(cString(target), AT.FDCWD, cString(p)));
export const chmod = (p: Path, mode: number) => resultOf(c.chmod(cString(p), mode));
/** -1 leaves an id as it is. */
export const chown = (p: Path, uid: number, gid: number) =>
  resultOf(c.chown(cString(p), BigInt(uid), BigInt(gid)));
export const lchown = (p: Path, uid: number, gid: number) =>
  resultOf(c.lchown(cString(p), BigInt(uid), BigInt(gid)));
export const truncate = (p: Path, length: number | bigint) =>
  resultOf(c.truncate(cString(p), BigInt(length)));
export const access = (p: Path, mode: number, flags = 0) =>
  resultOf(c.faccessat(AT.FDCWD, cString(p), mode, flags));
export const umask = (mask: number) => c.umask(mask);
export const mount = (source: Path, target: Path, flags: number) =>
  resultOf(c.mount(cString(source), cString(target), null, BigInt(flags), null));
export const umount = (target: Path) => resultOf(c.umount2(cString(target), 2));

/** The link's text, or minus the errno. `room` bytes at most. */
export function readlink(p: Path, room = 8192): Uint8Array | number {
  const buffer = new Uint8Array(room);
  const length = resultOf(c.readlinkat(AT.FDCWD, cString(p), buffer, BigInt(room)));
  return length < 0 ? length : buffer.slice(0, length);
}

/** A moment: seconds, nanoseconds (or UTIME.NOW, UTIME.OMIT). */
export type Time = readonly [sec: number, nsec: number];

export function timesBuffer(atime: Time, mtime: Time): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new BigInt64Array([...atime, ...mtime].map((part) => BigInt(part))).buffer);
}
/** utimensat(2); no times means now. */
export const utimens = (p: Path, atime?: Time, mtime?: Time, flags = 0, at: number = AT.FDCWD) =>
  resultOf(
    c.utimensat(
      at,
      cString(p),
      atime === undefined || mtime === undefined ? null : timesBuffer(atime, mtime),
      flags,
    ),
  );

export interface Stat {
  readonly ino: number;
  /** Type and permission bits. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Allocated 512-byte units. */
  readonly blocks: number;
  readonly blksize: number;
  readonly major: number;
  readonly minor: number;
  readonly dev: string;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  /** STATX_ATTR_*. */
  readonly attributes: number;
}

const statBuffer = new Uint8Array(256);
const statView = new DataView(statBuffer.buffer);

/** statx(2): the attributes, or minus the errno. Layout: struct statx of linux/stat.h. */
export function statAt(at: number, p: Path, flags: number): Stat | number {
  const result = resultOf(c.statx(at, cString(p), flags, 0x7ff, statBuffer));
  if (result < 0) return result;
  const u32 = (offset: number) => statView.getUint32(offset, true);
  const u64 = (offset: number) => Number(statView.getBigUint64(offset, true));
  const time = (offset: number): Time => [Number(statView.getBigInt64(offset, true)), u32(offset + 8)];
  return {
    blksize: u32(0x04),
    attributes: u64(0x08),
    nlink: u32(0x10),
    uid: u32(0x14),
    gid: u32(0x18),
    mode: statView.getUint16(0x1c, true),
    ino: u64(0x20),
    size: u64(0x28),
    blocks: u64(0x30),
    atime: time(0x40),
    ctime: time(0x60),
    mtime: time(0x70),
    major: u32(0x80),
    minor: u32(0x84),
    dev: `${u32(0x88)}:${u32(0x8c)}`,
  };
}
export const lstat = (p: Path) => statAt(AT.FDCWD, p, AT.SYMLINK_NOFOLLOW);
export const stat = (p: Path) => statAt(AT.FDCWD, p, 0);
export const fstat = (fd: number) => statAt(fd, "", AT.EMPTY_PATH);
/** For tables of calls: only the errno matters. */
export const statResult = (p: Path) => numberOf(stat(p));
export const lstatResult = (p: Path) => numberOf(lstat(p));
export const readlinkResult = (p: Path) => numberOf(readlink(p));

function numberOf(result: unknown): number {
  return typeof result === "number" ? result : 0;
}

export interface StatFs {
  readonly type: number;
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly namelen: number;
}

/** Layout: struct statfs of 64-bit Linux. */
export function statfs(p: Path): StatFs | number {
  const buffer = new Uint8Array(120);
  const result = resultOf(c.statfs(cString(p), buffer));
  if (result < 0) return result;
  const words = new BigInt64Array(buffer.buffer);
  const word = (index: number) => Number(words[index]);
  return {
    type: word(0),
    bsize: word(1),
    blocks: word(2),
    bfree: word(3),
    bavail: word(4),
    files: word(5),
    ffree: word(6),
    namelen: word(8),
  };
}

/** lsetxattr(2): never through a symbolic link. */
export const setxattr = (p: Path, name: string, value: string | Uint8Array, flags = 0) => {
  const bytes = new Uint8Array(bytesOf(value));
  return resultOf(c.lsetxattr(cString(p), cString(name), bytes, BigInt(bytes.length), flags));
};
/** setxattr(2): through a symbolic link. */
export const setxattrFollow = (p: Path, name: string, value: string) => {
  const bytes = new Uint8Array(bytesOf(value));
  return resultOf(c.setxattr(cString(p), cString(name), bytes, BigInt(bytes.length), 0));
};
/** The value, or minus the errno. */
export function getxattr(p: Path, name: string, room = 65536): Uint8Array | number {
  const buffer = new Uint8Array(room);
  const length = resultOf(c.lgetxattr(cString(p), cString(name), buffer, BigInt(room)));
  return length < 0 ? length : buffer.slice(0, length);
}
/** The length of the value, asked with room for `room` bytes (0: only the length). */
export const xattrLength = (p: Path, name: string, room: number) =>
  resultOf(c.lgetxattr(cString(p), cString(name), new Uint8Array(room), BigInt(room)));
/** The names, sorted, or minus the errno. */
export function listxattr(p: Path, room = 65536): string[] | number {
  const buffer = new Uint8Array(room);
  const length = resultOf(c.llistxattr(cString(p), buffer, BigInt(room)));
  if (length < 0) return length;
  return new TextDecoder().decode(buffer.subarray(0, length)).split("\0").slice(0, -1).sort();
}
export const xattrListLength = (p: Path, room: number) =>
  resultOf(c.llistxattr(cString(p), new Uint8Array(room), BigInt(room)));
export const removexattr = (p: Path, name: string) => resultOf(c.lremovexattr(cString(p), cString(name)));

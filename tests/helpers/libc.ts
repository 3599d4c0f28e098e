/**
 * System calls as they are, for tests: paths are bytes, errors are errno names, offsets are explicit. Deno's own file
 * functions take strings for names and hide some errors; tests of a file system need neither.
 *
 * The calls block. A test may use them on a mount that another process serves, never on one that it serves itself.
 */
import { constants } from "node:os";

const symbols = {
  __errno_location: { parameters: [], result: "pointer" },
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  fsync: { parameters: ["i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  truncate: { parameters: ["buffer", "i64"], result: "i32" },
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  rmdir: { parameters: ["buffer"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  mkfifo: { parameters: ["buffer", "u32"], result: "i32" },
  renameat2: { parameters: ["i32", "buffer", "i32", "buffer", "u32"], result: "i32" },
  link: { parameters: ["buffer", "buffer"], result: "i32" },
  symlink: { parameters: ["buffer", "buffer"], result: "i32" },
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "isize" },
  chmod: { parameters: ["buffer", "u32"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  chown: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  lchown: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  utimensat: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "isize" },
} as const;

const { symbols: c } = Deno.dlopen("libc.so.6", symbols);

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  DIRECTORY: 0o200000,
} as const;

/** A call failed; `code` is the errno's name. */
export class ErrnoError extends Error {
  override name = "ErrnoError";
  constructor(readonly code: string, call: string, path: Uint8Array | null) {
    super(`${code}: ${call}${path === null ? "" : ` ${JSON.stringify(new TextDecoder().decode(path))}`}`);
  }
}

const errnoNames = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
// Two names of one number on Linux; POSIX calls of ours say ENOTSUP.
errnoNames.set(95, "ENOTSUP").set(11, "EAGAIN");

function check<R extends number | bigint>(result: R, call: string, path: Uint8Array | null = null): R {
  if (result >= 0) return result;
  const pointer = c.__errno_location();
  const errno = pointer === null ? 0 : new Deno.UnsafePointerView(pointer).getInt32();
  throw new ErrnoError(errnoNames.get(errno) ?? `errno ${errno}`, call, path);
}

const encoder = new TextEncoder();

/** A path's bytes. */
export function bytesOf(path: string | Uint8Array): Uint8Array {
  return typeof path === "string" ? encoder.encode(path) : path;
}

/** With the terminating NUL. */
function cString(path: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = bytesOf(path);
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** `directory/name`, in bytes. */
export function joinBytes(directory: string | Uint8Array, name: string | Uint8Array): Uint8Array {
  const a = bytesOf(directory);
  const b = bytesOf(name);
  const joined = new Uint8Array(a.length + 1 + b.length);
  joined.set(a);
  joined[a.length] = 0x2f;
  joined.set(b, a.length + 1);
  return joined;
}

export interface Stat {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Allocated 512-byte units. */
  readonly blocks: number;
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
}

function statOf(directoryFd: number, path: string | Uint8Array, flags: number): Stat {
  const buffer = new Uint8Array(256);
  check(c.statx(directoryFd, cString(path), flags, STATX_BASIC_STATS, buffer), "stat", bytesOf(path));
  // struct statx of linux/stat.h
  const view = new DataView(buffer.buffer);
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  const i64 = (at: number) => Number(view.getBigInt64(at, true));
  return {
    nlink: view.getUint32(0x10, true),
    uid: view.getUint32(0x14, true),
    gid: view.getUint32(0x18, true),
    mode: view.getUint16(0x1c, true),
    ino: u64(0x20),
    size: u64(0x28),
    blocks: u64(0x30),
    atimeSec: i64(0x40),
    atimeNsec: view.getUint32(0x48, true),
    ctimeSec: i64(0x60),
    ctimeNsec: view.getUint32(0x68, true),
    mtimeSec: i64(0x70),
    mtimeNsec: view.getUint32(0x78, true),
  };
}

export const stat = (path: string | Uint8Array): Stat => statOf(AT_FDCWD, path, 0);
export const lstat = (path: string | Uint8Array): Stat => statOf(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
export const fstat = (fd: number): Stat => statOf(fd, "", AT_EMPTY_PATH);

export function open(path: string | Uint8Array, flags: number, mode = 0o666): number {
  return check(c.open(cString(path), flags, mode), "open", bytesOf(path));
}
export function close(fd: number): void {
  check(c.close(fd), "close");
}
/** Bytes read, 0 at end of file. */
export function pread(fd: number, into: Uint8Array<ArrayBuffer>, offset: number): number {
  return Number(check(c.pread(fd, into, BigInt(into.length), BigInt(offset)), "pread"));
}
export function pwrite(fd: number, data: Uint8Array<ArrayBuffer>, offset: number): number {
  return Number(check(c.pwrite(fd, data, BigInt(data.length), BigInt(offset)), "pwrite"));
}
export function read(fd: number, into: Uint8Array<ArrayBuffer>): number {
  return Number(check(c.read(fd, into, BigInt(into.length)), "read"));
}
export function write(fd: number, data: Uint8Array<ArrayBuffer>): number {
  return Number(check(c.write(fd, data, BigInt(data.length)), "write"));
}
export function lseek(fd: number, offset: number, whence: number): number {
  return Number(check(c.lseek(fd, BigInt(offset), whence), "lseek"));
}
export function fsync(fd: number): void {
  check(c.fsync(fd), "fsync");
}
export function ftruncate(fd: number, length: number): void {
  check(c.ftruncate(fd, BigInt(length)), "ftruncate");
}
export function truncate(path: string | Uint8Array, length: number): void {
  check(c.truncate(cString(path), BigInt(length)), "truncate", bytesOf(path));
}
export function mkdir(path: string | Uint8Array, mode = 0o777): void {
  check(c.mkdir(cString(path), mode), "mkdir", bytesOf(path));
}
export function rmdir(path: string | Uint8Array): void {
  check(c.rmdir(cString(path)), "rmdir", bytesOf(path));
}
export function unlink(path: string | Uint8Array): void {
  check(c.unlink(cString(path)), "unlink", bytesOf(path));
}
export function mkfifo(path: string | Uint8Array, mode = 0o666): void {
  check(c.mkfifo(cString(path), mode), "mkfifo", bytesOf(path));
}
export function rename(from: string | Uint8Array, to: string | Uint8Array, flags = 0): void {
  check(c.renameat2(AT_FDCWD, cString(from), AT_FDCWD, cString(to), flags), "rename", bytesOf(from));
}
export function link(from: string | Uint8Array, to: string | Uint8Array): void {
  check(c.link(cString(from), cString(to)), "link", bytesOf(to));
}
export function symlink(target: string | Uint8Array, path: string | Uint8Array): void {
  check(c.symlink(cString(target), cString(path)), "symlink", bytesOf(path));
}
export function readlink(path: string | Uint8Array): Uint8Array {
  const buffer = new Uint8Array(4096);
  const length = check(c.readlink(cString(path), buffer, BigInt(buffer.length)), "readlink", bytesOf(path));
  return buffer.slice(0, Number(length));
}
export function chmod(path: string | Uint8Array, mode: number): void {
  check(c.chmod(cString(path), mode), "chmod", bytesOf(path));
}
export function fchmod(fd: number, mode: number): void {
  check(c.fchmod(fd, mode), "fchmod");
}
/** -1 leaves an id as it is. */
export function chown(path: string | Uint8Array, uid: number, gid: number): void {
  check(c.chown(cString(path), uid >>> 0, gid >>> 0), "chown", bytesOf(path));
}
export function lchown(path: string | Uint8Array, uid: number, gid: number): void {
  check(c.lchown(cString(path), uid >>> 0, gid >>> 0), "lchown", bytesOf(path));
}

export interface Times {
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
}

/** utimensat(2); `follow` false: of a symbolic link itself. */
export function utimes(path: string | Uint8Array, times: Times, follow = true): void {
  const pair = new BigInt64Array(
    [times.atimeSec, times.atimeNsec, times.mtimeSec, times.mtimeNsec].map(BigInt),
  );
  const flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
  check(c.utimensat(AT_FDCWD, cString(path), new Uint8Array(pair.buffer), flags), "utimensat", bytesOf(path));
}

export interface Dirent {
  readonly name: Uint8Array;
  readonly ino: number;
  /** DT_REG 8, DT_DIR 4, DT_LNK 10, ... of dirent.h. */
  readonly type: number;
}

/** All entries but `.` and `..`, in the order the directory gives them. */
export function readdir(path: string | Uint8Array): Dirent[] {
  const fd = open(path, O.RDONLY | O.DIRECTORY);
  try {
    const entries: Dirent[] = [];
    const buffer = new Uint8Array(64 << 10);
    const view = new DataView(buffer.buffer);
    for (;;) {
      const length = Number(
        check(c.getdents64(fd, buffer, BigInt(buffer.length)), "getdents64", bytesOf(path)),
      );
      if (length === 0) return entries;
      for (let at = 0; at < length;) {
        // struct linux_dirent64: u64 ino, i64 off, u16 reclen, u8 type, name
        const recordLength = view.getUint16(at + 16, true);
        const end = buffer.indexOf(0, at + 19);
        const name = buffer.slice(at + 19, end);
        const isDots = name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
        if (!isDots) {
          entries.push({ name, ino: Number(view.getBigUint64(at, true)), type: buffer[at + 18] ?? 0 });
        }
        at += recordLength;
      }
    }
  } finally {
    close(fd);
  }
}

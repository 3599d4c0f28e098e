/** System calls on open files, through libc. Like sys.ts: the result, or minus the errno. */
import { F } from "./abi.ts";
import { resultOf, type Time, timesBuffer } from "./sys.ts";

const { symbols: c } = Deno.dlopen("libc.so.6", {
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  preadTo: { name: "pread", parameters: ["i32", "pointer", "usize", "i64"], result: "isize" },
  pwriteFrom: { name: "pwrite", parameters: ["i32", "pointer", "usize", "i64"], result: "isize" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  fsync: { parameters: ["i32"], result: "i32" },
  fdatasync: { parameters: ["i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  fchown: { parameters: ["i32", "i64", "i64"], result: "i32" },
  futimens: { parameters: ["i32", "buffer"], result: "i32" },
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  copy_file_range: { parameters: ["i32", "buffer", "i32", "buffer", "usize", "u32"], result: "isize" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  fcntlNumber: { name: "fcntl", parameters: ["i32", "i32", "i64"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  msync: { parameters: ["pointer", "usize", "i32"], result: "i32" },
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  dup: { parameters: ["i32"], result: "i32" },
  pipe: { parameters: ["buffer"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
});

export const close = (fd: number) => resultOf(c.close(fd));
export const dup = (fd: number) => resultOf(c.dup(fd));

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");

function bytes(data: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return typeof data === "string" ? encoder.encode(data) : data;
}

/** At the file's own offset. */
export const write = (fd: number, data: string | Uint8Array<ArrayBuffer>) => {
  const body = bytes(data);
  return resultOf(c.write(fd, body, BigInt(body.length)));
};
export const pwrite = (fd: number, data: string | Uint8Array<ArrayBuffer>, offset: number | bigint) => {
  const body = bytes(data);
  return resultOf(c.pwrite(fd, body, BigInt(body.length), BigInt(offset)));
};
/** Text read (one byte a character), or minus the errno. */
export function pread(fd: number, length: number, offset: number | bigint): string | number {
  const buffer = new Uint8Array(length);
  const got = resultOf(c.pread(fd, buffer, BigInt(length), BigInt(offset)));
  return got < 0 ? got : decoder.decode(buffer.subarray(0, got));
}
export function read(fd: number, length: number): string | number {
  const buffer = new Uint8Array(length);
  const got = resultOf(c.read(fd, buffer, BigInt(length)));
  return got < 0 ? got : decoder.decode(buffer.subarray(0, got));
}
export const lseek = (fd: number, offset: number | bigint, whence: number) =>
  resultOf(c.lseek(fd, BigInt(offset), whence));
export const fsync = (fd: number) => resultOf(c.fsync(fd));
export const fdatasync = (fd: number) => resultOf(c.fdatasync(fd));
export const ftruncate = (fd: number, length: number | bigint) => resultOf(c.ftruncate(fd, BigInt(length)));
export const fchmod = (fd: number, mode: number) => resultOf(c.fchmod(fd, mode));
export const fchown = (fd: number, uid: number, gid: number) =>
  resultOf(c.fchown(fd, BigInt(uid), BigInt(gid)));
export const futimens = (fd: number, atime: Time, mtime: Time) =>
  resultOf(c.futimens(fd, timesBuffer(atime, mtime)));
export const fallocate = (fd: number, mode: number, offset: number, length: number) =>
  resultOf(c.fallocate(fd, mode, BigInt(offset), BigInt(length)));
/** With explicit offsets; `flags` must be 0 on Linux. */
export const copyFileRange = (
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
  flags = 0,
) =>
  resultOf(
    c.copy_file_range(
      from,
      new Uint8Array(new BigInt64Array([BigInt(fromOffset)]).buffer),
      to,
      new Uint8Array(new BigInt64Array([BigInt(toOffset)]).buffer),
      BigInt(length),
      flags,
    ),
  );
export const flock = (fd: number, operation: number) => resultOf(c.flock(fd, operation));
export const getFlags = (fd: number) => resultOf(c.fcntlNumber(fd, F.GETFL, 0n));
export const setFlags = (fd: number, flags: number) => resultOf(c.fcntlNumber(fd, F.SETFL, BigInt(flags)));

export interface RecordLock {
  readonly type: number;
  readonly whence?: number;
  readonly start: number;
  readonly length: number;
}

/** fcntl with a struct flock (64-bit layout). F_GETLK answers through `lockFound`. */
export function recordLock(fd: number, command: number, lock: RecordLock): number {
  return resultOf(c.fcntl(fd, command, flockStruct(lock)));
}
export interface FoundLock extends RecordLock {
  readonly pid: number;
}
export function lockFound(fd: number, lock: RecordLock, command: number = F.GETLK): FoundLock | number {
  const struct = flockStruct(lock);
  const result = resultOf(c.fcntl(fd, command, struct));
  if (result < 0) return result;
  const view = new DataView(struct.buffer);
  return {
    type: view.getInt16(0, true),
    start: Number(view.getBigInt64(8, true)),
    length: Number(view.getBigInt64(16, true)),
    pid: view.getInt32(24, true),
  };
}
function flockStruct(lock: RecordLock): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(32));
  view.setInt16(0, lock.type, true);
  view.setInt16(2, lock.whence ?? 0, true);
  view.setBigInt64(8, BigInt(lock.start), true);
  view.setBigInt64(16, BigInt(lock.length), true);
  return new Uint8Array(view.buffer);
}

/** ioctl with one 32-bit word: the result and the word after it. */
export function ioctlWord(fd: number, request: number, word = 0): { result: number; word: number } {
  const buffer = new Uint8Array(32);
  const view = new DataView(buffer.buffer);
  view.setUint32(0, word, true);
  const result = resultOf(c.ioctl(fd, BigInt(request), buffer));
  return { result, word: view.getUint32(0, true) };
}

/** A mapping of a file (or of nothing: fd -1), at most `length` bytes. */
export interface Mapping {
  readonly pointer: Deno.PointerObject;
  readonly bytes: Uint8Array;
  sync(): number;
  unmap(): void;
}
export const PROT = { READ: 1, WRITE: 2 } as const;
export const MAP = { SHARED: 1, PRIVATE: 2, ANONYMOUS: 0x20 } as const;
export function mmap(fd: number, length: number, prot: number, flags: number, offset = 0): Mapping | number {
  const pointer = c.mmap(0n, BigInt(length), prot, flags, fd, BigInt(offset));
  const address = BigInt(Deno.UnsafePointer.value(pointer));
  if (pointer === null || address === 0xffffffffffffffffn || address === -1n) return resultOf(-1);
  return {
    pointer,
    bytes: new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length)),
    sync: () => resultOf(c.msync(pointer, BigInt(length), 4)),
    unmap: () => void c.munmap(pointer, BigInt(length)),
  };
}
/** Reads into mapped memory: page-aligned, as O_DIRECT wants it. */
export const preadMapped = (fd: number, into: Mapping, length: number, offset: number) =>
  resultOf(c.preadTo(fd, into.pointer, BigInt(length), BigInt(offset)));
/** Writes from mapped memory, `at` bytes into it. A page that cannot be had is EFAULT. */
export const pwriteMapped = (fd: number, from: Mapping, at: number, length: number, offset: number) =>
  resultOf(
    c.pwriteFrom(
      fd,
      Deno.UnsafePointer.create(Deno.UnsafePointer.value(from.pointer) + BigInt(at)),
      BigInt(length),
      BigInt(offset),
    ),
  );

export interface Entry {
  readonly name: Uint8Array;
  readonly ino: number;
  readonly type: number;
  /** Where the next entry begins: for lseek. */
  readonly next: bigint;
}
/** One getdents64(2): entries (none: the end), or minus the errno. */
export function getdents(fd: number, room = 32768): Entry[] | number {
  const buffer = new Uint8Array(room);
  const length = resultOf(c.getdents64(fd, buffer, BigInt(room)));
  if (length < 0) return length;
  const view = new DataView(buffer.buffer);
  const entries: Entry[] = [];
  for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
    entries.push({
      ino: Number(view.getBigUint64(at, true)),
      next: view.getBigInt64(at + 8, true),
      type: buffer[at + 18] ?? 0,
      name: buffer.slice(at + 19, buffer.indexOf(0, at + 19)),
    });
  }
  return entries;
}

/** Both ends: reading, writing. */
export function pipe(): [number, number] {
  const ends = new Int32Array(2);
  if (resultOf(c.pipe(new Uint8Array(ends.buffer))) < 0) throw new Error("pipe failed");
  return [ends[0] ?? -1, ends[1] ?? -1];
}
/** Binds a new local stream socket to `path`: the socket's descriptor, or minus the errno. */
export function bindSocket(path: string): number {
  const fd = resultOf(c.socket(1, 1, 0));
  if (fd < 0) return fd;
  const address = new Uint8Array(110);
  address[0] = 1;
  const name = encoder.encode(path);
  address.set(name, 2);
  const result = resultOf(c.bind(fd, address, 2 + name.length + 1));
  if (result >= 0) return fd;
  close(fd);
  return result;
}

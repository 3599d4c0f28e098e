/**
 * Values of the protocol in and out of byte buffers, through DataViews that live as long as their buffer. u64 fields are
 * JavaScript numbers: exact up to 2^53-1, and above that larger than Number.MAX_SAFE_INTEGER, which callers check where
 * such a value can come from a user (offsets and lengths).
 */
import type { Attr, AttrReply, DirSink, Entry, Opened, SetAttr, StatFs } from "../core/vfs/types.ts";
import type { Timespec } from "../core/env.ts";
import { S_IFMT } from "../core/vfs/types.ts";
import { NAME_BYTES_MAX } from "../core/limits.ts";
import { accountedBytes } from "../core/meta/attr.ts";
import * as abi from "./abi.ts";

/** A buffer and its view: requests are read into one, replies are built in one. */
export interface IoBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

export function ioBuffer(bytes: Uint8Array<ArrayBuffer>): IoBuffer {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

const TWO_32 = 2 ** 32;

export function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * TWO_32;
}

export function getI64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getInt32(offset + 4, true) * TWO_32;
}

/** Also for negative numbers: two's complement. */
export function set64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / TWO_32) >>> 0, true);
}

/** Returns the number of bytes written. */
export function putAttr(view: DataView, at: number, attr: Attr, blksize: number): number {
  const f = abi.AttrField;
  set64(view, at + f.ino, attr.ino);
  set64(view, at + f.size, attr.length);
  // Units of 512 bytes, whatever the block size is (stat(2)).
  set64(view, at + f.blocks, accountedBytes(attr.mode, attr.length) / 512);
  set64(view, at + f.atime, attr.atime);
  set64(view, at + f.mtime, attr.mtime);
  set64(view, at + f.ctime, attr.ctime);
  view.setUint32(at + f.atimensec, attr.atimeNsec, true);
  view.setUint32(at + f.mtimensec, attr.mtimeNsec, true);
  view.setUint32(at + f.ctimensec, attr.ctimeNsec, true);
  view.setUint32(at + f.mode, attr.mode, true);
  view.setUint32(at + f.nlink, attr.nlink, true);
  view.setUint32(at + f.uid, attr.uid, true);
  view.setUint32(at + f.gid, attr.gid, true);
  view.setUint32(at + f.rdev, attr.rdev, true);
  view.setUint32(at + f.blksize, blksize, true);
  view.setUint32(at + f.flags, 0, true);
  return abi.ATTR_BYTES;
}

/** "For ever" is a year: the kernel adds this to its clock. */
const TTL_MS_MAX = 365 * 86_400_000;

function putTtl(view: DataView, secondsAt: number, nanosecondsAt: number, ttlMsWanted: number): void {
  const ttlMs = Math.max(0, Math.min(ttlMsWanted, TTL_MS_MAX));
  const seconds = Math.floor(ttlMs / 1000);
  set64(view, secondsAt, seconds);
  view.setUint32(nanosecondsAt, Math.floor((ttlMs - seconds * 1000) * 1e6), true);
}

export function putEntry(view: DataView, at: number, entry: Entry, blksize: number): number {
  const f = abi.EntryOut;
  set64(view, at + f.nodeid, entry.attr.ino);
  // Inode numbers are never used twice, so one generation is enough.
  set64(view, at + f.generation, 0);
  putTtl(view, at + f.entryValid, at + f.entryValidNsec, entry.entryTtlMs);
  putTtl(view, at + f.attrValid, at + f.attrValidNsec, entry.attrTtlMs);
  putAttr(view, at + f.attr, entry.attr, blksize);
  return abi.ENTRY_OUT_BYTES;
}

/** "There is no such name": the kernel may remember that for `ttlMs`. */
export function putNegativeEntry(view: DataView, at: number, ttlMs: number): number {
  zero(view, at, abi.ENTRY_OUT_BYTES);
  putTtl(view, at + abi.EntryOut.entryValid, at + abi.EntryOut.entryValidNsec, ttlMs);
  return abi.ENTRY_OUT_BYTES;
}

export function putAttrReply(view: DataView, at: number, reply: AttrReply, blksize: number): number {
  putTtl(view, at + abi.AttrOut.attrValid, at + abi.AttrOut.attrValidNsec, reply.attrTtlMs);
  view.setUint32(at + 12, 0, true);
  putAttr(view, at + abi.AttrOut.attr, reply.attr, blksize);
  return abi.ATTR_OUT_BYTES;
}

export function putOpened(view: DataView, at: number, opened: Opened): number {
  set64(view, at + abi.OpenOut.fh, opened.handle);
  const flags = (opened.directIo ? abi.FOPEN_DIRECT_IO : 0) | (opened.keepCache ? abi.FOPEN_KEEP_CACHE : 0);
  view.setUint32(at + abi.OpenOut.openFlags, flags, true);
  view.setUint32(at + 12, 0, true);
  return abi.OPEN_OUT_BYTES;
}

export function putStatFs(view: DataView, at: number, stat: StatFs): number {
  const f = abi.StatfsOut;
  zero(view, at, abi.STATFS_OUT_BYTES);
  set64(view, at + f.blocks, Math.floor(stat.totalBytes / stat.blockBytes));
  set64(view, at + f.bfree, Math.floor(stat.freeBytes / stat.blockBytes));
  set64(view, at + f.bavail, Math.floor(stat.freeBytes / stat.blockBytes));
  set64(view, at + f.files, stat.totalInodes);
  set64(view, at + f.ffree, stat.freeInodes);
  view.setUint32(at + f.bsize, stat.blockBytes, true);
  view.setUint32(at + f.namelen, NAME_BYTES_MAX, true);
  view.setUint32(at + f.frsize, stat.blockBytes, true);
  return abi.STATFS_OUT_BYTES;
}

/** `at` is where the fuse_setattr_in begins. Throws nothing: a length above 2^53-1 is the caller's to refuse. */
export function getSetAttr(view: DataView, at: number): SetAttr {
  const f = abi.SetattrIn;
  const valid = view.getUint32(at + f.valid, true);
  return {
    mode: valid & abi.FATTR_MODE ? view.getUint32(at + f.mode, true) & 0o7777 : undefined,
    uid: valid & abi.FATTR_UID ? view.getUint32(at + f.uid, true) : undefined,
    gid: valid & abi.FATTR_GID ? view.getUint32(at + f.gid, true) : undefined,
    length: valid & abi.FATTR_SIZE ? getU64(view, at + f.size) : undefined,
    atime: getTime(view, valid, abi.FATTR_ATIME, abi.FATTR_ATIME_NOW, at + f.atime, at + f.atimensec),
    mtime: getTime(view, valid, abi.FATTR_MTIME, abi.FATTR_MTIME_NOW, at + f.mtime, at + f.mtimensec),
    ctime: valid & abi.FATTR_CTIME ? timespec(view, at + f.ctime, at + f.ctimensec) : undefined,
    handle: valid & abi.FATTR_FH ? getU64(view, at + f.fh) : 0,
    killSuidGid: (valid & abi.FATTR_KILL_SUIDGID) !== 0,
  };
}

function getTime(
  view: DataView,
  valid: number,
  given: number,
  now: number,
  secondsAt: number,
  nanosecondsAt: number,
): Timespec | "now" | undefined {
  // The kernel sets both bits for UTIME_NOW.
  if (valid & now) return "now";
  return valid & given ? timespec(view, secondsAt, nanosecondsAt) : undefined;
}

function timespec(view: DataView, secondsAt: number, nanosecondsAt: number): Timespec {
  return { sec: getI64(view, secondsAt), nsec: view.getUint32(nanosecondsAt, true) };
}

/** A message that makes the kernel ask again for a file's attributes, and drop its pages if they are \`contents\`. */
export function invalInode(ino: number, contents: boolean): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(abi.OUT_HEADER_BYTES + abi.NOTIFY_INVAL_INODE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(abi.OutHeader.len, bytes.length, true);
  view.setInt32(abi.OutHeader.error, abi.FUSE_NOTIFY_INVAL_INODE, true);
  set64(view, abi.OUT_HEADER_BYTES + abi.NotifyInvalInode.ino, ino);
  // From the start, whatever the length: 0 is all of it.
  set64(view, abi.OUT_HEADER_BYTES + abi.NotifyInvalInode.offset, contents ? 0 : -1);
  return bytes;
}

/** Where directory entries of one READDIR or READDIRPLUS reply go. */
export interface DirentWriter {
  readonly sink: DirSink;
  /** Bytes of the body so far. */
  used(): number;
}

export interface DirentOptions {
  /** READDIRPLUS: a fuse_entry_out before each fuse_dirent. */
  readonly plus: boolean;
  readonly blksize: number;
}

/** Entries go to `buffer` from `start` while they fit before `end`. */
export function direntWriter(
  buffer: IoBuffer,
  start: number,
  end: number,
  options: DirentOptions,
): DirentWriter {
  const { bytes, view } = buffer;
  const { plus, blksize } = options;
  let at = start;
  const sink: DirSink = (name, ino, mode, cookie, attr, entryTtlMs = 0, attrTtlMs = 0) => {
    const length = align8((plus ? abi.ENTRY_OUT_BYTES : 0) + abi.DIRENT_BYTES + name.length);
    if (at + length > end) return false;
    let to = at;
    if (plus) {
      // Node id 0: the kernel gets no reference and asks for attributes when it needs them.
      if (attr === null) zero(view, to, abi.ENTRY_OUT_BYTES);
      else putEntry(view, to, { attr, entryTtlMs, attrTtlMs }, blksize);
      to += abi.ENTRY_OUT_BYTES;
    }
    set64(view, to + abi.Dirent.ino, ino);
    set64(view, to + abi.Dirent.off, cookie);
    view.setUint32(to + abi.Dirent.namelen, name.length, true);
    // Type bits of the mode are DT_* shifted by 12 (dirent.h, IFTODT).
    view.setUint32(to + abi.Dirent.type, (mode & S_IFMT) >> 12, true);
    bytes.set(name, to + abi.DIRENT_BYTES);
    bytes.fill(0, to + abi.DIRENT_BYTES + name.length, at + length);
    at += length;
    return true;
  };
  return { sink, used: () => at - start };
}

/** Calls `visit` with each node id that a READDIRPLUS body gives the kernel a reference to. */
export function forEachReference(
  view: DataView,
  start: number,
  end: number,
  visit: (ino: number) => void,
): void {
  for (let at = start; at < end;) {
    const ino = getU64(view, at + abi.EntryOut.nodeid);
    if (ino !== 0) visit(ino);
    const nameBytes = view.getUint32(at + abi.ENTRY_OUT_BYTES + abi.Dirent.namelen, true);
    at += align8(abi.ENTRY_OUT_BYTES + abi.DIRENT_BYTES + nameBytes);
  }
}

function align8(bytes: number): number {
  return (bytes + 7) & ~7;
}

function zero(view: DataView, at: number, length: number): void {
  for (let i = 0; i < length; i += 8) {
    view.setUint32(at + i, 0, true);
    view.setUint32(at + i + 4, 0, true);
  }
}

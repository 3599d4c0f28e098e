/** The INIT handshake: what this server wants, cut to what the kernel offers. */
import { FsError } from "../core/errors.ts";
import * as abi from "./abi.ts";
import { InitFlag, InitFlag2 } from "./abi.ts";

/** READDIRPLUS for every directory listing, never, or when the kernel thinks that attributes will be asked for. */
export type ReaddirplusMode = "always" | "auto" | "never";

export interface InitOptions {
  /** Largest WRITE and READ, bytes; a multiple of the page size. */
  readonly maxWriteBytes: number;
  readonly maxReadAheadBytes: number;
  readonly readdirplus: ReaddirplusMode;
  /** Requests of the kernel's own (read-ahead, release) that may wait at the same time. */
  readonly maxBackground: number;
  /** The kernel enforces POSIX ACLs. It then checks permissions by mode and owner, too, whatever the mount says. */
  readonly posixAcl: boolean;
}

/** What both sides agreed on. */
export interface Negotiated {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxWriteBytes: number;
}

/** What is in fuse_init_in. */
export interface InitOffer {
  readonly major: number;
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
}

/**
 * The flags to take, with what each one is for:
 * - MAX_PAGES, BIG_WRITES: WRITE and READ of 1 MiB instead of 128 KiB.
 * - HANDLE_KILLPRIV_V2: the server clears setuid and setgid when a request says so; else every write asks for xattrs first.
 * - AUTO_INVAL_DATA: cached pages go when mtime or size changed, so another client's write is seen.
 * - ATOMIC_O_TRUNC: open truncates itself instead of a SETATTR before it.
 * - POSIX_LOCKS, FLOCK_LOCKS: locks are asked for here, so that they hold on all clients, and not kept in this kernel.
 * - PARALLEL_DIROPS, ASYNC_READ, ASYNC_DIO: several requests at once in one directory or file.
 * - CACHE_SYMLINKS: targets never change. ABORT_ERROR: an aborted connection can be told from an unmounted one.
 * - HAS_EXPIRE_ONLY: names can be made to expire without being unhashed. DIRECT_IO_ALLOW_MMAP: mmap of O_DIRECT files.
 * - POSIX_ACL (if the volume has ACLs): the kernel reads them and decides by them. DONT_MASK: modes come with the umask
 *   beside them, because a default ACL takes its place. SETXATTR_EXT: says when an ACL takes the set-group-ID bit away.
 * - HAS_IOCTL_DIR: inode flags of directories.
 * Not taken: WRITEBACK_CACHE (the kernel would ignore changes of size that other clients made).
 */
const WANTED = InitFlag.ASYNC_READ | InitFlag.POSIX_LOCKS | InitFlag.FLOCK_LOCKS | InitFlag.ATOMIC_O_TRUNC |
  InitFlag.BIG_WRITES |
  InitFlag.AUTO_INVAL_DATA | InitFlag.ASYNC_DIO | InitFlag.PARALLEL_DIROPS | InitFlag.ABORT_ERROR |
  InitFlag.MAX_PAGES | InitFlag.CACHE_SYMLINKS | InitFlag.HANDLE_KILLPRIV_V2 | InitFlag.INIT_EXT |
  InitFlag.DONT_MASK | InitFlag.SETXATTR_EXT | InitFlag.HAS_IOCTL_DIR;
const WANTED2 = InitFlag2.HAS_EXPIRE_ONLY | InitFlag2.DIRECT_IO_ALLOW_MMAP;

/** Null: the kernel speaks a newer major version and sends INIT again after we named ours. */
export function negotiate(offer: InitOffer, options: InitOptions): Negotiated | null {
  if (offer.major > abi.KERNEL_MAJOR) return null;
  if (offer.major < abi.KERNEL_MAJOR || offer.minor < abi.KERNEL_MINOR_MIN) {
    throw new FsError(
      "EIO",
      `the kernel speaks FUSE protocol ${offer.major}.${offer.minor}; ` +
        `${abi.KERNEL_MAJOR}.${abi.KERNEL_MINOR_MIN} (Linux 5.4) is the oldest that works`,
    );
  }
  let wanted = WANTED;
  if (options.posixAcl) wanted |= InitFlag.POSIX_ACL;
  if (options.readdirplus !== "never") wanted |= InitFlag.DO_READDIRPLUS;
  if (options.readdirplus === "auto") wanted |= InitFlag.READDIRPLUS_AUTO;
  const flags = (wanted & offer.flags) >>> 0;
  return {
    minor: Math.min(offer.minor, abi.KERNEL_MINOR_MAX),
    flags,
    flags2: flags & InitFlag.INIT_EXT ? (WANTED2 & offer.flags2) >>> 0 : 0,
    maxWriteBytes: flags & InitFlag.MAX_PAGES
      ? options.maxWriteBytes
      : Math.min(options.maxWriteBytes, 32 * abi.PAGE_BYTES),
  };
}

/** Writes a fuse_init_out; returns its size. `agreed` null answers a newer major version. */
export function putInit(view: DataView, at: number, agreed: Negotiated | null, options: InitOptions): number {
  const f = abi.InitOut;
  for (let i = 0; i < abi.INIT_OUT_BYTES; i += 4) view.setUint32(at + i, 0, true);
  view.setUint32(at + f.major, abi.KERNEL_MAJOR, true);
  view.setUint32(at + f.minor, agreed?.minor ?? abi.KERNEL_MINOR_MAX, true);
  if (agreed === null) return abi.INIT_OUT_BYTES;
  view.setUint32(at + f.maxReadahead, options.maxReadAheadBytes, true);
  view.setUint32(at + f.flags, agreed.flags, true);
  view.setUint32(at + f.flags2, agreed.flags2, true);
  view.setUint16(at + f.maxBackground, options.maxBackground, true);
  view.setUint16(at + f.congestionThreshold, Math.floor(options.maxBackground * 3 / 4), true);
  view.setUint32(at + f.maxWrite, agreed.maxWriteBytes, true);
  view.setUint32(at + f.timeGran, 1, true);
  view.setUint16(at + f.maxPages, agreed.maxWriteBytes / abi.PAGE_BYTES, true);
  return abi.INIT_OUT_BYTES;
}

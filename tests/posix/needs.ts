/**
 * What a file system may lack without being wrong on a host (a tmpfs has no O_DIRECT, an old kernel no exchange). A case
 * that needs it is skipped there by name; on a file system that promises it, the run asks for no skips.
 */
import { FALLOC, FS_IOC, O, RENAME, S, XATTR } from "./abi.ts";
import {
  lstat,
  mkdir,
  mknod,
  open,
  removexattr,
  rename,
  rmdir,
  setxattr,
  statfs,
  unlink,
  utimens,
} from "./sys.ts";
import { close, copyFileRange, fallocate, ioctlWord, lseek, pread, pwrite } from "./sys_file.ts";

export type Need =
  | "acl"
  | "copy_file_range"
  | "direct"
  | "exchange"
  | "fallocate"
  | "inode flags"
  | "large xattr"
  | "pipe times"
  | "relatime"
  | "seek hole"
  | "setfacl"
  | "tmpfile"
  | "trusted xattr"
  | "user xattr";

const probes: Readonly<Record<Need, (file: string, fd: number) => boolean>> = {
  "acl": (file) => setxattr(file, "system.posix_acl_access", minimalAcl) >= 0,
  "copy_file_range": (_, fd) => pwrite(fd, "x", 0) === 1 && copyFileRange(fd, 0, fd, 8192, 1) === 1,
  "direct": (file) => succeeds(open(file, O.RDONLY | O.DIRECT)),
  "exchange": (file) => {
    mkdir(`${file}.x`);
    const result = rename(file, `${file}.x`, RENAME.EXCHANGE);
    if (result >= 0) rename(file, `${file}.x`, RENAME.EXCHANGE);
    rmdir(`${file}.x`);
    return result >= 0;
  },
  "fallocate": (_, fd) =>
    fallocate(fd, 0, 0, 4096) >= 0 && fallocate(fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 0, 4096) >= 0 &&
    fallocate(fd, FALLOC.ZERO_RANGE, 0, 4096) >= 0,
  "inode flags": (_, fd) => {
    const got = ioctlWord(fd, FS_IOC.GETFLAGS);
    return got.result >= 0 && ioctlWord(fd, FS_IOC.SETFLAGS, got.word).result >= 0;
  },
  "large xattr": (file) => setxattr(file, "user.probe", new Uint8Array(65536)) >= 0,
  // FUSE leaves the times of a fifo's inode alone: the kernel moves the bytes and never asks the server.
  "pipe times": (file) => {
    const found = statfs(file);
    return typeof found !== "number" && found.type !== 0x65735546;
  },
  "relatime": (file, fd) => {
    pwrite(fd, "x", 0);
    utimens(file, [1, 1], [2, 2]);
    pread(fd, 1, 0);
    const found = lstat(file);
    return typeof found !== "number" && found.atime[0] !== 1;
  },
  "seek hole": (_, fd) => pwrite(fd, "x", 1 << 20) === 1 && lseek(fd, 0, 4) === 0,
  "setfacl": () => programExists("setfacl") && programExists("getfacl"),
  "tmpfile": (file) => succeeds(open(file.slice(0, file.lastIndexOf("/")), O.RDWR | O.TMPFILE, 0o600)),
  "trusted xattr": (file) => setxattr(file, "trusted.probe", "v") >= 0,
  "user xattr": (file) => setxattr(file, "user.probe", "v", XATTR.CREATE) >= 0,
};

/** ACL of mode 0644: user rw, group r, other r. Layout: linux/posix_acl_xattr.h. */
const minimalAcl = new Uint8Array([
  ...[2, 0, 0, 0],
  ...[1, 0, 6, 0, 255, 255, 255, 255],
  ...[4, 0, 4, 0, 255, 255, 255, 255],
  ...[32, 0, 4, 0, 255, 255, 255, 255],
]);

const known = new Map<string, boolean>();

/** Whether the file system of `base` has it; asked once. */
export function probe(need: Need, base: string): boolean {
  const key = `${need} ${base}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const file = `${base}/probe`;
  mknod(file, S.IFREG, 0o644);
  const fd = open(file, O.RDWR);
  const has = fd >= 0 && probes[need](file, fd);
  if (fd >= 0) close(fd);
  removexattr(file, "user.probe");
  if (typeof lstat(file) !== "number") unlink(file);
  known.set(key, has);
  return has;
}

function succeeds(fd: number): boolean {
  if (fd >= 0) close(fd);
  return fd >= 0;
}

function programExists(name: string): boolean {
  const paths = (Deno.env.get("PATH") ?? "/usr/bin:/bin").split(":");
  return paths.some((path) => typeof lstat(`${path}/${name}`) !== "number");
}

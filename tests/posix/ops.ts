/** Every call that takes a path, in one table: clauses about paths are then written once. */
import { AT, O, S } from "./abi.ts";
import { device } from "./files.ts";
import * as sys from "./sys.ts";
import type { Path } from "./sys.ts";
import { close } from "./sys_file.ts";

export interface PathOp {
  readonly name: string;
  /** `other` is an existing regular file for calls that take two paths. */
  readonly call: (path: Path, other: string) => number;
  /** A symbolic link as last component is followed. */
  readonly follows?: true;
  /** The last component must not exist: the call makes it. */
  readonly creates?: true;
  /** The call changes the file system, so it is refused where that is read-only. */
  readonly writes?: true;
  /** The last component must be of this kind (default: a regular file will do). */
  readonly wants?: "dir" | "symlink";
}

/** For calls whose descriptor is not wanted. */
export function closed(fd: number): number {
  if (fd >= 0) close(fd);
  return fd;
}

const now = [0, 0x3fffffff] as const;

export const pathOps: readonly PathOp[] = [
  { name: "stat", call: sys.statResult, follows: true },
  { name: "lstat", call: sys.lstatResult },
  { name: "access", call: (p) => sys.access(p, 4), follows: true },
  { name: "statfs", call: (p) => errnoOnly(sys.statfs(p)), follows: true },
  { name: "readlink", call: sys.readlinkResult, wants: "symlink" },
  { name: "getxattr", call: (p) => absentIsFine(sys.xattrLength(p, "user.none", 0)) },
  { name: "listxattr", call: (p) => sys.xattrListLength(p, 0) },
  { name: "open O_RDONLY", call: (p) => closed(sys.open(p, O.RDONLY)), follows: true },
  { name: "open O_PATH", call: (p) => closed(sys.open(p, O.PATH)), follows: true },
  { name: "open O_DIRECTORY", call: (p) => closed(sys.open(p, O.DIRECTORY)), follows: true, wants: "dir" },
  { name: "open O_WRONLY", call: (p) => closed(sys.open(p, O.WRONLY)), follows: true, writes: true },
  {
    name: "open O_RDWR|O_TRUNC",
    call: (p) => closed(sys.open(p, O.RDWR | O.TRUNC)),
    follows: true,
    writes: true,
  },
  {
    name: "open O_CREAT|O_EXCL",
    call: (p) => closed(sys.open(p, O.CREAT | O.EXCL | O.WRONLY, 0o644)),
    creates: true,
    writes: true,
  },
  { name: "mkdir", call: (p) => sys.mkdir(p, 0o755), creates: true, writes: true },
  { name: "mkfifo", call: (p) => sys.mkfifo(p, 0o644), creates: true, writes: true },
  { name: "mknod regular", call: (p) => sys.mknod(p, S.IFREG, 0o644), creates: true, writes: true },
  { name: "mknod fifo", call: (p) => sys.mknod(p, S.IFIFO, 0o644), creates: true, writes: true },
  { name: "mknod socket", call: (p) => sys.mknod(p, S.IFSOCK, 0o644), creates: true, writes: true },
  {
    name: "mknod char",
    call: (p) => sys.mknod(p, S.IFCHR, 0o644, device(1, 3)),
    creates: true,
    writes: true,
  },
  {
    name: "mknod block",
    call: (p) => sys.mknod(p, S.IFBLK, 0o644, device(7, 0)),
    creates: true,
    writes: true,
  },
  { name: "symlink", call: (p) => sys.symlink("target", p), creates: true, writes: true },
  { name: "link (new name)", call: (p, other) => sys.link(other, p), creates: true, writes: true },
  { name: "link (old name)", call: (p, other) => sys.link(p, `${other}.link`), writes: true },
  { name: "rename (from)", call: (p, other) => sys.rename(p, `${other}.renamed`), writes: true },
  { name: "rename (to)", call: (p, other) => sys.rename(other, p), writes: true },
  { name: "unlink", call: sys.unlink, writes: true },
  { name: "rmdir", call: sys.rmdir, writes: true, wants: "dir" },
  { name: "chmod", call: (p) => sys.chmod(p, 0o755), follows: true, writes: true },
  { name: "chown", call: (p) => sys.chown(p, 65533, 65533), follows: true, writes: true },
  { name: "lchown", call: (p) => sys.lchown(p, 65533, 65533), writes: true },
  { name: "truncate", call: (p) => sys.truncate(p, 10), follows: true, writes: true },
  { name: "utimensat", call: (p) => sys.utimens(p), follows: true, writes: true },
  { name: "utimensat nofollow", call: (p) => sys.utimens(p, now, now, AT.SYMLINK_NOFOLLOW), writes: true },
  { name: "setxattr", call: (p) => sys.setxattr(p, "trusted.t", "v"), writes: true },
  { name: "removexattr", call: (p) => absentIsFine(sys.removexattr(p, "trusted.none")), writes: true },
];

/** Calls about extended attributes: a file system may not have any. */
export const isXattrOp = (op: PathOp) => op.name.endsWith("xattr");

/** Calls that make a new name at their path. */
export const creatingOps = pathOps.filter((op) => op.creates === true);

function errnoOnly(result: unknown): number {
  return typeof result === "number" ? result : 0;
}

/** ENODATA is an answer about the file: the path was walked. */
function absentIsFine(result: number): number {
  return result === -61 ? 0 : result;
}

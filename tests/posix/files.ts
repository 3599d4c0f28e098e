/** Files of every kind, made and removed with root's rights. */
import { errnoName, O, S } from "./abi.ts";
import { chmod, join, lchown, lstat, mkdir, mknod, open, type Path, rmdir, symlink, unlink } from "./sys.ts";
import { close, getdents } from "./sys_file.ts";

export type Kind = "regular" | "dir" | "fifo" | "block" | "char" | "socket" | "symlink";

export const kinds: readonly Kind[] = ["regular", "dir", "fifo", "block", "char", "socket", "symlink"];
export const nonDirKinds = kinds.filter((kind) => kind !== "dir");
/** Kinds that are neither walked through nor followed. */
export const plainKinds: readonly Kind[] = ["regular", "fifo", "block", "char", "socket"];

export const typeBits: Readonly<Record<Kind, number>> = {
  regular: S.IFREG,
  dir: S.IFDIR,
  fifo: S.IFIFO,
  block: S.IFBLK,
  char: S.IFCHR,
  socket: S.IFSOCK,
  symlink: S.IFLNK,
};

export interface MakeOptions {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Of a symbolic link. */
  readonly target?: string;
}

/** Device numbers as the kernel packs them for mknod. */
export function device(major: number, minor: number): number {
  return (major << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
}

export function make(kind: Kind, path: Path, options: MakeOptions = {}): number {
  const mode = options.mode ?? (kind === "dir" ? 0o755 : 0o644);
  const made = kind === "dir"
    ? mkdir(path, mode)
    : kind === "symlink"
    ? symlink(options.target ?? "target", path)
    : mknod(path, typeBits[kind], mode, kind === "block" || kind === "char" ? device(1, 3) : 0);
  if (made < 0) return made;
  if (options.uid !== undefined || options.gid !== undefined) {
    const owned = lchown(path, options.uid ?? -1, options.gid ?? -1);
    if (owned < 0) return owned;
  }
  // After chown, which clears the set-id bits; and no umask is in the way.
  return kind === "symlink" ? 0 : chmod(path, mode);
}

/** Removes a file of any kind, or a directory with all that is in it. */
export function remove(path: Path): number {
  const result = unlink(path);
  return result === -21 || result === -1 ? rmdir(path) : result;
}

export function removeTree(path: string | Uint8Array): void {
  const isDirectory = (of: string | Uint8Array) => {
    const found = lstat(of);
    return typeof found !== "number" && (found.mode & S.IFMT) === S.IFDIR;
  };
  if (!isDirectory(path)) return;
  // A rewound directory until nothing is left: removing while listing may skip entries.
  for (let round = 0; round < 100; round++) {
    const result = rmdir(path);
    if (result >= 0) return;
    if (errnoName(result) !== "ENOTEMPTY") throw new Error(`rmdir ${path}: ${errnoName(result)}`);
    for (const name of namesIn(path)) {
      const inside = join(path, name);
      if (isDirectory(inside)) removeTree(inside);
      else unlink(inside);
    }
  }
  throw new Error(`${path} does not become empty`);
}

/** Every name in a directory but `.` and `..`, in its own order. */
export function namesIn(path: Path): Uint8Array[] {
  const fd = open(path, O.RDONLY | O.DIRECTORY);
  if (fd < 0) throw new Error(`open directory: ${errnoName(fd)}`);
  try {
    const names: Uint8Array[] = [];
    for (;;) {
      const entries = getdents(fd);
      if (typeof entries === "number") throw new Error(`getdents: ${errnoName(entries)}`);
      if (entries.length === 0) return names;
      for (const { name } of entries) if (!isDots(name)) names.push(name);
    }
  } finally {
    close(fd);
  }
}

export function isDots(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

/** Names as sorted text, for comparing. */
export function sortedNames(path: Path): string[] {
  const decoder = new TextDecoder();
  return namesIn(path).map((name) => decoder.decode(name)).sort();
}

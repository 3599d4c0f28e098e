/** The library's interface to a volume's files; path_client.ts implements it. */
import type { FileInfo, TimeInput } from "./file_info.ts";
import type { VolumeFile } from "./path_file.ts";
import type { OpenOptions } from "./path_open.ts";
import type { DirEntry } from "./path_tree.ts";
import type { StatFs } from "./types.ts";

/** A path in the volume: UTF-8 for a string, or any bytes. With and without a leading slash it starts at the root. */
export type Path = string | Uint8Array;

export interface ClientOptions {
  /** Whose permissions count and who owns new files. Default: root. */
  readonly uid?: number;
  readonly gid?: number;
  /** Permission bits that new files and directories do not get. Default: 0o022. */
  readonly umask?: number;
}

export interface WriteOptions {
  /** Add to the end instead of replacing the contents. */
  readonly append?: boolean;
  /** Make the file if there is none. Default: true. */
  readonly create?: boolean;
  /** Make the file, and fail with EEXIST if there is one. */
  readonly createNew?: boolean;
  /** Permissions for the file, whether it is new or not. */
  readonly mode?: number;
}

/**
 * A volume's files. Every error is an FsError: `code` is POSIX's name for it, and the message has the operation
 * and the path. Symbolic links are followed but where it says otherwise; ELOOP after 40.
 */
export interface PathClient extends AsyncDisposable {
  /** The whole file. */
  readFile(path: Path): Promise<Uint8Array<ArrayBuffer>>;
  /** The whole file as UTF-8; bytes that are none become U+FFFD. */
  readTextFile(path: Path): Promise<string>;
  /** Replaces (or with `append` adds to) a file's contents. When it returns, others see them; `open` and `sync` make them
   *  survive power loss as well. */
  writeFile(
    path: Path,
    data: Uint8Array | string | ReadableStream<Uint8Array | string>,
    options?: WriteOptions,
  ): Promise<void>;
  writeTextFile(path: Path, data: string | ReadableStream<string>, options?: WriteOptions): Promise<void>;
  /** Opens a file, for reading if not said otherwise. Close it, or bind it with `await using`. */
  open(path: Path, options?: OpenOptions): Promise<VolumeFile>;
  /** Creates or empties a file and opens it for reading and writing. */
  create(path: Path): Promise<VolumeFile>;
  /** Entries in no particular order, without `.` and `..`. Entries added or removed meanwhile may be missed or told. */
  readDir(path: Path): AsyncIterable<DirEntry>;
  stat(path: Path): Promise<FileInfo>;
  /** Of a symbolic link itself. */
  lstat(path: Path): Promise<FileInfo>;
  /** `recursive`: also the directories above it, and no error if it is there already. */
  mkdir(path: Path, options?: { readonly recursive?: boolean; readonly mode?: number }): Promise<void>;
  /** Removes a file, a link or an empty directory. `recursive`: with everything in it. */
  remove(path: Path, options?: { readonly recursive?: boolean }): Promise<void>;
  /** Atomically replaces a file, or an empty directory by a directory. `noReplace`: EEXIST instead. `exchange`: the two
   *  names change places. */
  rename(
    oldPath: Path,
    newPath: Path,
    options?: { readonly noReplace?: boolean; readonly exchange?: boolean },
  ): Promise<void>;
  /** A second name for a file. A symbolic link as `oldPath` is not followed. */
  link(oldPath: Path, newPath: Path): Promise<void>;
  /** `target` is stored as it is. */
  symlink(target: Path, path: Path): Promise<void>;
  /** Where a symbolic link points. EINVAL if it is no link, or if its bytes are not UTF-8. */
  readLink(path: Path): Promise<string>;
  readLinkBytes(path: Path): Promise<Uint8Array>;
  chmod(path: Path, mode: number): Promise<void>;
  /** null leaves the owner or the group as it is. */
  chown(path: Path, uid: number | null, gid: number | null): Promise<void>;
  /** Of a symbolic link itself. */
  lchown(path: Path, uid: number | null, gid: number | null): Promise<void>;
  /** Times of last access and change of contents. Numbers are seconds since the epoch. */
  utime(path: Path, atime: TimeInput, mtime: TimeInput): Promise<void>;
  /** Of a symbolic link itself. */
  lutime(path: Path, atime: TimeInput, mtime: TimeInput): Promise<void>;
  /** Cuts or extends (with zeros) to `length` bytes, 0 if not given. */
  truncate(path: Path, length?: number): Promise<void>;
  /** Contents and permissions; an existing file is overwritten. */
  copyFile(fromPath: Path, toPath: Path): Promise<void>;
  /** The absolute path without links, `.` and `..`. EINVAL if its bytes are not UTF-8. */
  realPath(path: Path): Promise<string>;
  realPathBytes(path: Path): Promise<Uint8Array>;
  /** Space and files, used and free. */
  statfs(): Promise<StatFs>;
  /** fsync(2) of a directory: the entries in it survive power loss when it returns. */
  syncDir(path: Path): Promise<void>;
  /** Closes every file that is still open. Operations fail with EBADF from then on. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

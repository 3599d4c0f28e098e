/**
 * The library API: files by path, in the manner of Deno's own file functions, over the operation surface and without a
 * kernel. What the kernel does for a mount is done here: walking paths, the rules for `.`, `..` and trailing slashes,
 * open(2)'s flags, the umask.
 *
 * Invariants: every operation gives back the references it took (walks end in a `finally`), an open file holds one
 * until it is closed. Nothing is kept between operations but the set of open files, so memory stays with what is open.
 */
import { errnoOf, FsError } from "../errors.ts";
import { fileInfo } from "./file_info.ts";
import { pathError, showPath } from "./path_error.ts";
import { checkOffset, openedFile, ownerChange, timesChange, type VolumeFile } from "./path_file.ts";
import type { ClientOptions, Path, PathClient, WriteOptions } from "./path_api.ts";
import { openAt, type OpenOptions, openPlan } from "./path_open.ts";
import { listDirectory, removeTree } from "./path_tree.ts";
import { type LastPart, pathBytes, splitPath, type Target, Walk } from "./path_walk.ts";
import { turns } from "./turns.ts";
import {
  type Caller,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type SetAttr,
  type Vfs,
} from "./types.ts";

const COPY_BYTES = 1 << 20;
const utf8 = new TextEncoder();

export function pathClient(vfs: Vfs, options: ClientOptions = {}): PathClient {
  const caller: Caller = { uid: options.uid ?? 0, gid: options.gid ?? 0, pid: 0 };
  const umask = (options.umask ?? 0o022) & 0o777;
  const openFiles = new Set<VolumeFile>();
  const appendTurn = turns();
  let closed: Promise<void> | null = null;

  /** Runs one operation with a walk of its own; errors are told with `what`. */
  async function operation<T>(what: () => string, run: (walk: Walk) => Promise<T>): Promise<T> {
    const walk = new Walk(vfs, caller);
    try {
      if (closed !== null) throw new FsError("EBADF", "the volume is closed");
      return await run(walk);
    } catch (error) {
      throw pathError(error, what());
    } finally {
      walk.end();
    }
  }

  const on = <T>(call: string, path: Path, run: (walk: Walk, bytes: Uint8Array) => Promise<T>) =>
    operation(() => `${call} ${showPath(path)}`, (walk) => run(walk, pathBytes(path)));

  const onTarget = <T>(call: string, path: Path, follow: boolean, run: (target: Target) => Promise<T>) =>
    on(call, path, async (walk, bytes) => await run(await walk.toTarget(bytes, follow)));

  function change(call: string, path: Path, follow: boolean, makeChange: () => SetAttr): Promise<void> {
    return onTarget(call, path, follow, async ({ ino }) => {
      await vfs.setattr(caller, ino, makeChange());
    });
  }

  function open(path: Path, openOptions: OpenOptions = { read: true }): Promise<VolumeFile> {
    return on("open", path, async (walk, bytes) => {
      const plan = openPlan(openOptions);
      const { ino, handle } = await openAt(vfs, caller, walk, bytes, plan, umask);
      const file = openedFile({
        vfs,
        caller,
        ino,
        handle,
        flags: plan.flags,
        appendTurn,
        shownPath: showPath(path),
        onClosed: (gone) => openFiles.delete(gone),
      });
      // close() may have begun at an await above: it did not see this file.
      if (closed !== null) {
        await file.close();
        throw new FsError("EBADF", "the volume is closed");
      }
      openFiles.add(file);
      return file;
    });
  }

  async function readFile(path: Path): Promise<Uint8Array<ArrayBuffer>> {
    await using file = await open(path);
    let bytes = new Uint8Array((await file.stat()).size);
    let length = 0;
    for (;;) {
      // One byte more than expected tells whether the file has grown.
      if (length === bytes.length) {
        const probe = new Uint8Array(1);
        if (await file.read(probe) === null) return bytes;
        const larger = new Uint8Array(Math.max(4096, length * 2));
        larger.set(bytes);
        larger.set(probe, length++);
        bytes = larger;
      }
      const count = await file.read(bytes.subarray(length));
      if (count === null) return bytes.slice(0, length);
      length += count;
    }
  }

  async function writeFile(
    path: Path,
    data: Uint8Array | string | ReadableStream<Uint8Array | string>,
    options: WriteOptions = {},
  ): Promise<void> {
    const append = options.append ?? false;
    const file = await open(path, {
      write: true,
      append,
      create: options.create ?? true,
      createNew: options.createNew,
      truncate: !append,
      mode: options.mode,
    });
    try {
      if (options.mode !== undefined) await file.chmod(options.mode);
      if (data instanceof ReadableStream) {
        for await (const chunk of data) {
          await file.write(typeof chunk === "string" ? utf8.encode(chunk) : chunk);
        }
      } else {
        await file.write(typeof data === "string" ? utf8.encode(data) : data);
      }
    } finally {
      await file.close();
    }
  }

  function mkdirOne(path: Path, mode: number): Promise<void> {
    return on("mkdir", path, async (walk, bytes) => {
      const last = await walk.toLastPart(bytes);
      if (last.name === null) throw new FsError("EEXIST");
      walk.hold((await vfs.mkdir(caller, last.parent, last.name, mode & 0o1777, umask)).attr.ino);
    });
  }

  async function isDirectory(bytes: Uint8Array): Promise<boolean> {
    try {
      return (await onTarget("stat", bytes, true, (target) => Promise.resolve(target.attr.mode & S_IFMT))) ===
        S_IFDIR;
    } catch {
      return false;
    }
  }

  async function mkdir(
    path: Path,
    { recursive = false, mode = 0o777 }: { recursive?: boolean; mode?: number } = {},
  ): Promise<void> {
    if (!recursive) return await mkdirOne(path, mode);
    const bytes = await on("mkdir", path, (_, bytes) => Promise.resolve(bytes));
    for (const prefix of prefixes(bytes)) {
      try {
        await mkdirOne(prefix, mode);
      } catch (error) {
        // Also when somebody else made it at the same moment. A file on the way is found by the next mkdir: ENOTDIR.
        if (errnoOf(error) !== "EEXIST") throw error;
        if (prefix.length === bytes.length && !await isDirectory(prefix)) throw error;
      }
    }
  }

  function remove(path: Path, { recursive = false } = {}): Promise<void> {
    return on("remove", path, async (walk, bytes) => {
      const last = await walk.toLastPart(bytes);
      const name = removableName(last);
      const target = await walk.lookup(last.parent, name);
      if ((target.attr.mode & S_IFMT) !== S_IFDIR) {
        if (last.trailingSlash) throw new FsError("ENOTDIR");
        await vfs.unlink(caller, last.parent, name);
      } else if (recursive) {
        await removeTree(vfs, caller, last.parent, name, target.ino);
      } else {
        await vfs.rmdir(caller, last.parent, name);
      }
    });
  }

  function rename(
    oldPath: Path,
    newPath: Path,
    { noReplace = false, exchange = false }: { noReplace?: boolean; exchange?: boolean } = {},
  ): Promise<void> {
    return operation(() => `rename ${showPath(oldPath)} -> ${showPath(newPath)}`, async (walk) => {
      const flags = (noReplace ? RENAME_NOREPLACE : 0) | (exchange ? RENAME_EXCHANGE : 0);
      if (noReplace && exchange) throw new FsError("EINVAL", "noReplace and exchange exclude each other");
      const from = await walk.toLastPart(pathBytes(oldPath));
      const newWalk = new Walk(vfs, caller);
      try {
        const to = await newWalk.toLastPart(pathBytes(newPath));
        if (from.name === null) throw new FsError("EBUSY");
        if (to.name === null) throw new FsError(noReplace ? "EEXIST" : "EBUSY");
        if (from.trailingSlash || to.trailingSlash) {
          const moved = await walk.lookup(from.parent, from.name);
          if (noReplace && await exists(newWalk, to.parent, to.name)) throw new FsError("EEXIST");
          if (exchange) {
            const other = await newWalk.lookup(to.parent, to.name);
            if (to.trailingSlash) requireDirectory(other);
          }
          if (from.trailingSlash || !exchange) requireDirectory(moved);
        }
        try {
          await vfs.rename(caller, from.parent, from.name, to.parent, to.name, flags);
        } catch (error) {
          // A name's own directory, or one above it, is first of all not empty: rename(2) of Linux.
          const isAbove = errnoOf(error) === "EISDIR" &&
            walk.passed((await newWalk.lookup(to.parent, to.name)).ino);
          throw isAbove ? new FsError("ENOTEMPTY") : error;
        }
      } finally {
        newWalk.end();
      }
    });
  }

  function link(oldPath: Path, newPath: Path): Promise<void> {
    return operation(() => `link ${showPath(oldPath)} -> ${showPath(newPath)}`, async (walk) => {
      const target = await walk.toTarget(pathBytes(oldPath), false);
      const newWalk = new Walk(vfs, caller);
      try {
        const name = await newName(newWalk, pathBytes(newPath));
        if (isDirectoryTarget(target)) {
          throw new FsError(await exists(newWalk, newWalk.directory, name) ? "EEXIST" : "EPERM");
        }
        newWalk.hold((await vfs.link(caller, target.ino, newWalk.directory, name)).attr.ino);
      } finally {
        newWalk.end();
      }
    });
  }

  function symlink(target: Path, path: Path): Promise<void> {
    return on("symlink", path, async (walk, bytes) => {
      const targetBytes = pathBytes(target);
      const name = await newName(walk, bytes);
      walk.hold((await vfs.symlink(caller, walk.directory, name, targetBytes)).attr.ino);
    });
  }

  function readLinkBytes(path: Path): Promise<Uint8Array> {
    return onTarget("readlink", path, false, async ({ ino, attr }) => {
      if ((attr.mode & S_IFMT) !== S_IFLNK) throw new FsError("EINVAL", "not a symbolic link");
      return (await vfs.readlink(caller, ino)).slice();
    });
  }

  function realPathBytes(path: Path): Promise<Uint8Array> {
    return on("realpath", path, async (walk, bytes) => {
      await walk.toTarget(bytes, true);
      return joinPath(walk.directoryNames);
    });
  }

  function asText(call: string, path: Path, bytes: Uint8Array): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new FsError("EINVAL", `not UTF-8, ask for its bytes: ${call} ${showPath(path)}`);
    }
  }

  async function copyFile(fromPath: Path, toPath: Path): Promise<void> {
    await using from = await open(fromPath);
    const info = await from.stat();
    if (!info.isFile) throw pathError(new FsError("EINVAL"), `copy ${showPath(fromPath)}`);
    await using to = await open(toPath, { write: true, create: true, mode: info.mode & 0o777 });
    if ((await to.stat()).ino === info.ino) return; // Emptying it first would lose the contents.
    await to.truncate(0);
    await to.chmod(info.mode & 0o777);
    const buffer = new Uint8Array(COPY_BYTES);
    for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
      await to.write(buffer.subarray(0, count));
    }
  }

  async function closeAll(): Promise<void> {
    const results = await Promise.allSettled([...openFiles].map((file) => file.close()));
    const failure = results.find((result) => result.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }

  function close(): Promise<void> {
    closed ??= closeAll();
    return closed;
  }

  return {
    readFile,
    readTextFile: async (path) => new TextDecoder().decode(await readFile(path)),
    writeFile,
    writeTextFile: writeFile,
    open,
    create: (path) => open(path, { read: true, write: true, create: true, truncate: true }),
    readDir: (path) =>
      listDirectory(
        vfs,
        caller,
        (run) =>
          on("readdir", path, async (walk, bytes) => await run(walk, await walk.toTarget(bytes, true))),
        (error) => pathError(error, `readdir ${showPath(path)}`),
      ),
    stat: (path) => onTarget("stat", path, true, ({ attr }) => Promise.resolve(fileInfo(attr))),
    lstat: (path) => onTarget("lstat", path, false, ({ attr }) => Promise.resolve(fileInfo(attr))),
    mkdir,
    remove,
    rename,
    link,
    symlink,
    readLinkBytes,
    readLink: async (path) => asText("readlink", path, await readLinkBytes(path)),
    chmod: (path, mode) => change("chmod", path, true, () => ({ mode: mode & 0o7777 })),
    chown: (path, uid, gid) => change("chown", path, true, () => ownerChange(uid, gid)),
    lchown: (path, uid, gid) => change("lchown", path, false, () => ownerChange(uid, gid)),
    utime: (path, atime, mtime) => change("utime", path, true, () => timesChange(atime, mtime)),
    lutime: (path, atime, mtime) => change("lutime", path, false, () => timesChange(atime, mtime)),
    truncate: (path, length = 0) =>
      onTarget("truncate", path, true, async ({ ino, attr }) => {
        const kind = attr.mode & S_IFMT;
        if (kind !== S_IFREG) throw new FsError(kind === S_IFDIR ? "EISDIR" : "EINVAL");
        await vfs.setattr(caller, ino, { length: checkOffset(length), killSuidGid: caller.uid !== 0 });
      }),
    copyFile,
    realPathBytes,
    realPath: async (path) => asText("realpath", path, await realPathBytes(path)),
    statfs: () => onTarget("statfs", "/", true, async ({ ino }) => await vfs.statfs(caller, ino)),
    syncDir: (path) =>
      onTarget("sync", path, true, async ({ ino, attr }) => {
        if ((attr.mode & S_IFMT) !== S_IFDIR) throw new FsError("ENOTDIR");
        const { handle } = await vfs.opendir(caller, ino);
        try {
          await vfs.fsyncdir(caller, ino, handle, false);
        } finally {
          await vfs.releasedir(ino, handle);
        }
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The name for an entry that must not exist yet and is no directory: link(2), symlink(2). */
async function newName(walk: Walk, path: Uint8Array): Promise<Uint8Array> {
  const last = await walk.toLastPart(path);
  if (last.name === null) throw new FsError("EEXIST");
  // As Linux answers: only a directory's name may end with a slash, and one that is there already is EEXIST.
  if (last.trailingSlash) {
    await walk.lookup(last.parent, last.name);
    throw new FsError("EEXIST");
  }
  return last.name;
}

function isDirectoryTarget(target: Target): boolean {
  return (target.attr.mode & S_IFMT) === S_IFDIR;
}

function requireDirectory(target: Target): void {
  if (!isDirectoryTarget(target)) throw new FsError("ENOTDIR");
}

async function exists(walk: Walk, parent: number, name: Uint8Array): Promise<boolean> {
  try {
    await walk.lookup(parent, name);
    return true;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return false;
  }
}

/** What may not be removed, as rmdir(2) answers: EBUSY for the root, EINVAL for `.`, ENOTEMPTY for `..`. */
function removableName(last: LastPart): Uint8Array {
  if (last.name !== null) return last.name;
  if (last.endsIn === "root") throw new FsError("EBUSY");
  throw new FsError(last.endsIn === "dot" ? "EINVAL" : "ENOTEMPTY");
}

function joinPath(names: readonly Uint8Array[]): Uint8Array {
  if (names.length === 0) return utf8.encode("/");
  const path = new Uint8Array(names.reduce((length, name) => length + 1 + name.length, 0));
  let at = 0;
  for (const name of names) {
    path[at++] = 0x2f;
    path.set(name, at);
    at += name.length;
  }
  return path;
}

/** The path up to the end of its first part, of its second part, and so on; the last one is the whole path. */
function prefixes(path: Uint8Array): Uint8Array[] {
  const ends = splitPath(path).map((part) => part.byteOffset - path.byteOffset + part.length);
  return [...ends.slice(0, -1).map((end) => path.subarray(0, end)), path];
}

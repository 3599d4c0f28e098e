/**
 * The reference of the model test: what POSIX and Linux say a file system does, as plainly as it can be written, without
 * regard to speed or storage. Written from the manual pages and apart from the product; that it agrees with Linux is
 * checked by running the same sequences on the host's own file system.
 */
import {
  type Command,
  fillBytes,
  type ModelFs,
  OK,
  type OpenHow,
  type Outcome,
  SLOTS,
  type StatOutcome,
} from "./commands.ts";
import { SparseBytes } from "./sparse_bytes.ts";

const SYMLINKS_MAX = 40;
const UMASK = 0o022;

class Failure extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}
function fail(code: string): never {
  throw new Failure(code);
}

interface BaseNode {
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  /** null: changed by the clock since it was last set. */
  atimeMs: number | null;
  mtimeMs: number | null;
}
interface FileNode extends BaseNode {
  readonly kind: "file";
  readonly bytes: SparseBytes;
}
interface SymlinkNode extends BaseNode {
  readonly kind: "symlink";
  readonly target: string;
}
interface DirectoryNode extends BaseNode {
  readonly kind: "directory";
  readonly entries: Map<string, Node>;
  parent: DirectoryNode;
}
type Node = FileNode | SymlinkNode | DirectoryNode;

interface OpenFile {
  readonly node: FileNode;
  readonly how: OpenHow;
  position: number;
}

/** Where a path leads, up to its last part. */
interface Last {
  readonly directory: DirectoryNode;
  /** null: the path names a directory that the walk went through. */
  readonly name: string | null;
  readonly ends: "name" | "dot" | "dotdot" | "root";
  readonly slash: boolean;
}

const base = { uid: 0, gid: 0, atimeMs: null, mtimeMs: null };

export class ReferenceFs implements ModelFs {
  readonly #root: DirectoryNode;
  #slots: (OpenFile | null)[] = Array.from({ length: SLOTS }, () => null);

  constructor() {
    const root = {
      ...base,
      kind: "directory",
      mode: 0o755,
      nlink: 2,
      entries: new Map(),
    } as unknown as DirectoryNode;
    root.parent = root;
    this.#root = root;
  }

  run(command: Command): Outcome {
    try {
      return this.#run(command);
    } catch (error) {
      if (error instanceof Failure) return { error: error.code };
      throw error;
    }
  }

  close(): void {
    this.#slots.fill(null);
  }

  /** Every path in the tree, directories before what is in them; the root is not among them. */
  paths(): { path: string; kind: Node["kind"] }[] {
    const found: { path: string; kind: Node["kind"] }[] = [];
    const walk = (directory: DirectoryNode, prefix: string) => {
      for (const [name, node] of directory.entries) {
        found.push({ path: `${prefix}/${name}`, kind: node.kind });
        if (node.kind === "directory") walk(node, `${prefix}/${name}`);
      }
    };
    walk(this.#root, "");
    return found;
  }

  isOpen(slot: number): boolean {
    return this.#slots[slot] !== null;
  }

  /** Length and position of an open file, for choosing interesting offsets. */
  openLength(slot: number): number {
    return this.#slots[slot]?.node.bytes.length ?? 0;
  }

  /** Ranges of a file whose comparison tells of all its bytes. */
  interesting(path: string): { offset: number; length: number }[] {
    const node = this.#resolve(path, false);
    return node.kind === "file" ? node.bytes.interesting() : [];
  }
  interestingOpen(slot: number): { offset: number; length: number }[] {
    return this.#slots[slot]?.node.bytes.interesting() ?? [];
  }

  #run(command: Command): Outcome {
    switch (command.op) {
      case "open":
        this.#slots[command.slot] = null;
        this.#slots[command.slot] = this.#open(command.path, command.how, command.mode);
        return OK;
      case "close":
        this.#file(command.slot);
        this.#slots[command.slot] = null;
        return OK;
      case "read": {
        const file = this.#file(command.slot);
        const bytes = this.#read(file, file.position, command.length);
        file.position += bytes?.length ?? 0;
        return { bytes };
      }
      case "readAt":
        return { bytes: this.#read(this.#file(command.slot), command.offset, command.length) };
      case "write": {
        const file = this.#file(command.slot);
        file.position = this.#write(file, file.position, command.length, command.fill);
        return { value: command.length };
      }
      case "writeAt":
        this.#write(this.#file(command.slot), command.offset, command.length, command.fill);
        return { value: command.length };
      case "seek": {
        const file = this.#file(command.slot);
        const from = [0, file.position, file.node.bytes.length][command.whence] ?? 0;
        if (from + command.offset < 0) fail("EINVAL");
        file.position = from + command.offset;
        return { value: file.position };
      }
      case "fstat":
        return { stat: statOf(this.#file(command.slot).node) };
      case "ftruncate": {
        const file = this.#file(command.slot);
        if (!file.how.write) fail("EINVAL");
        truncate(file.node, command.length);
        return OK;
      }
      case "fsync":
        this.#file(command.slot);
        return OK;
      case "truncate": {
        const node = this.#resolve(command.path, true);
        if (node.kind !== "file") fail("EISDIR");
        truncate(node, command.length);
        return OK;
      }
      case "stat":
        return { stat: statOf(this.#resolve(command.path, true)) };
      case "lstat":
        return { stat: statOf(this.#resolve(command.path, false)) };
      case "readdir": {
        const node = this.#resolve(command.path, true);
        if (node.kind !== "directory") fail("ENOTDIR");
        node.atimeMs = null;
        return { names: [...node.entries].map(([name, { kind }]) => `${name} ${kind}`).sort() };
      }
      case "readlink": {
        const node = this.#resolve(command.path, false);
        if (node.kind !== "symlink") fail("EINVAL");
        node.atimeMs = null;
        return { value: node.target };
      }
      case "mkdir":
        return this.#mkdir(command.path, command.mode);
      case "remove":
        return this.#remove(command.path, false);
      case "removeTree":
        return this.#remove(command.path, true);
      case "rename":
        return this.#rename(command.from, command.to, command.flag);
      case "link":
        return this.#link(command.from, command.to);
      case "symlink":
        return this.#symlink(command.target, command.path);
      case "chmod": {
        this.#resolve(command.path, true).mode = command.mode;
        return OK;
      }
      case "chown": {
        const node = this.#resolve(command.path, true);
        node.uid = command.uid;
        node.gid = command.gid;
        if (node.kind !== "directory") {
          // chown(2): set-user-ID goes; set-group-ID too, unless it marks mandatory locking.
          node.mode &= ~0o4000;
          if (node.mode & 0o010) node.mode &= ~0o2000;
        }
        return OK;
      }
      case "utime": {
        const node = this.#resolve(command.path, true);
        node.atimeMs = command.atimeMs;
        node.mtimeMs = command.mtimeMs;
        return OK;
      }
      case "reopen":
        this.#slots.fill(null);
        return OK;
    }
  }

  #file(slot: number): OpenFile {
    return this.#slots[slot] ?? fail("EBADF");
  }

  #read(file: OpenFile, offset: number, length: number): Uint8Array | null {
    if (!file.how.read) fail("EBADF");
    file.node.atimeMs = null;
    const bytes = file.node.bytes.read(offset, length);
    return bytes.length === 0 ? null : bytes;
  }

  /** The position after the write. */
  #write(file: OpenFile, offset: number, length: number, fill: number): number {
    if (!file.how.write) fail("EBADF");
    const at = file.how.append ? file.node.bytes.length : offset;
    file.node.bytes.write(at, fillBytes(length, fill));
    file.node.mtimeMs = null;
    return at + length;
  }

  #open(path: string, how: OpenHow, mode: number): OpenFile {
    const last = this.#last(path);
    return { node: this.#openAt(last, how, mode, 0), how, position: 0 };
  }

  #openAt(last: Last, how: OpenHow, mode: number, links: number): FileNode {
    const create = how.create || how.createNew;
    if (last.name === null) fail(how.createNew ? "EEXIST" : "EISDIR");
    if (create && last.slash) fail("EISDIR");
    const node = last.directory.entries.get(last.name);
    if (node === undefined) {
      if (!create) fail("ENOENT");
      const file: FileNode = {
        ...base,
        kind: "file",
        mode: mode & ~UMASK,
        gid: inheritedGid(last.directory),
        nlink: 1,
        bytes: new SparseBytes(),
      };
      this.#enter(last.directory, last.name, file);
      return file;
    }
    if (how.createNew) fail("EEXIST");
    if (node.kind === "symlink") {
      if (links === SYMLINKS_MAX) fail("ELOOP");
      node.atimeMs = null;
      const next = this.#last(node.target, last.directory, { count: links + 1 });
      return this.#openAt({ ...next, slash: next.slash || last.slash }, how, mode, links + 1);
    }
    if (node.kind === "directory") fail("EISDIR");
    if (last.slash) fail("ENOTDIR");
    if (how.truncate) truncate(node, 0);
    return node;
  }

  #mkdir(path: string, mode: number): Outcome {
    const last = this.#last(path);
    if (last.name === null || last.directory.entries.has(last.name)) fail("EEXIST");
    const directory: DirectoryNode = {
      ...base,
      kind: "directory",
      mode: (mode & ~UMASK & 0o1777) | (last.directory.mode & 0o2000),
      gid: inheritedGid(last.directory),
      nlink: 2,
      entries: new Map(),
      parent: last.directory,
    };
    this.#enter(last.directory, last.name, directory);
    return OK;
  }

  #remove(path: string, recursive: boolean): Outcome {
    const last = this.#last(path);
    if (last.name === null) fail({ root: "EBUSY", dot: "EINVAL", dotdot: "ENOTEMPTY", name: "" }[last.ends]);
    const node = last.directory.entries.get(last.name);
    if (node === undefined) fail("ENOENT");
    if (node.kind !== "directory" && last.slash) fail("ENOTDIR");
    if (node.kind === "directory" && recursive) this.#empty(node);
    if (node.kind === "directory" && node.entries.size > 0) fail("ENOTEMPTY");
    this.#leave(last.directory, last.name);
    return OK;
  }

  #empty(directory: DirectoryNode): void {
    for (const [name, node] of directory.entries) {
      if (node.kind === "directory") this.#empty(node);
      this.#leave(directory, name);
    }
  }

  /** The order of checks is that of Linux (fs/namei.c, do_renameat2). */
  #rename(fromPath: string, toPath: string, flag: "" | "noReplace" | "exchange"): Outcome {
    const from = this.#last(fromPath);
    const to = this.#last(toPath);
    if (from.name === null) fail("EBUSY");
    if (to.name === null) fail(flag === "noReplace" ? "EEXIST" : "EBUSY");
    const moved = from.directory.entries.get(from.name);
    if (moved === undefined) fail("ENOENT");
    const replaced = to.directory.entries.get(to.name);
    if (flag === "noReplace" && replaced !== undefined) fail("EEXIST");
    if (flag === "exchange") {
      if (replaced === undefined) fail("ENOENT");
      if (replaced.kind !== "directory" && to.slash) fail("ENOTDIR");
    }
    if (moved.kind !== "directory" && (from.slash || (flag !== "exchange" && to.slash))) fail("ENOTDIR");
    if (moved.kind === "directory" && isInside(to.directory, moved)) fail("EINVAL");
    if (replaced?.kind === "directory" && isInside(from.directory, replaced)) {
      fail(flag === "exchange" ? "EINVAL" : "ENOTEMPTY");
    }
    if (moved === replaced) return OK;
    if (flag === "exchange" && replaced !== undefined) {
      this.#leave(from.directory, from.name);
      this.#leave(to.directory, to.name);
      this.#enter(from.directory, from.name, replaced);
      this.#enter(to.directory, to.name, moved);
      for (const node of [moved, replaced]) if (node.kind !== "directory") node.nlink++;
      return OK;
    }
    if (replaced !== undefined) {
      if (moved.kind === "directory" && replaced.kind !== "directory") fail("ENOTDIR");
      if (moved.kind !== "directory" && replaced.kind === "directory") fail("EISDIR");
      if (replaced.kind === "directory" && replaced.entries.size > 0) fail("ENOTEMPTY");
      this.#leave(to.directory, to.name);
    }
    this.#leave(from.directory, from.name);
    this.#enter(to.directory, to.name, moved);
    if (moved.kind !== "directory") moved.nlink++;
    return OK;
  }

  #link(fromPath: string, toPath: string): Outcome {
    const node = this.#resolve(fromPath, false);
    const { directory, name } = this.#newName(toPath);
    if (node.kind === "directory") fail("EPERM");
    this.#enter(directory, name, node);
    node.nlink++;
    return OK;
  }

  #symlink(target: string, path: string): Outcome {
    const { directory, name } = this.#newName(path);
    const gid = inheritedGid(directory);
    this.#enter(directory, name, { ...base, kind: "symlink", mode: 0o777, gid, nlink: 1, target });
    return OK;
  }

  /** The place of a new entry that is no directory. */
  #newName(path: string): { directory: DirectoryNode; name: string } {
    const { directory, name, slash } = this.#last(path);
    if (name === null || directory.entries.has(name)) fail("EEXIST");
    if (slash) fail("ENOENT");
    return { directory, name };
  }

  /** Adds an entry; the caller counts the link of what is no directory. */
  #enter(directory: DirectoryNode, name: string, node: Node): void {
    directory.entries.set(name, node);
    directory.mtimeMs = null;
    if (node.kind === "directory") {
      node.parent = directory;
      directory.nlink++;
    }
  }

  #leave(directory: DirectoryNode, name: string): void {
    const node = directory.entries.get(name);
    if (node === undefined) return;
    directory.entries.delete(name);
    directory.mtimeMs = null;
    if (node.kind === "directory") directory.nlink--;
    else node.nlink--;
  }

  #resolve(path: string, follow: boolean): Node {
    const links = { count: 0 };
    let last = this.#last(path, this.#root, links);
    for (;;) {
      if (last.name === null) return last.directory;
      const node = last.directory.entries.get(last.name);
      if (node === undefined) fail("ENOENT");
      if (node.kind === "symlink" && (follow || last.slash)) {
        if (++links.count > SYMLINKS_MAX) fail("ELOOP");
        node.atimeMs = null;
        const next = this.#last(node.target, last.directory, links);
        last = { ...next, slash: next.slash || last.slash };
        continue;
      }
      if (last.slash && node.kind !== "directory") fail("ENOTDIR");
      return node;
    }
  }

  #last(path: string, from: DirectoryNode = this.#root, links = { count: 0 }): Last {
    let at = path.startsWith("/") ? this.#root : from;
    const parts = path.split("/").filter((part) => part !== "");
    const slash = path.endsWith("/");
    const name = parts.pop();
    for (const part of parts) at = this.#step(at, part, links);
    if (name === undefined) return { directory: at, name: null, ends: "root", slash };
    if (name === ".") return { directory: at, name: null, ends: "dot", slash };
    if (name === "..") return { directory: at.parent, name: null, ends: "dotdot", slash };
    return { directory: at, name, ends: "name", slash };
  }

  /** One part of a path that must lead to a directory. */
  #step(at: DirectoryNode, part: string, links: { count: number }): DirectoryNode {
    if (part === ".") return at;
    if (part === "..") return at.parent;
    const node = at.entries.get(part);
    if (node === undefined) fail("ENOENT");
    if (node.kind === "file") fail("ENOTDIR");
    if (node.kind === "directory") return node;
    if (++links.count > SYMLINKS_MAX) fail("ELOOP");
    node.atimeMs = null;
    let next = node.target.startsWith("/") ? this.#root : at;
    for (const each of node.target.split("/")) if (each !== "") next = this.#step(next, each, links);
    return next;
  }
}

function truncate(node: FileNode, length: number): void {
  node.bytes.truncate(length);
  node.mtimeMs = null;
}

function inheritedGid(directory: DirectoryNode): number {
  return directory.mode & 0o2000 ? directory.gid : 0;
}

/** Is `directory` the other one, or somewhere in it? */
function isInside(directory: DirectoryNode, other: DirectoryNode): boolean {
  for (let at = directory;; at = at.parent) {
    if (at === other) return true;
    if (at.parent === at) return false;
  }
}

function statOf(node: Node): StatOutcome {
  let size = 0;
  if (node.kind === "file") size = node.bytes.length;
  else if (node.kind === "symlink") size = node.target.length;
  return {
    kind: node.kind,
    mode: node.mode,
    // An open directory without a name has none; what files show then is the same everywhere.
    nlink: node.nlink,
    uid: node.uid,
    gid: node.gid,
    size,
    atimeMs: node.atimeMs,
    mtimeMs: node.mtimeMs,
  };
}

/**
 * Walks slash-separated byte paths over a {@link Vfs}, as path_resolution(7) says: what the kernel does for a mount,
 * for programs that use a volume without one.
 *
 * Invariants of a {@link Walk}:
 * - `#trail` is the directories from the root to where the walk stands; `..` goes back along it, so it always leads to
 *   the directory the walk came from (through symbolic links: the directory they led to, as in the kernel).
 * - Every reference that a lookup gave is in `#held` until `end` gives it back or `keep` hands it to the caller. `end`
 *   runs once, in a `finally`.
 * A walk belongs to one operation; nothing else touches it at its awaits. The tree may change between two of its
 * lookups, as it may under the kernel: what counts is the last call, which the operation surface makes atomic.
 */
import { FsError } from "../errors.ts";
import { NAME_BYTES_MAX, ROOT_INO } from "../limits.ts";
import { type Attr, type Caller, S_IFDIR, S_IFLNK, S_IFMT, type Vfs } from "./types.ts";

/** Symbolic links followed in one path before ELOOP: MAXSYMLINKS of Linux. */
export const SYMLINKS_FOLLOWED_MAX = 40;

const SLASH = 0x2f;
const DOT = 0x2e;
const utf8 = new TextEncoder();

/** A path as its bytes. EINVAL for a NUL and for a string that has no UTF-8 form; ENOENT for the empty path. */
export function pathBytes(path: string | Uint8Array): Uint8Array {
  if (typeof path === "string" && !path.isWellFormed()) {
    throw new FsError("EINVAL", "lone surrogate in a path");
  }
  const bytes = typeof path === "string" ? utf8.encode(path) : path;
  if (bytes.length === 0) throw new FsError("ENOENT", "empty path");
  if (bytes.includes(0)) throw new FsError("EINVAL", "NUL in a path");
  return bytes;
}

/** The non-empty parts between slashes. */
export function splitPath(path: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < path.length;) {
    let end = path.indexOf(SLASH, start);
    if (end < 0) end = path.length;
    if (end > start) parts.push(path.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

function isDot(name: Uint8Array): boolean {
  return name.length === 1 && name[0] === DOT;
}
function isDotDot(name: Uint8Array): boolean {
  return name.length === 2 && name[0] === DOT && name[1] === DOT;
}

/** What a path ends with, after its directory was walked to. */
export interface LastPart {
  /** The directory that has, or is to have, the entry. */
  readonly parent: number;
  /** The entry's name; null when the path ends in `.`, `..` or is the root, so it names `parent`'s position itself. */
  readonly name: Uint8Array | null;
  readonly endsIn: "name" | "dot" | "dotdot" | "root";
  /** A slash follows the name: it must be a directory. */
  readonly trailingSlash: boolean;
}

/** A file that a walk found. The walk holds the reference to it. */
export interface Target {
  readonly ino: number;
  readonly attr: Attr;
}

export class Walk {
  readonly #vfs: Vfs;
  readonly #caller: Caller;
  #trail: number[] = [ROOT_INO];
  /** The name of each directory of the trail but the root. */
  #names: Uint8Array[] = [];
  #held: number[] = [];
  #linksFollowed = 0;

  constructor(vfs: Vfs, caller: Caller) {
    this.#vfs = vfs;
    this.#caller = caller;
  }

  /** The directory where the walk stands. */
  get directory(): number {
    return this.#trail[this.#trail.length - 1] ?? ROOT_INO;
  }

  /** Is this directory on the way from the root to where the walk stands? */
  passed(ino: number): boolean {
    return this.#trail.includes(ino);
  }

  /** Names from the root to where the walk stands. */
  get directoryNames(): readonly Uint8Array[] {
    return this.#names;
  }

  /** Walks to the directory of the path's last part, which may or may not exist. */
  async toLastPart(path: Uint8Array): Promise<LastPart> {
    const parts = splitPath(path);
    if (path[0] === SLASH) this.#toRoot();
    const last = parts.pop();
    const trailingSlash = path[path.length - 1] === SLASH;
    await this.#walkDirectories(parts);
    if (last === undefined) return { parent: this.directory, name: null, endsIn: "root", trailingSlash };
    if (isDot(last)) return { parent: this.directory, name: null, endsIn: "dot", trailingSlash };
    if (isDotDot(last)) {
      this.#toParent();
      return { parent: this.directory, name: null, endsIn: "dotdot", trailingSlash };
    }
    return { parent: this.directory, name: last, endsIn: "name", trailingSlash };
  }

  /** One lookup; the reference is held. */
  async lookup(parent: number, name: Uint8Array): Promise<Target> {
    // Before the call, because the name may be longer than any message of an adapter can be.
    if (name.length > NAME_BYTES_MAX) throw new FsError("ENAMETOOLONG", "file name too long");
    const { attr } = await this.#vfs.lookup(this.#caller, parent, name);
    this.#held.push(attr.ino);
    return { ino: attr.ino, attr };
  }

  /** The file at the path. `follow`: also a symbolic link in its last part. */
  async toTarget(path: Uint8Array, follow: boolean): Promise<Target> {
    let at = path;
    for (;;) {
      const last = await this.toLastPart(at);
      if (last.name === null) return await this.here();
      const target = await this.lookup(last.parent, last.name);
      const kind = target.attr.mode & S_IFMT;
      if (kind === S_IFLNK && (follow || last.trailingSlash)) {
        const link = await this.followed(target);
        // A slash behind the link asks for a directory behind it too, but only of what the link's own end names.
        at = last.trailingSlash ? withSlash(link) : link;
        continue;
      }
      if (kind === S_IFDIR) this.#push(target.ino, last.name);
      else if (last.trailingSlash) throw new FsError("ENOTDIR", "not a directory");
      else this.#names = [...this.#names, last.name];
      return target;
    }
  }

  /** The directory where the walk stands, with its attributes. */
  async here(): Promise<Target> {
    const { attr } = await this.#vfs.getattr(this.#caller, this.directory, 0);
    return { ino: this.directory, attr };
  }

  /** The path in a symbolic link, counted against the bound. It is relative to where the walk stands. */
  async followed(link: Target): Promise<Uint8Array> {
    if (++this.#linksFollowed > SYMLINKS_FOLLOWED_MAX) {
      throw new FsError("ELOOP", "too many levels of symbolic links");
    }
    const path = await this.#vfs.readlink(this.#caller, link.ino);
    if (path.length === 0) throw new FsError("ENOENT", "empty symbolic link");
    return path;
  }

  /** Hands one reference to `ino` to the caller, who forgets it. False if there is none: the root is not referenced. */
  keep(ino: number): boolean {
    const index = this.#held.lastIndexOf(ino);
    if (index < 0) return false;
    this.#held.splice(index, 1);
    return true;
  }

  /** Takes a reference that a call other than lookup gave. */
  hold(ino: number): void {
    this.#held.push(ino);
  }

  /** Gives back all references. */
  end(): void {
    for (const ino of this.#held) this.#vfs.forget(ino, 1);
    this.#held = [];
  }

  #toRoot(): void {
    this.#trail = [ROOT_INO];
    this.#names = [];
  }

  #toParent(): void {
    if (this.#trail.length > 1) {
      this.#trail.pop();
      this.#names.pop();
    }
  }

  #push(ino: number, name: Uint8Array): void {
    this.#trail.push(ino);
    this.#names.push(name);
  }

  /** Every part must lead to a directory; links are followed. */
  async #walkDirectories(parts: readonly Uint8Array[]): Promise<void> {
    const pending = parts.toReversed();
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (isDot(part)) continue;
      if (isDotDot(part)) {
        this.#toParent();
        continue;
      }
      const target = await this.lookup(this.directory, part);
      const kind = target.attr.mode & S_IFMT;
      if (kind === S_IFDIR) {
        this.#push(target.ino, part);
      } else if (kind === S_IFLNK) {
        const link = await this.followed(target);
        if (link[0] === SLASH) this.#toRoot();
        for (const next of splitPath(link).reverse()) pending.push(next);
      } else {
        throw new FsError("ENOTDIR", "not a directory");
      }
    }
  }
}

function withSlash(path: Uint8Array): Uint8Array {
  if (path[path.length - 1] === SLASH) return path;
  const longer = new Uint8Array(path.length + 1);
  longer.set(path);
  longer[path.length] = SLASH;
  return longer;
}

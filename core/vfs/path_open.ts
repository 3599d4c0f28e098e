/** open(2) for the library: the rules about flags and the last part of the path, which a kernel follows for a mount. */
import { errnoOf, FsError } from "../errors.ts";
import type { Walk } from "./path_walk.ts";
import {
  type Caller,
  O_APPEND,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Vfs,
} from "./types.ts";

/** How to open a file, as Deno.OpenOptions has it. */
export interface OpenOptions {
  /** Default: true if neither `write` nor `append` is asked for. */
  readonly read?: boolean;
  readonly write?: boolean;
  /** Every write goes to the end of the file. Implies `write`. */
  readonly append?: boolean;
  /** Cut to no bytes. Needs `write`. */
  readonly truncate?: boolean;
  /** Make the file if there is none. Needs `write` or `append`. */
  readonly create?: boolean;
  /** Make the file, and fail with EEXIST if there is one or a link of that name. Needs `write` or `append`. */
  readonly createNew?: boolean;
  /** Permissions of a new file, less the umask. Default: 0o666. */
  readonly mode?: number;
}

export interface OpenPlan {
  /** Access mode, O_APPEND, O_TRUNC, O_EXCL. */
  readonly flags: number;
  readonly create: boolean;
  readonly createNew: boolean;
  readonly mode: number;
}

/** EINVAL for options that contradict each other. */
export function openPlan(options: OpenOptions): OpenPlan {
  const append = options.append ?? false;
  const write = options.write ?? append;
  const read = options.read ?? !write;
  const createNew = options.createNew ?? false;
  const create = createNew || (options.create ?? false);
  const truncate = options.truncate ?? false;
  if (!read && !write) throw new FsError("EINVAL", "neither read nor write");
  if (append && !write) throw new FsError("EINVAL", "append without write");
  if (truncate && (!write || append)) throw new FsError("EINVAL", "truncate without write, or with append");
  if (create && !write) throw new FsError("EINVAL", "create without write");
  let flags = O_RDONLY;
  if (write) flags = read ? O_RDWR : O_WRONLY;
  if (append) flags |= O_APPEND;
  if (truncate) flags |= O_TRUNC;
  if (createNew) flags |= O_EXCL;
  return { flags, create, createNew, mode: (options.mode ?? 0o666) & 0o7777 };
}

export interface OpenedAt {
  readonly ino: number;
  readonly handle: number;
}

/** Times that a file may come and go between our lookup and our create before we give up. */
const ATTEMPTS_MAX = 16;

/** Opens, and creates if asked. The caller gets the handle and one reference to the file. */
export async function openAt(
  vfs: Vfs,
  caller: Caller,
  walk: Walk,
  path: Uint8Array,
  plan: OpenPlan,
  umask: number,
): Promise<OpenedAt> {
  let last = await walk.toLastPart(path);
  for (let attempt = 0; attempt < ATTEMPTS_MAX;) {
    // A directory, whatever is done with it; with O_CREAT also every path with a slash at its end.
    if (last.name === null) {
      if (plan.createNew) throw new FsError("EEXIST");
      throw new FsError("EISDIR");
    }
    if (plan.create && last.trailingSlash) throw new FsError("EISDIR");
    let target;
    try {
      target = await walk.lookup(last.parent, last.name);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" || !plan.create) throw error;
    }
    if (target === undefined) {
      try {
        const mode = S_IFREG | plan.mode;
        const created = await vfs.create(caller, last.parent, last.name, mode, plan.flags, umask);
        return { ino: created.attr.ino, handle: created.handle };
      } catch (error) {
        if (errnoOf(error) !== "EEXIST" || plan.createNew) throw error;
        // Somebody else made it since the lookup: open theirs.
        attempt++;
        continue;
      }
    }
    if (plan.createNew) throw new FsError("EEXIST");
    const kind = target.attr.mode & S_IFMT;
    if (kind === S_IFLNK) {
      const isDirectoryAsked = last.trailingSlash;
      last = await walk.toLastPart(await walk.followed(target));
      if (isDirectoryAsked) last = { ...last, trailingSlash: true };
      continue;
    }
    if (kind === S_IFDIR) throw new FsError("EISDIR");
    if (last.trailingSlash) throw new FsError("ENOTDIR");
    // Pipes, sockets and devices need a kernel behind them.
    if (kind !== S_IFREG) throw new FsError("ENXIO");
    try {
      const { handle } = await vfs.open(caller, target.ino, plan.flags, caller.uid !== 0);
      walk.keep(target.ino);
      return { ino: target.ino, handle };
    } catch (error) {
      // The name went away since the lookup: with `create` that means to make it anew.
      if (errnoOf(error) !== "ENOENT" || !plan.create) throw error;
      attempt++;
    }
  }
  throw new FsError("EBUSY", "the file keeps coming and going");
}

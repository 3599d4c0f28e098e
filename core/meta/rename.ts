/**
 * rename(2) and renameat2(2) with RENAME_NOREPLACE and RENAME_EXCHANGE: one commit.
 *
 * No loops: moving a directory checks, in the commit, the `parent` of every directory from its new place up to the root,
 * and moving a directory changes its `parent`: so of two moves that would make a loop together, one fails its checks.
 */
import { FsError } from "../errors.ts";
import { ROOT_INO } from "../limits.ts";
import { isDirectory, raiseCtime, S_IFMT } from "./attr.ts";
import type { MetaContext } from "./context.ts";
import { requireMayAdd, requireMayTake, requireNotFixed } from "./inode_flags.ts";
import {
  checkName,
  directoryChange,
  directoryCheck,
  dropDirectory,
  dropName,
  requireDirectory,
  type Unlinked,
} from "./namespace.ts";
import type { InodeRow } from "./schema.ts";
import { type Check, checkAbsent, checkColumns, put, remove, update, type Write } from "./store.ts";
import { transact, type View } from "./transact.ts";

/** Deeper trees than this are refused in moves of directories: a bound for the walk, far over what PATH_MAX allows. */
const DEPTH_MAX = 10_000;

export interface Place {
  readonly parent: number;
  readonly name: Uint8Array;
}

export interface Renamed {
  readonly moved: InodeRow;
  /** The file that lost its name to the moved one. */
  readonly replaced: Unlinked | null;
}

/**
 * Moves `from` to `to`. `noReplace`: EEXIST if `to` exists. `isOpen` says whether this client has a file open.
 * ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL (into itself), EMLINK, ENAMETOOLONG.
 */
export function rename(
  ctx: MetaContext,
  from: Place,
  to: Place,
  noReplace: boolean,
  isOpen: (ino: number) => boolean,
): Promise<Renamed> {
  checkName(to.name);
  return transact<Renamed>(ctx, async (view) => {
    const [[source, target], fromDir, toDir] = await Promise.all([
      view.edges([[from.parent, from.name], [to.parent, to.name]]),
      view.inode(from.parent),
      view.inode(to.parent),
    ]);
    if (source === null || source === undefined) throw new FsError("ENOENT");
    requireDirectory(fromDir);
    requireDirectory(toDir);
    if (target && noReplace) throw new FsError("EEXIST");
    const sourceCheck = checkColumns("edges", [from.parent, from.name], { ino: source.ino });
    // Two names of one file: rename does nothing (POSIX rename()).
    if (target && target.ino === source.ino) {
      const targetCheck = checkColumns("edges", [to.parent, to.name], { ino: target.ino });
      return {
        checks: [sourceCheck, targetCheck],
        writes: [],
        done: () => ({ moved: source, replaced: null }),
      };
    }
    requireMayTake(fromDir);
    requireNotFixed(source);
    if (target) requireMayTake(toDir);
    else requireMayAdd(toDir);
    const isDir = isDirectory(source.mode);
    const checks: Check[] = [directoryCheck(fromDir), sourceCheck, flagsCheck(source)];
    if (fromDir.ino !== toDir.ino) checks.push(directoryCheck(toDir));
    if (isDir && fromDir.ino !== toDir.ino) checks.push(...await ancestorChecks(view, source.ino, toDir));

    const time = ctx.env.now();
    const writes: Write[] = [remove("edges", [from.parent, from.name])];
    let replaced: Unlinked | null = null;
    let emptyCheck = -1;
    if (!target) {
      checks.push(checkAbsent("edges", [to.parent, to.name]));
    } else {
      checks.push(checkColumns("edges", [to.parent, to.name], { ino: target.ino }));
      if (isDirectory(target.mode)) {
        if (!isDir) throw new FsError("EISDIR");
        const dropped = dropDirectory(ctx, target, time);
        emptyCheck = checks.length;
        checks.push(...dropped.checks);
        writes.push(...dropped.writes);
        replaced = { before: target, last: true, sustained: false, deleted: target.xattrBytes > 0 };
      } else {
        if (isDir) throw new FsError("ENOTDIR");
        const dropped = dropName(ctx, target, isOpen(target.ino), time);
        checks.push(...dropped.checks);
        writes.push(...dropped.writes);
        replaced = dropped.outcome;
      }
    }
    writes.push(
      put("edges", [to.parent, to.name], { ino: source.ino, mode: source.mode & S_IFMT }),
      update("inodes", [source.ino], { set: isDir ? { parent: to.parent } : {}, raise: raiseCtime(time) }),
    );
    // A moved directory takes its `..` along; a replaced one gives its own up.
    const lostDir = target && isDirectory(target.mode) ? 1 : 0;
    if (fromDir.ino === toDir.ino) writes.push(directoryChange(fromDir, -lostDir, time));
    else {
      const movedDir = isDir ? 1 : 0;
      writes.push(
        directoryChange(fromDir, -movedDir, time),
        directoryChange(toDir, movedDir - lostDir, time),
      );
    }
    return {
      checks,
      writes,
      failure: (failed) =>
        emptyCheck >= 0 && failed.includes(emptyCheck) ? new FsError("ENOTEMPTY") : undefined,
      done: () => ({ moved: source, replaced }),
    };
  });
}

/** Swaps two names, of files of any kinds. ENOENT unless both exist. */
export function exchange(ctx: MetaContext, a: Place, b: Place): Promise<void> {
  return transact(ctx, async (view) => {
    const [[first, second], aDir, bDir] = await Promise.all([
      view.edges([[a.parent, a.name], [b.parent, b.name]]),
      view.inode(a.parent),
      view.inode(b.parent),
    ]);
    if (!first || !second) throw new FsError("ENOENT");
    const checks: Check[] = [
      directoryCheck(aDir),
      checkColumns("edges", [a.parent, a.name], { ino: first.ino }),
      checkColumns("edges", [b.parent, b.name], { ino: second.ino }),
    ];
    if (first.ino === second.ino) return { checks, writes: [], done: () => {} };
    requireMayTake(aDir);
    requireMayTake(bDir);
    requireNotFixed(first);
    requireNotFixed(second);
    checks.push(flagsCheck(first), flagsCheck(second));
    const time = ctx.env.now();
    const writes: Write[] = [
      put("edges", [a.parent, a.name], { ino: second.ino, mode: second.mode & S_IFMT }),
      put("edges", [b.parent, b.name], { ino: first.ino, mode: first.mode & S_IFMT }),
    ];
    const firstIsDir = isDirectory(first.mode);
    const secondIsDir = isDirectory(second.mode);
    writes.push(
      update("inodes", [first.ino], { set: firstIsDir ? { parent: b.parent } : {}, raise: raiseCtime(time) }),
      update("inodes", [second.ino], {
        set: secondIsDir ? { parent: a.parent } : {},
        raise: raiseCtime(time),
      }),
    );
    if (aDir.ino === bDir.ino) writes.push(directoryChange(aDir, 0, time));
    else {
      checks.push(directoryCheck(bDir));
      if (firstIsDir) checks.push(...await ancestorChecks(view, first.ino, bDir));
      if (secondIsDir) checks.push(...await ancestorChecks(view, second.ino, aDir));
      const moved = (firstIsDir ? 1 : 0) - (secondIsDir ? 1 : 0);
      writes.push(directoryChange(aDir, -moved, time), directoryChange(bDir, moved, time));
    }
    return { checks, writes, done: () => {} };
  });
}

const flagsCheck = (row: InodeRow): Check => checkColumns("inodes", [row.ino], { flags: row.flags });

/** Checks that pin the way from `directory` to the root; EINVAL if it leads through `moved`. */
async function ancestorChecks(view: View, moved: number, directory: InodeRow): Promise<Check[]> {
  const checks: Check[] = [];
  let row = directory;
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    if (row.ino === moved) throw new FsError("EINVAL", "a directory cannot move into itself");
    if (row.ino === ROOT_INO) return checks;
    checks.push(checkColumns("inodes", [row.ino], { parent: row.parent }));
    row = await view.inode(row.parent);
  }
  throw new FsError("EINVAL", "the directory tree is too deep");
}

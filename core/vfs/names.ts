/** Operations on names: lookup, create, link, unlink, rename. */
import { FsError } from "../errors.ts";
import { ROOT_INO } from "../limits.ts";
import { isDirectory, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../meta/attr.ts";
import { requireNotImmutable } from "../meta/inode_flags.ts";
import type { NewFile, Unlinked } from "../meta/namespace.ts";
import type { InodeRow } from "../meta/schema.ts";
import { entry, requireWritable, type VfsContext } from "./context.ts";
import { decidingAcl, mustCheck, R_OK, requireAccess, requireNotSticky, W_OK, X_OK } from "./permission.ts";
import { type Caller, type Entry, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from "./types.ts";

type Name = Uint8Array;

const DOT = 0x2e;

export function namesOf(ctx: VfsContext) {
  const { engine, nodes, options } = ctx;

  /** Where permissions are checked here: the directory must let the caller search it, and change it if asked. */
  async function requireDirectoryAccess(
    caller: Caller,
    ino: number,
    rights: number,
  ): Promise<InodeRow | null> {
    if (!mustCheck(options, caller)) return null;
    const directory = await engine.getattr(ino);
    requireAccess(directory, caller, rights, await decidingAcl(engine, directory, caller));
    return directory;
  }

  /** The same for an entry that is to be removed or replaced. */
  async function requireMayRemove(caller: Caller, parent: number, name: Name): Promise<void> {
    const directory = await requireDirectoryAccess(caller, parent, W_OK | X_OK);
    if (directory !== null) requireNotSticky(directory, await engine.lookup(parent, name), caller);
  }

  /** A directory that gets another parent has its `..` changed: rename(2). */
  async function requireMayMove(caller: Caller, parent: number, name: Name): Promise<void> {
    const row = await engine.lookup(parent, name);
    if (!isDirectory(row.mode)) return;
    requireAccess(row, caller, W_OK, await decidingAcl(engine, row, caller));
  }

  async function create(caller: Caller, parent: number, name: Name, file: Omit<NewFile, "uid" | "gid">) {
    requireWritable(ctx);
    await requireDirectoryAccess(caller, parent, W_OK | X_OK);
    return await engine.create(parent, name, { ...file, uid: caller.uid, gid: caller.gid });
  }

  /** Runs a removal with the rule of nodes.ts: opens of a file that is being removed wait for the outcome. */
  async function removing<T>(operation: (isOpen: (ino: number) => boolean) => Promise<T>): Promise<T> {
    let settle = () => {};
    const settled = new Promise<void>((resolve) => settle = resolve);
    let victim = 0;
    try {
      return await operation((ino) => {
        victim = ino;
        return nodes.isOpen(ino, settled);
      });
    } finally {
      nodes.endRemoval(victim, settled);
      settle();
    }
  }

  /** After the commit: the file lost a name. */
  async function unlinked(outcome: Unlinked): Promise<void> {
    if (!outcome.last) return;
    const { ino } = outcome.before;
    if (outcome.sustained) return await sustain(ino);
    const node = nodes.get(ino);
    if (node !== undefined) node.ghost = ghostOf(outcome.before);
    ctx.data.discard(ino);
    if (outcome.deleted) ctx.wakeReclaim();
  }

  /** The commit kept a file that was open when it was planned. If its last close came meanwhile, nobody else lets it go. */
  function sustain(ino: number): Promise<void> {
    return removing(async (isOpen) => {
      if (isOpen(ino)) {
        const node = nodes.get(ino);
        if (node !== undefined) node.sustained = true;
        return;
      }
      ctx.data.discard(ino);
      if (await engine.releaseSustained(ino)) ctx.wakeReclaim();
    });
  }

  const ghostOf = (row: InodeRow): InodeRow => {
    const { sec, nsec } = ctx.env.now();
    return { ...row, nlink: 0, ctime: sec, ctimeNsec: nsec };
  };

  return {
    lookup(caller: Caller, parent: number, name: Name): Entry | Promise<Entry> {
      // `.` and `..` are asked for only by those who export the file system or hold a stale directory.
      if (name.length <= 2 && name[0] === DOT && (name.length === 1 || name[1] === DOT)) {
        return dots(parent, name.length === 2).then((row) => entry(ctx, row));
      }
      if (mustCheck(options, caller)) {
        return requireDirectoryAccess(caller, parent, X_OK).then(() => engine.lookup(parent, name))
          .then((row) => entry(ctx, row));
      }
      const row = engine.lookup(parent, name);
      return row instanceof Promise ? row.then((row) => entry(ctx, row)) : entry(ctx, row);
    },

    create,

    async mknod(
      caller: Caller,
      parent: number,
      name: Name,
      mode: number,
      rdev: number,
      umask: number,
    ): Promise<Entry> {
      // A mode without type bits means a regular file: mknod(2).
      if ((mode & S_IFMT) === 0) mode |= S_IFREG;
      if ((mode & S_IFMT) === S_IFDIR || (mode & S_IFMT) === S_IFLNK) throw new FsError("EINVAL");
      return entry(ctx, await create(caller, parent, name, { mode, rdev, umask }));
    },

    async mkdir(caller: Caller, parent: number, name: Name, mode: number, umask: number): Promise<Entry> {
      return entry(ctx, await create(caller, parent, name, { mode: (mode & 0o7777) | S_IFDIR, umask }));
    },

    async symlink(caller: Caller, parent: number, name: Name, target: Uint8Array): Promise<Entry> {
      return entry(
        ctx,
        await create(caller, parent, name, { mode: S_IFLNK | 0o777, target: target.slice() }),
      );
    },

    async link(caller: Caller, ino: number, newParent: number, newName: Name): Promise<Entry> {
      requireWritable(ctx);
      await requireDirectoryAccess(caller, newParent, W_OK | X_OK);
      const node = nodes.get(ino);
      const row = await engine.link(ino, newParent, newName, node?.sustained);
      if (node !== undefined) node.sustained = false;
      return entry(ctx, row);
    },

    async unlink(caller: Caller, parent: number, name: Name): Promise<void> {
      requireWritable(ctx);
      await requireMayRemove(caller, parent, name);
      await unlinked(await removing((isOpen) => engine.unlink(parent, name, isOpen)));
    },

    async rmdir(caller: Caller, parent: number, name: Name): Promise<void> {
      requireWritable(ctx);
      if (name.length === 1 && name[0] === DOT) throw new FsError("EINVAL");
      if (name.length === 2 && name[0] === DOT && name[1] === DOT) throw new FsError("ENOTEMPTY");
      await requireMayRemove(caller, parent, name);
      const victim = await engine.rmdir(parent, name);
      const node = nodes.get(victim.ino);
      if (node !== undefined) node.ghost = ghostOf(victim);
      if (victim.xattrBytes > 0) ctx.wakeReclaim();
    },

    async rename(
      caller: Caller,
      parent: number,
      name: Name,
      newParent: number,
      newName: Name,
      flags: number,
    ): Promise<void> {
      requireWritable(ctx);
      if (flags & RENAME_WHITEOUT) throw new FsError("EINVAL", "whiteouts are not supported");
      if ((flags & RENAME_EXCHANGE) && (flags & RENAME_NOREPLACE)) throw new FsError("EINVAL");
      if (mustCheck(options, caller)) {
        await requireMayRemove(caller, parent, name);
        await requireMayRemove(caller, newParent, newName).catch((error) => {
          if (!(error instanceof FsError) || error.code !== "ENOENT") throw error;
        });
        if (parent !== newParent) {
          await requireMayMove(caller, parent, name);
          if (flags & RENAME_EXCHANGE) await requireMayMove(caller, newParent, newName);
        }
      }
      const from = { parent, name };
      const to = { parent: newParent, name: newName };
      if (flags & RENAME_EXCHANGE) return await engine.exchange(from, to);
      const { replaced } = await removing((isOpen) =>
        engine.rename(from, to, (flags & RENAME_NOREPLACE) !== 0, isOpen)
      );
      if (replaced === null) return;
      if (isDirectory(replaced.before.mode)) {
        const node = nodes.get(replaced.before.ino);
        if (node !== undefined) node.ghost = ghostOf(replaced.before);
        if (replaced.deleted) ctx.wakeReclaim();
      } else await unlinked(replaced);
    },

    async readlink(_caller: Caller, ino: number): Promise<Uint8Array> {
      const row = engine.cached(ino);
      if (row !== undefined) ctx.accessTimes.noteRead(row);
      return await engine.readlink(ino);
    },

    async access(caller: Caller, ino: number, mask: number): Promise<void> {
      const row = await engine.getattr(ino);
      if ((mask & W_OK) !== 0) {
        requireWritable(ctx);
        requireNotImmutable(row);
      }
      requireAccess(row, caller, mask & (R_OK | W_OK | X_OK), await decidingAcl(engine, row, caller));
    },

    requireDirectoryAccess,
  };

  async function dots(ino: number, isParent: boolean): Promise<InodeRow> {
    const row = await engine.getattr(ino);
    if (!isDirectory(row.mode)) throw new FsError("ENOTDIR");
    return isParent ? await engine.getattr(row.parent === 0 ? ROOT_INO : row.parent) : row;
  }
}

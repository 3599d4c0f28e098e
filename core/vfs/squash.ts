/**
 * Other identities for callers and owners.
 *
 * Squashing is what exports(5) of NFS calls by that name: root, or everybody, is the anonymous user. The kernel checks
 * permissions of the identity that it knows, so what a squashed caller may is checked behind this (`unchecked`), and a
 * write of it clears set-user-ID as any unprivileged user's does.
 *
 * An owner that is shown replaces what the volume records, as vfat(5) and cifs(8) do it: every file is shown as owned by
 * `owner.uid` and `owner.gid`. Chown to what is shown anyway changes nothing, to anything else it is EPERM.
 */
import { FsError } from "../errors.ts";
import type { AttrReply, Caller, MaybePromise, SetAttr, Vfs } from "./types.ts";

export interface SquashOptions {
  /** Whose identity is replaced. */
  readonly squash: "none" | "root" | "all";
  /** Whom they are. */
  readonly anonymous: { readonly uid: number; readonly gid: number };
  /** Who is shown as owner and group of every file. */
  readonly owner: { readonly uid?: number; readonly gid?: number };
}

/** `nobody` and `nogroup`, the anonymous user of exports(5). */
export const ANONYMOUS_ID = 65_534;

/** A caller under another identity; interrupts reach whichever object the operation waits on. */
class SquashedCaller implements Caller {
  readonly unchecked = true;

  constructor(
    private readonly real: Caller,
    readonly uid: number,
    readonly gid: number,
    private readonly keepsGroups: boolean,
  ) {}

  get pid(): number {
    return this.real.pid;
  }
  get interrupted(): boolean | undefined {
    return this.real.interrupted;
  }
  set interrupted(value: boolean | undefined) {
    this.real.interrupted = value;
  }
  get onInterrupt(): (() => void) | undefined {
    return this.real.onInterrupt;
  }
  set onInterrupt(value: (() => void) | undefined) {
    this.real.onInterrupt = value;
  }

  inGroup(gid: number): boolean {
    return this.keepsGroups && gid !== 0 && this.real.inGroup?.(gid) === true;
  }
}

/** `vfs` with other identities; `vfs` itself if all stay what they are. */
export function squashed(vfs: Vfs, { squash, anonymous, owner: { uid, gid } }: SquashOptions): Vfs {
  const owner = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
  const showsOwner = uid !== undefined || gid !== undefined;
  if (squash === "none" && !showsOwner) return vfs;

  function as(caller: Caller): Caller {
    if (squash === "none") return caller;
    if (squash === "all") return new SquashedCaller(caller, anonymous.uid, anonymous.gid, false);
    if (caller.uid === 0) return new SquashedCaller(caller, anonymous.uid, anonymous.gid, false);
    return caller.gid === 0 ? new SquashedCaller(caller, caller.uid, anonymous.gid, true) : caller;
  }
  /** Does this caller's write clear set-user-ID although the kernel did not ask for it? */
  const kills = (caller: Caller): boolean => caller.unchecked === true && caller.uid !== 0;

  function shown<R extends AttrReply>(reply: R): R {
    return { ...reply, attr: { ...reply.attr, ...owner } };
  }
  function answer<R extends AttrReply>(reply: MaybePromise<R>): MaybePromise<R> {
    if (!showsOwner) return reply;
    return reply instanceof Promise ? reply.then(shown) : shown(reply);
  }

  /** The change without an owner that is shown anyway. */
  function ownerKept(change: SetAttr): SetAttr {
    const keeps = (wanted: number | undefined, fixed: number | undefined) => {
      if (wanted === undefined || fixed === undefined) return wanted;
      if (wanted !== fixed) {
        throw new FsError("EPERM", "the mount shows another owner than the volume records");
      }
      return undefined;
    };
    return { ...change, uid: keeps(change.uid, uid), gid: keeps(change.gid, gid) };
  }

  return {
    lookup: (caller, parent, name) => answer(vfs.lookup(as(caller), parent, name)),
    forget: (ino, count) => vfs.forget(ino, count),
    getattr: (caller, ino, handle) => answer(vfs.getattr(as(caller), ino, handle)),
    setattr(caller, ino, change) {
      const who = as(caller);
      const wanted = showsOwner ? ownerKept(change) : change;
      const isCut = wanted.length !== undefined && kills(who);
      return answer(vfs.setattr(who, ino, isCut ? { ...wanted, killSuidGid: true } : wanted));
    },
    readlink: (caller, ino) => vfs.readlink(as(caller), ino),
    mknod: (caller, parent, name, mode, rdev, umask) =>
      answer(vfs.mknod(as(caller), parent, name, mode, rdev, umask)),
    mkdir: (caller, parent, name, mode, umask) => answer(vfs.mkdir(as(caller), parent, name, mode, umask)),
    symlink: (caller, parent, name, target) => answer(vfs.symlink(as(caller), parent, name, target)),
    link: (caller, ino, newParent, newName) => answer(vfs.link(as(caller), ino, newParent, newName)),
    unlink: (caller, parent, name) => vfs.unlink(as(caller), parent, name),
    rmdir: (caller, parent, name) => vfs.rmdir(as(caller), parent, name),
    rename: (caller, parent, name, newParent, newName, flags) =>
      vfs.rename(as(caller), parent, name, newParent, newName, flags),
    create: (caller, parent, name, mode, flags, umask) =>
      answer(vfs.create(as(caller), parent, name, mode, flags, umask)),
    tmpfile: (caller, parent, mode, flags, umask) =>
      answer(vfs.tmpfile(as(caller), parent, mode, flags, umask)),
    open(caller, ino, flags, killSuidGid) {
      const who = as(caller);
      return vfs.open(who, ino, flags, killSuidGid || kills(who));
    },
    read: (caller, ino, handle, offset, into) => vfs.read(as(caller), ino, handle, offset, into),
    write(caller, ino, handle, offset, data, killSuidGid, isAppend) {
      const who = as(caller);
      return vfs.write(who, ino, handle, offset, data, killSuidGid || kills(who), isAppend);
    },
    flush: (caller, ino, handle, lockOwner) => vfs.flush(as(caller), ino, handle, lockOwner),
    fsync: (caller, ino, handle, dataOnly) => vfs.fsync(as(caller), ino, handle, dataOnly),
    release: (ino, handle) => vfs.release(ino, handle),
    fallocate: (caller, ino, handle, mode, offset, length) =>
      vfs.fallocate(as(caller), ino, handle, mode, offset, length),
    lseek: (caller, ino, handle, offset, whence) => vfs.lseek(as(caller), ino, handle, offset, whence),
    copyFileRange: (caller, from, to, length) => vfs.copyFileRange(as(caller), from, to, length),
    getlk: (caller, ino, handle, lock) => vfs.getlk(as(caller), ino, handle, lock),
    setlk: (caller, ino, handle, lock, options) => vfs.setlk(as(caller), ino, handle, lock, options),
    flock: (caller, ino, handle, kind, options) => vfs.flock(as(caller), ino, handle, kind, options),
    opendir: (caller, ino) => vfs.opendir(as(caller), ino),
    readdir: (caller, ino, handle, offset, plus, sink) =>
      vfs.readdir(
        as(caller),
        ino,
        handle,
        offset,
        plus,
        showsOwner
          ? (name, entryIno, mode, cookie, attr, ...ttls) =>
            sink(name, entryIno, mode, cookie, attr === null ? null : { ...attr, ...owner }, ...ttls)
          : sink,
      ),
    releasedir: (ino, handle) => vfs.releasedir(ino, handle),
    fsyncdir: (caller, ino, handle, dataOnly) => vfs.fsyncdir(as(caller), ino, handle, dataOnly),
    statfs: (caller, ino) => vfs.statfs(as(caller), ino),
    getxattr: (caller, ino, name) => vfs.getxattr(as(caller), ino, name),
    setxattr: (caller, ino, name, value, flags) => vfs.setxattr(as(caller), ino, name, value, flags),
    listxattr: (caller, ino) => vfs.listxattr(as(caller), ino),
    removexattr: (caller, ino, name) => vfs.removexattr(as(caller), ino, name),
    getFlags: (caller, ino) => vfs.getFlags(as(caller), ino),
    setFlags: (caller, ino, flags, mask) => vfs.setFlags(as(caller), ino, flags, mask),
    access: (caller, ino, mask) => vfs.access(as(caller), ino, mask),
  };
}

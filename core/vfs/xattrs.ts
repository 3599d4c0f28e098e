/**
 * Extended attributes and ACLs as system calls see them: which names there are, who may ask and change, what a list shows.
 * Sources: xattr(7), setxattr(2), getxattr(2), listxattr(2), acl(5), and xattr_permission in Linux's fs/xattr.c.
 *
 * The kernel has checked namespaces and permissions for a mount; for everybody else it is done here (`mustCheck`).
 */
import { FsError } from "../errors.ts";
import { XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from "../limits.ts";
import { isDirectory, isRegular, S_ISVTX } from "../meta/attr.ts";
import type { InodeRow } from "../meta/schema.ts";
import { isAclKind, kindOf } from "../meta/special_xattrs.ts";
import { requireWritable, type VfsContext } from "./context.ts";
import { decidingAcl, isInGroup, mustCheck, R_OK, requireAccess, W_OK } from "./permission.ts";
import { type Caller, type SetXattrFlags, XATTR_CREATE, XATTR_REPLACE } from "./types.ts";

type Name = Uint8Array;

const latin1 = new TextDecoder("latin1");
const NAMESPACES = ["user.", "trusted.", "security."] as const;
const NO_DATA = new FsError("ENODATA");
const NO_LABELS = new FsError("ENOTSUP", "the file has no SELinux label");
type Namespace = typeof NAMESPACES[number] | "acl";

const SELINUX_NAME = new TextEncoder().encode("security.selinux");

function isSelinuxLabel(name: Name): boolean {
  return name.length === SELINUX_NAME.length && SELINUX_NAME.every((byte, i) => name[i] === byte);
}

export function xattrsOf(ctx: VfsContext) {
  const { engine, nodes, options } = ctx;

  /** ERANGE and ENOTSUP for names that cannot be, as ext4 answers them. */
  function namespaceOf(name: Name): Namespace {
    if (name.length === 0 || name.length > XATTR_NAME_BYTES_MAX) throw new FsError("ERANGE");
    if (name.includes(0)) throw new FsError("EINVAL", "NUL in a name");
    if (isAclKind(kindOf(name))) {
      if (!options.acl) throw new FsError("ENOTSUP", "the volume was formatted without ACLs");
      return "acl";
    }
    const text = latin1.decode(name.subarray(0, 9));
    const namespace = NAMESPACES.find((prefix) => text.startsWith(prefix));
    if (namespace === undefined) throw new FsError("ENOTSUP", "no such namespace");
    if (name.length === namespace.length) throw new FsError("EINVAL", "a namespace without a name");
    return namespace;
  }

  async function requireMayRead(caller: Caller, ino: number, namespace: Namespace): Promise<void> {
    if (namespace === "trusted." && caller.uid !== 0) throw new FsError("ENODATA");
    if (namespace !== "user.") return;
    const row = await engine.getattr(ino);
    if (!isRegular(row.mode) && !isDirectory(row.mode)) throw new FsError("ENODATA");
    requireAccess(row, caller, R_OK, await decidingAcl(engine, row, caller));
  }

  /** What `permit` of a change checks; ACLs are looked at before. */
  async function changePermit(
    caller: Caller,
    ino: number,
    namespace: Namespace,
  ): Promise<((row: InodeRow) => void) | undefined> {
    if (!mustCheck(options, caller)) return undefined;
    const acl = namespace === "user." ? await decidingAcl(engine, await engine.getattr(ino), caller) : null;
    return (row) => {
      const isOwner = caller.uid === 0 || caller.uid === row.uid;
      if (namespace === "acl" && !isOwner) throw new FsError("EPERM");
      if ((namespace === "trusted." || namespace === "security.") && caller.uid !== 0) {
        throw new FsError("EPERM");
      }
      if (namespace !== "user.") return;
      if (!isRegular(row.mode) && !isDirectory(row.mode)) throw new FsError("EPERM");
      if (isDirectory(row.mode) && (row.mode & S_ISVTX) !== 0 && !isOwner) throw new FsError("EPERM");
      requireAccess(row, caller, W_OK, acl);
    };
  }

  /** Only members of the file's group keep the set-group-ID bit when they set an ACL, as with chmod(2). */
  async function losesSgid(caller: Caller, ino: number): Promise<boolean> {
    if (!mustCheck(options, caller) || caller.uid === 0) return false;
    return !isInGroup(caller, (await engine.getattr(ino)).gid);
  }

  /** A removed directory that somebody still is in has nothing any more. */
  function isGhost(ino: number, error: unknown): boolean {
    return error instanceof FsError && error.code === "ENOENT" && (nodes.get(ino)?.ghost ?? null) !== null;
  }

  function get(ino: number, name: Name): Uint8Array | Promise<Uint8Array> {
    try {
      const value = engine.getxattr(ino, name);
      return value instanceof Promise ? value.catch((error) => refuse(ino, name, error)) : value;
    } catch (error) {
      return refuse(ino, name, error);
    }
  }

  function refuse(ino: number, name: Name, error: unknown): never {
    if (isGhost(ino, error)) throw NO_DATA;
    // A file system without labels says so, and `ls -l` asks once instead of once for each file.
    if (error instanceof FsError && error.code === "ENODATA" && isSelinuxLabel(name)) throw NO_LABELS;
    throw error;
  }

  return {
    getxattr(caller: Caller, ino: number, name: Name): Uint8Array | Promise<Uint8Array> {
      const namespace = namespaceOf(name);
      if (!mustCheck(options, caller)) return get(ino, name);
      return requireMayRead(caller, ino, namespace).then(() => get(ino, name));
    },

    async listxattr(caller: Caller, ino: number): Promise<readonly Name[]> {
      try {
        const names = await engine.listxattr(ino);
        // Who cannot read trusted attributes does not see that there are any.
        return caller.uid === 0 ? names : names.filter((name) => namespaceOf(name) !== "trusted.");
      } catch (error) {
        if (isGhost(ino, error)) return [];
        throw error;
      }
    },

    async setxattr(
      caller: Caller,
      ino: number,
      name: Name,
      value: Uint8Array,
      { flags = 0, killSgid = false }: SetXattrFlags = {},
    ): Promise<void> {
      requireWritable(ctx);
      const namespace = namespaceOf(name);
      if (value.length > XATTR_VALUE_BYTES_MAX) throw new FsError("E2BIG");
      if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) throw new FsError("EINVAL");
      await engine.setxattr(ino, name, value, {
        create: (flags & XATTR_CREATE) !== 0,
        replace: (flags & XATTR_REPLACE) !== 0,
        killSgid: killSgid || (namespace === "acl" && await losesSgid(caller, ino)),
      }, await changePermit(caller, ino, namespace));
    },

    async removexattr(caller: Caller, ino: number, name: Name): Promise<void> {
      requireWritable(ctx);
      const namespace = namespaceOf(name);
      await engine.removexattr(ino, name, await changePermit(caller, ino, namespace));
    },
  };
}

/**
 * Permission rules for callers that the kernel has not checked already: users of the library, and mounts without
 * `default_permissions`. Sources: path_resolution(7), POSIX 4.7 File Access Permissions, unlink(2), chmod(2), chown(2).
 */
import { FsError } from "../errors.ts";
import { type Acl, aclPermits } from "../meta/acl.ts";
import { isDirectory, S_ISVTX } from "../meta/attr.ts";
import type { MetaEngine } from "../meta/engine.ts";
import type { InodeRow } from "../meta/schema.ts";
import { XATTR_ACCESS_ACL } from "../meta/special_xattrs.ts";
import type { Caller, SetAttr } from "./types.ts";

export const R_OK = 4;
export const W_OK = 2;
export const X_OK = 1;

/** Must the rules be applied here to what this caller asks? */
export function mustCheck(options: { readonly checkPermissions: boolean }, caller: Caller): boolean {
  return options.checkPermissions || caller.unchecked === true;
}

/** By its own group or a supplementary one. */
export function isInGroup(caller: Caller, gid: number): boolean {
  return caller.gid === gid || caller.inGroup?.(gid) === true;
}

/**
 * The access ACL that decides what this caller may, null where the permission bits do: for root and the owner always. As
 * in Linux (acl_permission_check in fs/namei.c) the bits also decide where the group class has no rights at all.
 */
export function decidingAcl(
  engine: Pick<MetaEngine, "accessAcl">,
  row: InodeRow,
  caller: Caller,
): Acl | null | Promise<Acl | null> {
  if ((row.xattrKinds & XATTR_ACCESS_ACL) === 0) return null;
  if (caller.uid === 0 || caller.uid === row.uid || (row.mode & 0o070) === 0) return null;
  return engine.accessAcl(row);
}

/** True if the caller has all the asked rights. Root has them, but executes only what somebody may execute. `acl`: what
 *  `decidingAcl` gave. */
export function mayAccess(row: InodeRow, caller: Caller, rights: number, acl: Acl | null): boolean {
  if (caller.uid === 0) return (rights & X_OK) === 0 || isDirectory(row.mode) || (row.mode & 0o111) !== 0;
  if (acl !== null) return aclPermits(acl, row, caller.uid, (gid) => isInGroup(caller, gid), rights);
  let granted = row.mode & 7;
  if (caller.uid === row.uid) granted = (row.mode >> 6) & 7;
  else if (isInGroup(caller, row.gid)) granted = (row.mode >> 3) & 7;
  return (granted & rights) === rights;
}

/** Throws EACCES unless the caller has all the asked rights. */
export function requireAccess(row: InodeRow, caller: Caller, rights: number, acl: Acl | null): void {
  if (!mayAccess(row, caller, rights, acl)) throw new FsError("EACCES");
}

/** Throws EPERM where the sticky bit keeps the caller from removing or renaming an entry. */
export function requireNotSticky(directory: InodeRow, file: InodeRow, caller: Caller): void {
  if ((directory.mode & S_ISVTX) === 0 || caller.uid === 0) return;
  if (caller.uid !== directory.uid && caller.uid !== file.uid) throw new FsError("EPERM", "sticky directory");
}

/** Throws EPERM or EACCES where the caller may not make this change. */
export function requireMayChange(row: InodeRow, caller: Caller, change: SetAttr, acl: Acl | null): void {
  if (caller.uid === 0) return;
  const isOwner = caller.uid === row.uid;
  if (change.mode !== undefined && !isOwner) throw new FsError("EPERM");
  if (change.uid !== undefined && !(isOwner && change.uid === row.uid)) throw new FsError("EPERM");
  if (change.gid !== undefined && !(isOwner && (change.gid === row.gid || isInGroup(caller, change.gid)))) {
    throw new FsError("EPERM");
  }
  // Whoever may write may say that both are now; everything else is the owner's: utimensat(2).
  const touches = change.atime === "now" && change.mtime === "now";
  const setsTime = (change.atime !== undefined || change.mtime !== undefined) && !touches;
  if (setsTime && !isOwner) throw new FsError("EPERM");
  if (touches && !isOwner) requireAccess(row, caller, W_OK, acl);
}

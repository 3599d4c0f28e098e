/**
 * POSIX access control lists as Linux has them: acl(5), IEEE 1003.1e draft 17. Pure functions; who stores an ACL and when
 * stands in xattrs.ts, attributes.ts and namespace.ts.
 *
 * The stored form is the value of `system.posix_acl_access` and `system.posix_acl_default`, version 2 of
 * include/uapi/linux/posix_acl_xattr.h: u32 version, then for each entry u16 tag, u16 permissions, u32 id, little-endian.
 */
import { FsError } from "../errors.ts";
import { S_IFMT } from "./attr.ts";

export const ACL_USER_OBJ = 0x01;
export const ACL_USER = 0x02;
export const ACL_GROUP_OBJ = 0x04;
export const ACL_GROUP = 0x08;
export const ACL_MASK = 0x10;
export const ACL_OTHER = 0x20;
/** The id of entries that name nobody. */
export const ACL_UNDEFINED_ID = 0xffff_ffff;

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** The kernel asks with one page (fs/fuse/acl.c): a longer ACL could be stored, and never be read again. */
export const ACL_BYTES_MAX = 4096;

export interface AclEntry {
  readonly tag: number;
  /** Read 4, write 2, execute 1. */
  readonly perm: number;
  /** User or group of ACL_USER and ACL_GROUP; ACL_UNDEFINED_ID in the others. */
  readonly id: number;
}

/** Valid: owner, named users, owning group, named groups, mask (needed with named ones), others; in this order. */
export type Acl = readonly AclEntry[];

/**
 * The ACL in an attribute's value; null if it has no entries, which means "none". EINVAL for what is not an ACL, ENOTSUP for
 * another version, E2BIG.
 */
export function parseAcl(value: Uint8Array): Acl | null {
  if (value.length === 0) return null;
  if (value.length > ACL_BYTES_MAX) throw new FsError("E2BIG", "the ACL is too long");
  if (value.length < HEADER_BYTES) throw new FsError("EINVAL", "not an ACL");
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(0, true) !== VERSION) throw new FsError("ENOTSUP", "an ACL of an unknown version");
  if ((value.length - HEADER_BYTES) % ENTRY_BYTES !== 0) throw new FsError("EINVAL", "not an ACL");
  const entries: AclEntry[] = [];
  for (let at = HEADER_BYTES; at < value.length; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    const isNamed = tag === ACL_USER || tag === ACL_GROUP;
    entries.push({
      tag,
      perm: view.getUint16(at + 2, true),
      id: isNamed ? view.getUint32(at + 4, true) : ACL_UNDEFINED_ID,
    });
  }
  if (entries.length === 0) return null;
  requireValid(entries);
  return entries;
}

export function serializeAcl(acl: Acl): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(HEADER_BYTES + acl.length * ENTRY_BYTES);
  const view = new DataView(value.buffer);
  view.setUint32(0, VERSION, true);
  acl.forEach(({ tag, perm, id }, i) => {
    const at = HEADER_BYTES + i * ENTRY_BYTES;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, perm, true);
    view.setUint32(at + 4, id, true);
  });
  return value;
}

/** Entries in the order of their tags, the single ones exactly once, the mask where it is needed: acl_valid(3). */
function requireValid(entries: readonly AclEntry[]): void {
  const count = (tag: number) => entries.reduce((sum, entry) => sum + (entry.tag === tag ? 1 : 0), 0);
  const isValid = entries.every(({ tag, perm, id }, i) => {
    const before = entries[i - 1];
    const isNamed = tag === ACL_USER || tag === ACL_GROUP;
    // Tags are powers of two, so an unknown one is no order's business.
    return (tag & (tag - 1)) === 0 && tag >= ACL_USER_OBJ && tag <= ACL_OTHER && perm <= 7 &&
      (before === undefined || before.tag <= tag) && !(isNamed && id === ACL_UNDEFINED_ID);
  });
  const hasNamed = count(ACL_USER) + count(ACL_GROUP) > 0;
  if (
    !isValid || count(ACL_USER_OBJ) !== 1 || count(ACL_GROUP_OBJ) !== 1 || count(ACL_OTHER) !== 1 ||
    count(ACL_MASK) > 1 || (hasNamed && count(ACL_MASK) === 0)
  ) throw new FsError("EINVAL", "not a valid ACL");
}

/** The ACL that says what permission bits say. */
export function aclOfMode(mode: number): Acl {
  return [
    { tag: ACL_USER_OBJ, perm: (mode >> 6) & 7, id: ACL_UNDEFINED_ID },
    { tag: ACL_GROUP_OBJ, perm: (mode >> 3) & 7, id: ACL_UNDEFINED_ID },
    { tag: ACL_OTHER, perm: mode & 7, id: ACL_UNDEFINED_ID },
  ];
}

/** The entry that the group bits of the mode stand for: the mask if there is one, else the owning group. */
function groupClassTag(acl: Acl): number {
  return acl.some(({ tag }) => tag === ACL_MASK) ? ACL_MASK : ACL_GROUP_OBJ;
}

/** The nine permission bits that go with an access ACL: acl(5), "Correspondence between ACL entries and file
 *  permission bits". */
export function modeOfAcl(acl: Acl): number {
  const groupTag = groupClassTag(acl);
  let mode = 0;
  for (const { tag, perm } of acl) {
    if (tag === ACL_USER_OBJ) mode |= perm << 6;
    else if (tag === groupTag) mode |= perm << 3;
    else if (tag === ACL_OTHER) mode |= perm;
  }
  return mode;
}

/** True if the permission bits say everything that the ACL says: then it is not stored. */
export function isMinimal(acl: Acl): boolean {
  return acl.length === 3;
}

/** The access ACL after chmod(2): the bits are the owner's, the group class's and the others' new permissions. */
export function aclAfterChmod(acl: Acl, mode: number): Acl {
  const groupTag = groupClassTag(acl);
  return acl.map((entry) => {
    if (entry.tag === ACL_USER_OBJ) return { ...entry, perm: (mode >> 6) & 7 };
    if (entry.tag === groupTag) return { ...entry, perm: (mode >> 3) & 7 };
    return entry.tag === ACL_OTHER ? { ...entry, perm: mode & 7 } : entry;
  });
}

/**
 * What a new file gets from its directory's default ACL: acl(5), "Object creation and default ACLs". The permissions are
 * those of the default ACL that `mode` (the mode argument of the system call, without any umask) asks for too.
 */
export function inheritAcl(
  defaultAcl: Acl,
  mode: number,
): {
  /** With the type bits of `mode`. */ readonly mode: number; /** Null: the mode says it all. */
  readonly access:
    | Acl
    | null;
} {
  const groupTag = groupClassTag(defaultAcl);
  const access = defaultAcl.map((entry) => {
    if (entry.tag === ACL_USER_OBJ) return { ...entry, perm: entry.perm & (mode >> 6) };
    if (entry.tag === groupTag) return { ...entry, perm: entry.perm & (mode >> 3) };
    return entry.tag === ACL_OTHER ? { ...entry, perm: entry.perm & mode } : entry;
  });
  return {
    mode: (mode & (S_IFMT | 0o7000)) | modeOfAcl(access),
    access: isMinimal(access) ? null : access,
  };
}

/**
 * The access check algorithm of acl(5): may a caller who is not privileged have all of `rights`? `isInGroup` says whether
 * a group is the caller's effective or one of the supplementary ones.
 */
export function aclPermits(
  acl: Acl,
  file: { readonly uid: number; readonly gid: number },
  uid: number,
  isInGroup: (gid: number) => boolean,
  rights: number,
): boolean {
  const mask = acl.find(({ tag }) => tag === ACL_MASK)?.perm ?? 7;
  const grants = (perm: number) => (perm & rights) === rights;
  let others = 0;
  for (const { tag, perm } of acl) {
    if (tag === ACL_USER_OBJ && uid === file.uid) return grants(perm);
    if (tag === ACL_OTHER) others = perm;
  }
  const user = acl.find(({ tag, id }) => tag === ACL_USER && id === uid);
  if (user !== undefined) return grants(user.perm & mask);
  let isMember = false;
  for (const { tag, perm, id } of acl) {
    if (!(tag === ACL_GROUP_OBJ && isInGroup(file.gid)) && !(tag === ACL_GROUP && isInGroup(id))) continue;
    // One entry must grant all of them by itself.
    if (grants(perm & mask)) return true;
    isMember = true;
  }
  return !isMember && grants(others);
}

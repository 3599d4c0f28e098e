/**
 * The extended attributes that change the rules for their file: POSIX ACLs and capabilities. Their presence is a bit in the
 * inode record, so that plain files are told apart without a round trip.
 *
 * What a plan reads here comes from the store; only default ACLs are kept, and a create checks in its commit that the one
 * it used is still there.
 */
import { type Acl, aclAfterChmod, inheritAcl, parseAcl, serializeAcl } from "./acl.ts";
import { isDirectory, isSymlink } from "./attr.ts";
import type { MetaContext } from "./context.ts";
import type { InodeRow } from "./schema.ts";
import {
  type Check,
  checkColumns,
  checkVersion,
  type Found,
  put,
  read,
  remove,
  type Write,
} from "./store.ts";
import { withRetry } from "./retry.ts";

/** Bits of `inodes.xattrKinds`. */
export const XATTR_ACCESS_ACL = 1;
export const XATTR_DEFAULT_ACL = 2;
export const XATTR_CAPABILITY = 4;

const utf8 = new TextEncoder();
export const ACCESS_ACL_NAME = utf8.encode("system.posix_acl_access");
export const DEFAULT_ACL_NAME = utf8.encode("system.posix_acl_default");
export const CAPABILITY_NAME = utf8.encode("security.capability");

const DEFAULT_ACLS_MAX = 1000;

/** Default ACLs of directories as they were read last, by inode. */
export type DefaultAcls = Map<number, Uint8Array>;

/** The bit of a special name, 0 for all others. */
export function kindOf(name: Uint8Array): number {
  if (isSame(name, ACCESS_ACL_NAME)) return XATTR_ACCESS_ACL;
  if (isSame(name, DEFAULT_ACL_NAME)) return XATTR_DEFAULT_ACL;
  return isSame(name, CAPABILITY_NAME) ? XATTR_CAPABILITY : 0;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
}

/** What a name takes in a list. */
export const listBytes = (name: Uint8Array): number => name.length + 1;

export const isAclKind = (kind: number): boolean => kind === XATTR_ACCESS_ACL || kind === XATTR_DEFAULT_ACL;

export async function fetchXattr(
  ctx: MetaContext,
  ino: number,
  name: Uint8Array,
): Promise<Found<"xattrs"> | null> {
  const [found] = await withRetry(ctx, () => ctx.store.get([read("xattrs", [ino, name])]));
  return found;
}

/** The access ACL of a file, null where the permission bits say it all. */
export async function accessAcl(ctx: MetaContext, row: InodeRow): Promise<Acl | null> {
  if ((row.xattrKinds & XATTR_ACCESS_ACL) === 0) return null;
  const found = await fetchXattr(ctx, row.ino, ACCESS_ACL_NAME);
  return found === null ? null : parseAcl(found.row.value);
}

const NOTHING: { readonly checks: readonly Check[]; readonly writes: readonly Write[] } = {
  checks: [],
  writes: [],
};

/** What chmod(2) to `mode` means for the access ACL. The caller's commit pins `xattrKinds`. */
export async function aclChmod(
  ctx: MetaContext,
  row: InodeRow,
  mode: number,
): Promise<{ readonly checks: readonly Check[]; readonly writes: readonly Write[] }> {
  if ((row.xattrKinds & XATTR_ACCESS_ACL) === 0) return NOTHING;
  const found = await fetchXattr(ctx, row.ino, ACCESS_ACL_NAME);
  const acl = found === null ? null : parseAcl(found.row.value);
  // The record is gone, so the bit is from before: the caller's check will say so.
  if (found === null || acl === null) return NOTHING;
  return {
    checks: [checkVersion("xattrs", [row.ino, ACCESS_ACL_NAME], found.version)],
    writes: [
      put("xattrs", [row.ino, ACCESS_ACL_NAME], { value: serializeAcl(aclAfterChmod(acl, mode)) }),
    ],
  };
}

/** Writing, truncating and chown take a file's capabilities away: capabilities(7). Null where it has none. The caller's
 *  commit pins `xattrBytes` and `xattrKinds` if this is not null. */
export function dropCapability(row: InodeRow): {
  readonly writes: readonly Write[];
  readonly columns: { readonly xattrBytes: number; readonly xattrKinds: number };
} | null {
  if ((row.xattrKinds & XATTR_CAPABILITY) === 0) return null;
  return {
    writes: [remove("xattrs", [row.ino, CAPABILITY_NAME])],
    columns: {
      xattrBytes: row.xattrBytes - listBytes(CAPABILITY_NAME),
      xattrKinds: row.xattrKinds & ~XATTR_CAPABILITY,
    },
  };
}

/** What a new file gets from the default ACL of its directory. */
export interface Inherited {
  /** The new file's mode, with the type bits. */
  readonly mode: number;
  readonly xattrBytes: number;
  readonly xattrKinds: number;
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
}

/**
 * The mode and the ACLs of a new file: with a default ACL in the directory that decides, without one the umask does
 * (umask(2)). The caller's commit pins the directory's `xattrKinds`.
 */
export function inherit(
  ctx: MetaContext,
  ino: number,
  directory: InodeRow,
  mode: number,
  umask: number,
): Inherited | Promise<Inherited> {
  if (isSymlink(mode)) return plain(mode);
  if ((directory.xattrKinds & XATTR_DEFAULT_ACL) === 0) return plain(mode & ~umask);
  return inheritFrom(ctx, ino, directory.ino, mode, umask);
}

const plain = (mode: number): Inherited => ({ mode, xattrBytes: 0, xattrKinds: 0, checks: [], writes: [] });

async function inheritFrom(
  ctx: MetaContext,
  ino: number,
  directory: number,
  mode: number,
  umask: number,
): Promise<Inherited> {
  let value = ctx.defaultAcls.get(directory);
  if (value === undefined) {
    value = (await fetchXattr(ctx, directory, DEFAULT_ACL_NAME))?.row.value;
    if (value !== undefined) {
      if (ctx.defaultAcls.size >= DEFAULT_ACLS_MAX) ctx.defaultAcls.clear();
      ctx.defaultAcls.set(directory, value);
    }
  }
  const acl = value === undefined ? null : parseAcl(value);
  // The record is gone, so the bit is from before: the caller's check will say so.
  if (value === undefined || acl === null) return plain(mode & ~umask);
  const writes: Write[] = [];
  let xattrBytes = 0;
  let xattrKinds = 0;
  const add = (name: Uint8Array, kind: number, value: Uint8Array) => {
    writes.push(put("xattrs", [ino, name], { value }));
    xattrBytes += listBytes(name);
    xattrKinds |= kind;
  };
  const inherited = inheritAcl(acl, mode);
  if (inherited.access !== null) add(ACCESS_ACL_NAME, XATTR_ACCESS_ACL, serializeAcl(inherited.access));
  if (isDirectory(mode)) add(DEFAULT_ACL_NAME, XATTR_DEFAULT_ACL, value);
  return {
    mode: inherited.mode,
    xattrBytes,
    xattrKinds,
    checks: [checkColumns("xattrs", [directory, DEFAULT_ACL_NAME], { value })],
    writes,
  };
}

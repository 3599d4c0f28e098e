/**
 * Extended attributes: get, list, set, remove. What the special names among them mean stands in special_xattrs.ts.
 *
 * Invariants, each kept by the commit that changes an attribute, which pins the columns it relies on:
 * - `inodes.xattrBytes` is the sum over the file's records of their name's length and one NUL; 0 means that there are none,
 *   so files without attributes cost no round trip, neither when they are asked for nor when the file is removed.
 * - `inodes.xattrKinds` has the bit of each special name that there is a record of.
 * - There is an access ACL only where it says more than the permission bits, and the bits are what acl(5) says they are.
 * - Records belong to a file that exists, or that stands in `deletedFiles` with their `xattrBytes` (deletion.ts).
 */
import { FsError } from "../errors.ts";
import { XATTR_LIST_BYTES_MAX } from "../limits.ts";
import { isMinimal, modeOfAcl, parseAcl, serializeAcl } from "./acl.ts";
import { isDirectory, isSymlink, raiseCtime, S_ISGID } from "./attr.ts";
import { getattr } from "./attributes.ts";
import type { MetaContext } from "./context.ts";
import { requireNotFixed } from "./inode_flags.ts";
import type { InodeRow } from "./schema.ts";
import { fetchXattr, isAclKind, kindOf, listBytes, XATTR_DEFAULT_ACL } from "./special_xattrs.ts";
import {
  type Check,
  checkAbsent,
  checkColumns,
  checkVersion,
  type Found,
  put,
  remove,
  update,
  type Write,
} from "./store.ts";
import { withRetry } from "./retry.ts";
import { type Plan, transact } from "./transact.ts";

/** Records of one page: each may have a value of 64 KiB. */
const PAGE = 64;

/** One error for all: most questions have this answer, and nobody looks at its stack. */
const NO_DATA = new FsError("ENODATA");

/** The value, as fresh as the file's attributes. ENODATA if there is none. */
export function getxattr(
  ctx: MetaContext,
  ino: number,
  name: Uint8Array,
): Uint8Array | Promise<Uint8Array> {
  const row = getattr(ctx, ino);
  return row instanceof Promise ? row.then((row) => valueOf(ctx, row, name)) : valueOf(ctx, row, name);
}

function valueOf(ctx: MetaContext, row: InodeRow, name: Uint8Array): Promise<Uint8Array> {
  if (row.xattrBytes === 0) throw NO_DATA;
  const kind = kindOf(name);
  if (kind !== 0 && (row.xattrKinds & kind) === 0) throw NO_DATA;
  return fetchXattr(ctx, row.ino, name).then((found) => {
    if (found === null) throw NO_DATA;
    return found.row.value;
  });
}

/** All names in their order. */
export async function listxattr(ctx: MetaContext, ino: number): Promise<Uint8Array[]> {
  const row = await getattr(ctx, ino);
  const names: Uint8Array[] = [];
  if (row.xattrBytes === 0) return names;
  for (;;) {
    const after = names.at(-1);
    const page = await withRetry(ctx, () =>
      ctx.store.scan({
        table: "xattrs",
        prefix: [ino],
        after: after === undefined ? undefined : [after],
        limit: PAGE,
      }));
    for (const { row } of page) names.push(row.name);
    if (page.length < PAGE) return names;
  }
}

export interface SetXattr {
  /** EEXIST if the attribute is there. */
  readonly create?: boolean;
  /** ENODATA if it is not. */
  readonly replace?: boolean;
  /** With an access ACL: take the set-group-ID bit away. */
  readonly killSgid?: boolean;
}

/** `permit` may throw about the file as the commit will find it. */
type Permit = (row: InodeRow) => void;

/** Sets an attribute. ACLs are checked and bring the permission bits with them. EEXIST, ENODATA, ENOSPC, EPERM. */
export function setxattr(
  ctx: MetaContext,
  ino: number,
  name: Uint8Array,
  value: Uint8Array,
  how: SetXattr = {},
  permit: Permit = () => {},
): Promise<void> {
  const kind = kindOf(name);
  const isAcl = isAclKind(kind);
  const acl = isAcl ? parseAcl(value) : null;
  return transact(ctx, async (view) => {
    const row = await view.inode(ino);
    permit(row);
    requireNotFixed(row);
    const old = await current(ctx, row, name);
    if (how.create && old !== null) throw new FsError("EEXIST");
    if (how.replace && old === null) throw new FsError("ENODATA");
    if (!isAcl) return plan(ctx, row, name, old, value, row.mode);
    if (isSymlink(row.mode)) throw new FsError("ENOTSUP", "symbolic links have no ACL");
    if (kind === XATTR_DEFAULT_ACL) {
      if (acl !== null && !isDirectory(row.mode)) {
        throw new FsError("EACCES", "only directories hand an ACL on");
      }
      return plan(ctx, row, name, old, acl === null ? null : serializeAcl(acl), row.mode);
    }
    if (acl === null) return plan(ctx, row, name, old, null, row.mode);
    let mode = (row.mode & ~0o777) | modeOfAcl(acl);
    if (how.killSgid) mode &= ~S_ISGID;
    return plan(ctx, row, name, old, isMinimal(acl) ? null : serializeAcl(acl), mode);
  });
}

/** Removes an attribute. ENODATA if there is none; an ACL that is not there is removed all the same, as on ext4. */
export function removexattr(
  ctx: MetaContext,
  ino: number,
  name: Uint8Array,
  permit: Permit = () => {},
): Promise<void> {
  const kind = kindOf(name);
  return transact(ctx, async (view) => {
    const row = await view.inode(ino);
    permit(row);
    requireNotFixed(row);
    const old = await current(ctx, row, name);
    if (old === null && !isAclKind(kind)) throw new FsError("ENODATA");
    return plan(ctx, row, name, old, null, row.mode);
  });
}

/** The record now. Where the file has none at all it need not be asked for: the commit checks that column. */
function current(ctx: MetaContext, row: InodeRow, name: Uint8Array): Promise<Found<"xattrs"> | null> | null {
  return row.xattrBytes === 0 ? null : fetchXattr(ctx, row.ino, name);
}

/** The commit that takes an attribute from `old` to `value` (null: none) and the file's mode to `mode`. */
function plan(
  ctx: MetaContext,
  row: InodeRow,
  name: Uint8Array,
  old: Found<"xattrs"> | null,
  value: Uint8Array | null,
  mode: number,
): Plan<void> {
  const { ino } = row;
  const kind = kindOf(name);
  const checks: Check[] = [
    checkColumns("inodes", [ino], {
      mode: row.mode,
      uid: row.uid,
      flags: row.flags,
      xattrBytes: row.xattrBytes,
      xattrKinds: row.xattrKinds,
    }),
    old === null ? checkAbsent("xattrs", [ino, name]) : checkVersion("xattrs", [ino, name], old.version),
  ];
  const isSameAsBefore = value === null && old === null && mode === row.mode;
  if (isSameAsBefore) return { checks, writes: [], done: () => {} };
  const added = (value === null ? 0 : listBytes(name)) - (old === null ? 0 : listBytes(name));
  const xattrBytes = row.xattrBytes + added;
  if (xattrBytes > XATTR_LIST_BYTES_MAX) throw new FsError("ENOSPC", "too many extended attributes");
  const xattrKinds = value === null ? row.xattrKinds & ~kind : row.xattrKinds | kind;
  const writes: Write[] = [];
  if (value !== null) writes.push(put("xattrs", [ino, name], { value }));
  else if (old !== null) writes.push(remove("xattrs", [ino, name]));
  writes.push(
    update("inodes", [ino], { set: { mode, xattrBytes, xattrKinds }, raise: raiseCtime(ctx.env.now()) }),
  );
  return {
    checks,
    writes,
    done: () => {
      if (kind === XATTR_DEFAULT_ACL) ctx.defaultAcls.delete(ino);
    },
  };
}

/**
 * Checks a volume's metadata against the engine's invariants: the namespace is a tree, link counts are the number of names,
 * every slice record's object record counts it, lengths cover slices, usage rows sum up to what is there. Independent of
 * the engine: it reads the tables only. Throws with every violation found.
 */
import { ROOT_INO } from "../../core/limits.ts";
import { CHUNK_BYTES } from "../../core/limits.ts";
import { accountedBytes, isDirectory, isSymlink, S_IFMT } from "../../core/meta/attr.ts";
import { modeOfAcl, parseAcl } from "../../core/meta/acl.ts";
import type { Row, TableName } from "../../core/meta/schema.ts";
import { tables } from "../../core/meta/schema.ts";
import { kindOf, XATTR_ACCESS_ACL, XATTR_CAPABILITY } from "../../core/meta/special_xattrs.ts";
import type { Key, MetaStore } from "../../core/meta/store.ts";

/** All rows of a table. */
export async function allRows<T extends TableName>(store: MetaStore, table: T): Promise<Row<T>[]> {
  const rows: Row<T>[] = [];
  const keyColumns = Object.keys(tables[table].key);
  let after: Key | undefined;
  for (;;) {
    const page = await store.scan({ table, prefix: [], after, limit: 1000 });
    for (const { row } of page) rows.push(row as Row<T>);
    const last = page.at(-1)?.row as Record<string, number> | undefined;
    if (page.length < 1000 || last === undefined) return rows;
    after = keyColumns.map((column) => last[column] as number);
  }
}

/** `sessionsEnded`: no client is left, so nothing may be sustained and no session's rows may remain. */
export async function checkMetadata(
  store: MetaStore,
  options: { sessionsEnded?: boolean } = {},
): Promise<void> {
  const problems: string[] = [];
  const inodes = new Map((await allRows(store, "inodes")).map((row) => [row.ino, row]));
  const edges = await allRows(store, "edges");
  const names = new Map<number, number>();
  const subdirectories = new Map<number, number>();
  for (const { parent, name, ino, mode } of edges) {
    const shown = `entry ${JSON.stringify(new TextDecoder().decode(name))} of ${parent}`;
    const inode = inodes.get(ino);
    const directory = inodes.get(parent);
    if (directory === undefined || !isDirectory(directory.mode)) problems.push(`${shown} has no directory`);
    if (inode === undefined) {
      problems.push(`${shown} leads to inode ${ino}, which does not exist`);
      continue;
    }
    if (mode !== (inode.mode & S_IFMT)) problems.push(`${shown} has another type than inode ${ino}`);
    names.set(ino, (names.get(ino) ?? 0) + 1);
    if (isDirectory(inode.mode)) {
      subdirectories.set(parent, (subdirectories.get(parent) ?? 0) + 1);
      if (inode.parent !== parent) {
        problems.push(`directory ${ino} says parent ${inode.parent}, its name is in ${parent}`);
      }
    }
  }
  const sustained = new Set((await allRows(store, "sustained")).map((row) => row.ino));
  const symlinks = new Map((await allRows(store, "symlinks")).map((row) => [row.ino, row.target]));
  let bytes = 0;
  for (const inode of inodes.values()) {
    const { ino, mode, nlink, length } = inode;
    bytes += accountedBytes(mode, length);
    const named = names.get(ino) ?? 0;
    if (isDirectory(mode)) {
      if (ino !== ROOT_INO && named !== 1) problems.push(`directory ${ino} has ${named} names`);
      const expected = 2 + (subdirectories.get(ino) ?? 0);
      if (nlink !== expected) problems.push(`directory ${ino} has nlink ${nlink}, expected ${expected}`);
      if (!reachesRoot(ino, inodes)) problems.push(`directory ${ino} does not lead up to the root`);
    } else {
      if (nlink !== named) problems.push(`inode ${ino} has nlink ${nlink} and ${named} names`);
      if (nlink === 0 && !sustained.has(ino)) problems.push(`inode ${ino} has no name and nobody keeps it`);
    }
    if (isSymlink(mode) !== symlinks.has(ino)) {
      problems.push(`inode ${ino}: symlink record and type disagree`);
    }
    if (isSymlink(mode) && symlinks.get(ino)?.length !== length) {
      problems.push(`symlink ${ino} has a wrong length`);
    }
    if (length < 0) problems.push(`inode ${ino} has length ${length}`);
  }
  for (const ino of symlinks.keys()) {
    if (!inodes.has(ino)) problems.push(`symlink record ${ino} without inode`);
  }

  const deletedRows = await allRows(store, "deletedFiles");
  const deletedFiles = new Set(deletedRows.map((row) => row.ino));
  problems.push(
    ...xattrProblems(
      inodes,
      new Map(deletedRows.map((row) => [row.ino, row])),
      await allRows(store, "xattrs"),
    ),
  );
  const references = new Map<number, number>();
  for (const { ino, chunk, seq, pos, len, sliceId, off, size } of await allRows(store, "slices")) {
    const inode = inodes.get(ino);
    const shown = `slice record ${ino}/${chunk}/${seq}`;
    if (inode === undefined && !deletedFiles.has(ino)) problems.push(`${shown} belongs to no file`);
    if (inode !== undefined) {
      if (seq > inode.sliceSeq) problems.push(`${shown} is newer than its file's sliceSeq ${inode.sliceSeq}`);
      const end = chunk * CHUNK_BYTES + pos + len;
      if (sliceId !== 0 && chunk * CHUNK_BYTES + pos >= inode.length) {
        problems.push(`${shown} lies past the end of file`);
      }
      if (len <= 0 || pos + len > CHUNK_BYTES || end < 0) problems.push(`${shown} has a bad range`);
    }
    if (sliceId === 0) continue;
    if (off + len > size) problems.push(`${shown} shows more than its slice has`);
    references.set(sliceId, (references.get(sliceId) ?? 0) + 1);
  }
  const objects = await allRows(store, "sliceObjects");
  for (const { sliceId, refs } of objects) {
    const counted = references.get(sliceId) ?? 0;
    if (refs !== counted) problems.push(`slice ${sliceId} says ${refs} references and has ${counted}`);
  }
  const known = new Set(objects.map((row) => row.sliceId));
  for (const sliceId of references.keys()) {
    if (!known.has(sliceId)) problems.push(`slice ${sliceId} has no object record`);
  }
  for (const { sliceId } of await allRows(store, "deletedSlices")) {
    if (known.has(sliceId)) problems.push(`slice ${sliceId} is deleted and alive`);
  }

  const usage = await allRows(store, "usage");
  const usedBytes = usage.reduce((sum, row) => sum + row.bytes, 0);
  const usedInodes = usage.reduce((sum, row) => sum + row.inodes, 0);
  if (usedBytes !== bytes) problems.push(`usage says ${usedBytes} bytes, the inodes sum up to ${bytes}`);
  if (usedInodes !== inodes.size) problems.push(`usage says ${usedInodes} inodes, there are ${inodes.size}`);
  if (options.sessionsEnded) {
    for (const table of ["sessions", "sustained", "sliceRanges", "flocks", "plocks"] as const) {
      const count = (await allRows(store, table)).length;
      if (count > 0) problems.push(`${count} records left in ${table} after the last session`);
    }
    if (usage.length !== 1) problems.push(`${usage.length} usage rows after the last session`);
  }
  if (problems.length > 0) throw new Error(`inconsistent metadata:\n${problems.join("\n")}`);
}

/** Records add up to what the inode (or the deleted file) says, and ACLs agree with the permission bits. */
function xattrProblems(
  inodes: ReadonlyMap<number, Row<"inodes">>,
  deleted: ReadonlyMap<number, Row<"deletedFiles">>,
  xattrs: readonly Row<"xattrs">[],
): string[] {
  const problems: string[] = [];
  const found = new Map<number, { bytes: number; kinds: number }>();
  for (const { ino, name, value } of xattrs) {
    const inode = inodes.get(ino);
    const shown = `xattr ${new TextDecoder().decode(name)} of inode ${ino}`;
    if (inode === undefined && !deleted.has(ino)) problems.push(`${shown}, which is gone`);
    const sum = found.get(ino) ?? { bytes: 0, kinds: 0 };
    const kind = kindOf(name);
    found.set(ino, { bytes: sum.bytes + name.length + 1, kinds: sum.kinds | kind });
    if (inode === undefined || kind === 0 || kind === XATTR_CAPABILITY) continue;
    const acl = parseAcl(value);
    if (acl === null) problems.push(`${shown} is empty`);
    else if (kind === XATTR_ACCESS_ACL) {
      if (acl.length <= 3) problems.push(`${shown} says no more than the mode`);
      if (modeOfAcl(acl) !== (inode.mode & 0o777)) problems.push(`${shown} does not agree with the mode`);
    } else if (!isDirectory(inode.mode)) problems.push(`${shown}, which is no directory`);
  }
  for (const { ino, xattrBytes, xattrKinds } of inodes.values()) {
    const { bytes, kinds } = found.get(ino) ?? { bytes: 0, kinds: 0 };
    if (bytes !== xattrBytes) {
      problems.push(`inode ${ino} says ${xattrBytes} bytes of xattrs and has ${bytes}`);
    }
    if (kinds !== xattrKinds) problems.push(`inode ${ino} says xattr kinds ${xattrKinds} and has ${kinds}`);
  }
  return problems;
}

function reachesRoot(ino: number, inodes: ReadonlyMap<number, Row<"inodes">>): boolean {
  for (let steps = 0; steps <= inodes.size; steps++) {
    if (ino === ROOT_INO) return true;
    ino = inodes.get(ino)?.parent ?? 0;
  }
  return false;
}

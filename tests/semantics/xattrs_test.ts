/** Extended attributes and ACLs through the operation surface, over the memory store. */
import assert from "node:assert/strict";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { ROOT_INO } from "../../core/limits.ts";
import { serializeAcl } from "../../core/meta/acl.ts";
import { FS_NODUMP_FL } from "../../core/meta/inode_flags.ts";
import { ACCESS_ACL_NAME, DEFAULT_ACL_NAME } from "../../core/meta/special_xattrs.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import {
  type Caller,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../../core/vfs/types.ts";
import { openVolume } from "../../core/volume.ts";
import { allRows, checkMetadata } from "../helpers/check_metadata.ts";
import { acl, alice, bob, checkedWorld, codeOf, root } from "../helpers/checked_world.ts";
import { bytes, quietEnv } from "../helpers/memory_world.ts";

Deno.test("attributes are set, read, listed, replaced and removed; ENODATA, EEXIST as setxattr(2) says", async () => {
  const { vfs, file, finish } = await checkedWorld();
  const f = await file("f");
  const set = (name: string, value: string, flags = 0) =>
    codeOf(() => vfs.setxattr(root, f, bytes(name), bytes(value), { flags }));
  assert.deepEqual(await vfs.listxattr(root, f), []);
  assert.equal(await codeOf(() => vfs.getxattr(root, f, bytes("user.a"))), "ENODATA");
  assert.equal(await set("user.a", "1", XATTR_REPLACE), "ENODATA");
  assert.equal(await set("user.a", "1", XATTR_CREATE), "ok");
  assert.equal(await set("user.a", "2", XATTR_CREATE), "EEXIST");
  assert.equal(await set("user.a", "2", XATTR_REPLACE), "ok");
  assert.equal(await set("user.b", ""), "ok", "an empty value is a value");
  assert.equal(await set("user.a", "3"), "ok");
  assert.deepEqual(await vfs.getxattr(root, f, bytes("user.a")), bytes("3"));
  assert.deepEqual(await vfs.getxattr(root, f, bytes("user.b")), bytes(""));
  assert.deepEqual(await vfs.listxattr(root, f), [bytes("user.a"), bytes("user.b")]);
  assert.equal(await codeOf(() => vfs.removexattr(root, f, bytes("user.a"))), "ok");
  assert.equal(await codeOf(() => vfs.removexattr(root, f, bytes("user.a"))), "ENODATA");
  assert.deepEqual(await vfs.listxattr(root, f), [bytes("user.b")]);
  await finish();
});

Deno.test("names and values beyond the limits: ERANGE, E2BIG, ENOTSUP, EINVAL, ENOSPC", async () => {
  const { vfs, file, finish } = await checkedWorld();
  const f = await file("f");
  const set = (name: string, size = 1) =>
    codeOf(() => vfs.setxattr(root, f, bytes(name), new Uint8Array(size)));
  assert.equal(await set("user." + "n".repeat(250)), "ok");
  assert.equal(await set("user." + "n".repeat(251)), "ERANGE");
  assert.equal(await set(""), "ERANGE");
  assert.equal(await set("user."), "EINVAL");
  assert.equal(await set("other.name"), "ENOTSUP");
  assert.equal(await set("system.other"), "ENOTSUP");
  assert.equal(await set("user"), "ENOTSUP");
  assert.equal(await set("user.big", 65536), "ok");
  assert.equal(await set("user.big", 65537), "E2BIG");
  // A list of names is 64 KiB at most; each of these takes 256 bytes of it.
  for (let i = 1; i <= 254; i++) assert.equal(await set(`user.${i}`.padEnd(255, "x")), "ok", `${i}`);
  assert.equal(await set("user.last".padEnd(255, "x")), "ENOSPC");
  assert.equal((await vfs.listxattr(root, f)).length, 256);
  await finish();
});

Deno.test("setting and removing an attribute changes ctime and nothing else", async () => {
  const { vfs, file, finish } = await checkedWorld();
  const f = await file("f");
  for (
    const change of [
      () => vfs.setxattr(root, f, bytes("user.a"), bytes("1")),
      () => vfs.removexattr(root, f, bytes("user.a")),
    ]
  ) {
    const { attr: before } = await vfs.getattr(root, f, 0);
    await new Promise((resolve) => setTimeout(resolve, 2));
    await change();
    const { attr: after } = await vfs.getattr(root, f, 0);
    const ctime = (attr: typeof after) => attr.ctime * 1e9 + attr.ctimeNsec;
    assert.ok(ctime(after) > ctime(before));
    assert.deepEqual([after.mtime, after.mtimeNsec], [before.mtime, before.mtimeNsec]);
  }
  await finish();
});

Deno.test("who may do what: xattr(7) for callers that no kernel checked", async () => {
  const { vfs, file, directory, finish } = await checkedWorld();
  const f = await file("f", 0o640, alice);
  const set = (caller: Caller, ino: number, name: string) =>
    codeOf(() => vfs.setxattr(caller, ino, bytes(name), bytes("v")));
  const get = (caller: Caller, ino: number, name: string) =>
    codeOf(() => vfs.getxattr(caller, ino, bytes(name)));
  assert.equal(await set(alice, f, "user.a"), "ok");
  assert.equal(await set(bob, f, "user.a"), "EACCES");
  assert.equal(await get(bob, f, "user.a"), "EACCES");
  assert.equal(await set(alice, f, "trusted.a"), "EPERM");
  assert.equal(await set(root, f, "trusted.a"), "ok");
  assert.equal(await get(alice, f, "trusted.a"), "ENODATA");
  assert.deepEqual(await vfs.listxattr(alice, f), [bytes("user.a")], "trusted names are not shown");
  assert.deepEqual(await vfs.listxattr(root, f), [bytes("trusted.a"), bytes("user.a")]);
  assert.equal(await set(alice, f, "security.x"), "EPERM");
  const sticky = await directory("sticky", 0o1777);
  assert.equal(await set(alice, sticky, "user.a"), "EPERM", "a sticky directory of another user");
  const fifo = (await vfs.mknod(root, ROOT_INO, bytes("fifo"), 0o010666, 0, 0)).attr.ino;
  assert.equal(await set(alice, fifo, "user.a"), "EPERM", "only files and directories have user attributes");
  assert.equal(await get(alice, fifo, "user.a"), "ENODATA");
  assert.equal(await set(root, fifo, "trusted.a"), "ok");
  const access = serializeAcl(acl(6, [1001, 4], 4, 4, 0));
  assert.equal(await codeOf(() => vfs.setxattr(bob, f, ACCESS_ACL_NAME, access)), "EPERM");
  assert.equal(await codeOf(() => vfs.setxattr(alice, f, ACCESS_ACL_NAME, access)), "ok");
  assert.equal(await get(bob, f, "user.a"), "ok", "the ACL lets him read");
  await finish();
});

Deno.test("a removed file's attributes are gone after the next reclaim, a directory's too; an open one keeps them", async () => {
  const { meta, vfs, volume, file, directory, finish } = await checkedWorld();
  const f = await file("f");
  const d = await directory("d");
  const kept = await file("kept");
  const replaced = await file("replaced");
  for (const ino of [f, d, kept, replaced]) {
    for (let i = 0; i < 100; i++) await vfs.setxattr(root, ino, bytes(`user.${i}`), bytes("v"));
  }
  const { handle } = await vfs.open(root, kept, O_RDONLY);
  await vfs.unlink(root, ROOT_INO, bytes("f"));
  await vfs.rmdir(root, ROOT_INO, bytes("d"));
  await vfs.unlink(root, ROOT_INO, bytes("kept"));
  await file("source");
  await vfs.rename(root, ROOT_INO, bytes("source"), ROOT_INO, bytes("replaced"), 0);
  await volume.reclaim();
  await checkMetadata(meta);
  assert.deepEqual(new Set((await allRows(meta, "xattrs")).map(({ ino }) => ino)), new Set([kept]));
  assert.equal((await vfs.listxattr(root, kept)).length, 100);
  await vfs.setxattr(root, kept, bytes("user.more"), bytes("v"));
  await vfs.release(kept, handle);
  await volume.reclaim();
  assert.deepEqual(await allRows(meta, "xattrs"), []);
  await finish();
});

Deno.test("an access ACL brings its permission bits, chmod changes its mask, and a minimal one is only bits", async () => {
  const { vfs, file, mode, aclOf, finish } = await checkedWorld();
  const f = await file("f", 0o4644);
  await vfs.setxattr(root, f, ACCESS_ACL_NAME, serializeAcl(acl(7, [1000, 6], 4, 6, 0)));
  assert.equal(await mode(f), 0o4760, "the mask shows as the group's bits");
  await vfs.setattr(root, f, { mode: 0o604 });
  assert.deepEqual(await aclOf(f), acl(6, [1000, 6], 4, 0, 4));
  await vfs.setattr(root, f, { mode: 0o670 });
  assert.deepEqual(await aclOf(f), acl(6, [1000, 6], 4, 7, 0));
  assert.deepEqual(await vfs.listxattr(root, f), [ACCESS_ACL_NAME]);
  await vfs.setxattr(root, f, ACCESS_ACL_NAME, serializeAcl(acl(6, null, 4, 0, 4)));
  assert.equal(await mode(f), 0o644);
  assert.equal(await aclOf(f), null);
  assert.deepEqual(await vfs.listxattr(root, f), []);
  await vfs.setxattr(root, f, ACCESS_ACL_NAME, serializeAcl(acl(6, [1000, 6], 4, 6, 0)));
  await vfs.removexattr(root, f, ACCESS_ACL_NAME);
  assert.equal(await mode(f), 0o660, "removing an ACL leaves the bits");
  assert.equal(await codeOf(() => vfs.removexattr(root, f, ACCESS_ACL_NAME)), "ok", "as on ext4");
  await finish();
});

Deno.test("an ACL set by who is not in the group takes the set-group-ID bit, if the kernel says so", async () => {
  const { vfs, file, mode, finish } = await checkedWorld();
  const value = serializeAcl(acl(7, [1000, 6], 5, 7, 0));
  for (const [killSgid, expected] of [[false, 0o2770], [true, 0o770]] as const) {
    const f = await file(`f${expected}`, 0o2755);
    await vfs.setxattr(root, f, ACCESS_ACL_NAME, value, { killSgid });
    assert.equal(await mode(f), expected);
  }
  await finish();
});

Deno.test("bad ACLs: EINVAL, EACCES for a default one of a file, ENOTSUP on links and without ACLs", async () => {
  const { vfs, file, directory, finish } = await checkedWorld();
  const f = await file("f");
  const d = await directory("d");
  const link = (await vfs.symlink(root, ROOT_INO, bytes("l"), bytes("f"))).attr.ino;
  const value = serializeAcl(acl(7, [1000, 6], 5, 7, 0));
  const set = (ino: number, name: Uint8Array, value: Uint8Array) =>
    codeOf(() => vfs.setxattr(root, ino, name, value));
  assert.equal(
    await set(f, ACCESS_ACL_NAME, bytes("not an ACL")),
    "ENOTSUP",
    "its first word is another version",
  );
  assert.equal(await set(f, ACCESS_ACL_NAME, value.subarray(0, -8)), "EINVAL");
  assert.equal(await set(f, DEFAULT_ACL_NAME, value), "EACCES");
  assert.equal(await set(d, DEFAULT_ACL_NAME, value), "ok");
  assert.equal(await set(link, ACCESS_ACL_NAME, value), "ENOTSUP");
  await finish();
  const without = await checkedWorld({ acl: false });
  const g = await without.file("g");
  assert.equal(await codeOf(() => without.vfs.setxattr(root, g, ACCESS_ACL_NAME, value)), "ENOTSUP");
  assert.equal(await codeOf(() => without.vfs.getxattr(root, g, ACCESS_ACL_NAME)), "ENOTSUP");
  await without.finish();
});

Deno.test("a default ACL takes the umask's place: files and directories made below it, and what they hand on", async () => {
  const { vfs, directory, mode, aclOf, finish } = await checkedWorld();
  const d = await directory("d");
  const byDefault = acl(7, [1000, 7], 5, 7, 5);
  await vfs.setxattr(root, d, DEFAULT_ACL_NAME, serializeAcl(byDefault));
  assert.equal(await mode(d), 0o755, "a default ACL says nothing about the directory itself");
  const { attr: { ino: f } } = await vfs.create(root, d, bytes("f"), 0o666, O_RDWR, 0o077);
  assert.equal(await mode(f), 0o664);
  assert.deepEqual(await aclOf(f), acl(6, [1000, 7], 5, 6, 4));
  const { attr: { ino: sub } } = await vfs.mkdir(root, d, bytes("sub"), 0o777, 0o077);
  assert.equal(await mode(sub), 0o775);
  assert.deepEqual(await aclOf(sub), acl(7, [1000, 7], 5, 7, 5));
  assert.deepEqual(await aclOf(sub, DEFAULT_ACL_NAME), byDefault);
  const { attr: { ino: fifo } } = await vfs.mknod(root, sub, bytes("fifo"), 0o010600, 0, 0o077);
  assert.deepEqual(await aclOf(fifo), acl(6, [1000, 7], 5, 0, 0));
  const { attr: { ino: nameless } } = await vfs.tmpfile(root, d, 0o666, O_RDWR, 0o077);
  assert.deepEqual(await aclOf(nameless), acl(6, [1000, 7], 5, 6, 4));
  const link = await vfs.symlink(root, d, bytes("l"), bytes("f"));
  assert.equal(link.attr.mode & 0o777, 0o777);
  assert.deepEqual(await vfs.listxattr(root, link.attr.ino), []);
  await vfs.setxattr(root, d, DEFAULT_ACL_NAME, serializeAcl(acl(7, null, 5, 0, 0)));
  const { attr: { ino: g } } = await vfs.create(root, d, bytes("g"), 0o666, O_RDWR, 0);
  assert.equal(await mode(g), 0o640);
  assert.equal(await aclOf(g), null, "three entries are the mode");
  await vfs.removexattr(root, d, DEFAULT_ACL_NAME);
  const { attr: { ino: h } } = await vfs.create(root, d, bytes("h"), 0o666, O_RDWR, 0o027);
  assert.equal(await mode(h), 0o640, "without a default ACL the umask counts");
  await finish();
});

Deno.test("callers that no kernel checked are checked by ACLs: files, searched directories, access(2)", async () => {
  const { vfs, file, directory, finish } = await checkedWorld();
  const d = await directory("d", 0o700);
  const f = await file("f", 0o600, root, d);
  const open = (caller: Caller, flags: number) => codeOf(() => vfs.open(caller, f, flags));
  assert.equal(await codeOf(() => vfs.lookup(alice, d, bytes("f"))), "EACCES");
  await vfs.setxattr(root, d, ACCESS_ACL_NAME, serializeAcl(acl(7, [1000, 7], 0, 5, 0)));
  await vfs.setxattr(root, f, ACCESS_ACL_NAME, serializeAcl(acl(6, [1000, 6], 0, 6, 0)));
  assert.equal(await codeOf(() => vfs.lookup(alice, d, bytes("f"))), "ok");
  assert.equal(await codeOf(() => vfs.lookup(bob, d, bytes("f"))), "EACCES");
  assert.equal(await codeOf(() => vfs.unlink(alice, d, bytes("f"))), "EACCES", "the mask has no w");
  assert.equal(await open(alice, O_RDWR), "ok");
  assert.equal(await open(bob, O_RDONLY), "EACCES");
  assert.equal(await codeOf(() => vfs.access(alice, f, 6)), "ok");
  assert.equal(await codeOf(() => vfs.access(alice, f, 1)), "EACCES");
  assert.equal(await codeOf(() => vfs.setattr(alice, f, { length: 10 })), "ok");
  assert.equal(await codeOf(() => vfs.setattr(alice, f, { atime: "now", mtime: "now" })), "ok");
  await vfs.setattr(root, f, { mode: 0o640 });
  assert.equal(await open(alice, O_RDWR), "EACCES", "chmod took w from the mask");
  assert.equal(await open(alice, O_RDONLY), "ok");
  await finish();
});

Deno.test("writing, truncating and chown take capabilities away; chmod does not", async () => {
  const { vfs, file, finish } = await checkedWorld();
  const name = bytes("security.capability");
  const f = await file("f", 0o755);
  const has = async () => await codeOf(() => vfs.getxattr(root, f, name)) === "ok";
  const changes: [string, boolean, () => Promise<unknown>][] = [
    ["chmod", true, async () => await vfs.setattr(root, f, { mode: 0o700 })],
    ["times", true, async () => await vfs.setattr(root, f, { atime: "now", mtime: "now" })],
    ["chown", false, async () => await vfs.setattr(root, f, { uid: 5 })],
    ["truncate", false, async () => await vfs.setattr(root, f, { length: 3 })],
    ["O_TRUNC", false, async () => await vfs.open(root, f, O_WRONLY | O_TRUNC)],
    ["write", false, async () => {
      const { handle } = await vfs.open(root, f, O_WRONLY);
      await vfs.write(root, f, handle, 0, bytes("x"), false);
    }],
  ];
  for (const [what, stays, change] of changes) {
    await vfs.setxattr(root, f, name, bytes("all of them"));
    await vfs.setxattr(root, f, bytes("user.stays"), bytes("v"));
    await change();
    assert.equal(await has(), stays, what);
    assert.equal(await codeOf(() => vfs.getxattr(root, f, bytes("user.stays"))), "ok");
  }
  await finish();
});

Deno.test("a read-only volume keeps attributes and flags as they are", async () => {
  const { meta, vfs, volume, file } = await checkedWorld();
  const f = await file("f");
  await vfs.setxattr(root, f, bytes("user.a"), bytes("v"));
  const readOnly = await openVolume({
    meta,
    objects: createMemoryObjectStore(),
    format: volume.format,
    env: quietEnv,
    options: { client: { host: "test", pid: 1, version: "0" }, readOnly: true },
  });
  assert.equal(await codeOf(() => readOnly.vfs.setxattr(root, f, bytes("user.a"), bytes("w"))), "EROFS");
  assert.equal(await codeOf(() => readOnly.vfs.removexattr(root, f, bytes("user.a"))), "EROFS");
  assert.equal(await codeOf(() => readOnly.vfs.setFlags(root, f, FS_NODUMP_FL)), "EROFS");
  assert.deepEqual(await readOnly.vfs.getxattr(root, f, bytes("user.a")), bytes("v"));
  await readOnly.close();
  await volume.close();
});

Deno.test("files without attributes cost no round trip", async () => {
  const store = createMemoryMetaStore();
  let calls = 0;
  const counted: MetaStore = {
    capabilities: store.capabilities,
    get: (reads) => (calls++, store.get(reads)),
    scan: (scan) => (calls++, store.scan(scan)),
    commit: (batch, options) => (calls++, store.commit(batch, options)),
    close: () => store.close(),
  };
  const { vfs, file, volume } = await checkedWorld({}, counted);
  const f = await file("f");
  calls = 0;
  assert.equal(await codeOf(() => vfs.getxattr(root, f, bytes("security.capability"))), "ENODATA");
  assert.equal(await codeOf(() => vfs.getxattr(root, f, ACCESS_ACL_NAME)), "ENODATA");
  assert.deepEqual(await vfs.listxattr(root, f), []);
  assert.equal(calls, 0);
  await vfs.unlink(root, ROOT_INO, bytes("f"));
  assert.deepEqual(await allRows(store, "deletedFiles"), []);
  await volume.close();
});

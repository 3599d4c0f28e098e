/** Extended attributes, ACLs and inode flags through the operation surface, over the memory store; and races of clients. */
import assert from "node:assert/strict";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { FsError } from "../../core/errors.ts";
import { ROOT_INO } from "../../core/limits.ts";
import {
  type Acl,
  ACL_GROUP_OBJ,
  ACL_MASK,
  ACL_OTHER,
  ACL_UNDEFINED_ID,
  ACL_USER,
  ACL_USER_OBJ,
  parseAcl,
  serializeAcl,
} from "../../core/meta/acl.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import { FS_APPEND_FL, FS_IMMUTABLE_FL, FS_NODUMP_FL } from "../../core/meta/inode_flags.ts";
import { ACCESS_ACL_NAME, DEFAULT_ACL_NAME } from "../../core/meta/special_xattrs.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import {
  type Caller,
  O_APPEND,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../../core/vfs/types.ts";
import { formatVolume, openVolume } from "../../core/volume.ts";
import { allRows, checkMetadata } from "../helpers/check_metadata.ts";
import { delayedMetaStore, seededRandom } from "../helpers/delayed_meta_store.ts";
import { bytes, formattedMemoryStore, newFile, openClient, quietEnv } from "../helpers/memory_world.ts";

const root: Caller = { uid: 0, gid: 0, pid: 1 };
const alice: Caller = { uid: 1000, gid: 1000, pid: 2 };
const bob: Caller = { uid: 1001, gid: 1001, pid: 3 };

/** u::, u:ID:, g::, m::, o:: with these permissions; without a named user and a mask if `named` is null. */
function acl(
  owner: number,
  named: readonly [uid: number, perm: number] | null,
  group: number,
  mask: number,
  others: number,
): Acl {
  const entry = (tag: number, perm: number, id = ACL_UNDEFINED_ID) => ({ tag, perm, id });
  return [
    entry(ACL_USER_OBJ, owner),
    ...(named === null ? [] : [entry(ACL_USER, named[1], named[0])]),
    entry(ACL_GROUP_OBJ, group),
    ...(named === null ? [] : [entry(ACL_MASK, mask)]),
    entry(ACL_OTHER, others),
  ];
}

/** A volume whose operations check permissions, as for users of the library. */
async function world(format: { acl?: boolean } = {}, meta: MetaStore = createMemoryMetaStore()) {
  const settings = { name: "xattrs", storage: "memory", bucket: "memory:", rootMode: 0o777, ...format };
  const { format: record } = await formatVolume(meta, settings, quietEnv);
  const open = () =>
    openVolume({
      meta,
      objects: createMemoryObjectStore(),
      format: record,
      env: quietEnv,
      options: { client: { host: "test", pid: 1, version: "0" }, checkPermissions: true },
    });
  const volume = await open();
  const { vfs } = volume;
  const ino = async (name: string, parent = ROOT_INO) =>
    (await vfs.lookup(root, parent, bytes(name))).attr.ino;
  return {
    meta,
    volume,
    vfs,
    ino,
    async file(name: string, mode = 0o644, caller = root, parent = ROOT_INO) {
      const { attr, handle } = await vfs.create(caller, parent, bytes(name), mode, O_RDWR, 0);
      await vfs.release(attr.ino, handle);
      return attr.ino;
    },
    async directory(name: string, mode = 0o755, caller = root, parent = ROOT_INO) {
      return (await vfs.mkdir(caller, parent, bytes(name), mode, 0)).attr.ino;
    },
    mode: async (ino: number) => (await vfs.getattr(root, ino, 0)).attr.mode & 0o7777,
    aclOf: async (ino: number, name = ACCESS_ACL_NAME) => {
      const value = await Promise.resolve().then(() => vfs.getxattr(root, ino, name)).catch(() => null);
      return value === null ? null : parseAcl(value);
    },
    async finish() {
      await volume.close();
      await checkMetadata(meta, { sessionsEnded: true });
    },
  };
}

async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return "ok";
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

Deno.test("attributes are set, read, listed, replaced and removed; ENODATA, EEXIST as setxattr(2) says", async () => {
  const { vfs, file, finish } = await world();
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
  const { vfs, file, finish } = await world();
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
  const { vfs, file, finish } = await world();
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
  const { vfs, file, directory, finish } = await world();
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
  const { meta, vfs, volume, file, directory, finish } = await world();
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
  const { vfs, file, mode, aclOf, finish } = await world();
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
  const { vfs, file, mode, finish } = await world();
  const value = serializeAcl(acl(7, [1000, 6], 5, 7, 0));
  for (const [killSgid, expected] of [[false, 0o2770], [true, 0o770]] as const) {
    const f = await file(`f${expected}`, 0o2755);
    await vfs.setxattr(root, f, ACCESS_ACL_NAME, value, { killSgid });
    assert.equal(await mode(f), expected);
  }
  await finish();
});

Deno.test("bad ACLs: EINVAL, EACCES for a default one of a file, ENOTSUP on links and without ACLs", async () => {
  const { vfs, file, directory, finish } = await world();
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
  const without = await world({ acl: false });
  const g = await without.file("g");
  assert.equal(await codeOf(() => without.vfs.setxattr(root, g, ACCESS_ACL_NAME, value)), "ENOTSUP");
  assert.equal(await codeOf(() => without.vfs.getxattr(root, g, ACCESS_ACL_NAME)), "ENOTSUP");
  await without.finish();
});

Deno.test("a default ACL takes the umask's place: files and directories made below it, and what they hand on", async () => {
  const { vfs, directory, mode, aclOf, finish } = await world();
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
  const { vfs, file, directory, finish } = await world();
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
  const { vfs, file, finish } = await world();
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

Deno.test("immutable: EPERM for every change of the file and of the directory", async () => {
  const { vfs, file, directory, finish } = await world();
  const d = await directory("d");
  const f = await file("f", 0o644, root, d);
  const { handle } = await vfs.open(root, f, O_RDWR);
  await vfs.write(root, f, handle, 0, bytes("before"), false);
  await vfs.setFlags(root, f, FS_IMMUTABLE_FL);
  const name = bytes("f");
  const onFile: Record<string, () => unknown> = {
    "open for writing": () => vfs.open(root, f, O_WRONLY),
    "open for appending": () => vfs.open(root, f, O_WRONLY | O_APPEND),
    "open with O_TRUNC": () => vfs.open(root, f, O_RDONLY | O_TRUNC),
    "write through an open handle": () => vfs.write(root, f, handle, 0, bytes("x"), false),
    "truncate": () => vfs.setattr(root, f, { length: 1 }),
    "ftruncate": () => vfs.setattr(root, f, { length: 1, handle }),
    "fallocate": () => vfs.fallocate(root, f, handle, 0, 0, 100),
    "chmod": () => vfs.setattr(root, f, { mode: 0o600 }),
    "chown": () => vfs.setattr(root, f, { uid: 1 }),
    "utimes": () => vfs.setattr(root, f, { mtime: { sec: 1, nsec: 0 } }),
    "touch": () => vfs.setattr(root, f, { atime: "now", mtime: "now" }),
    "setxattr": () => vfs.setxattr(root, f, bytes("user.a"), bytes("v")),
    "ACL": () => vfs.setxattr(root, f, ACCESS_ACL_NAME, serializeAcl(acl(6, [1, 6], 4, 6, 0))),
    "unlink": () => vfs.unlink(root, d, name),
    "rename": () => vfs.rename(root, d, name, ROOT_INO, name, 0),
    "rename over it": async () => {
      await file("other").catch(() => {});
      await vfs.rename(root, ROOT_INO, bytes("other"), d, name, 0);
    },
    "exchange": () => vfs.rename(root, ROOT_INO, bytes("d"), d, name, 2),
    "link": () => vfs.link(root, f, ROOT_INO, bytes("g")),
    "access W_OK": () => vfs.access(root, f, 2),
    "another flag": () => vfs.setFlags(root, f, FS_IMMUTABLE_FL | FS_NODUMP_FL),
  };
  for (const [what, change] of Object.entries(onFile)) assert.equal(await codeOf(change), "EPERM", what);
  assert.equal(await codeOf(() => vfs.open(root, f, O_RDONLY)), "ok");
  await vfs.setFlags(root, f, 0);
  assert.equal(await codeOf(() => vfs.write(root, f, handle, 0, bytes("after!"), false)), "ok");

  await vfs.setFlags(root, d, FS_IMMUTABLE_FL);
  const onDirectory: Record<string, () => unknown> = {
    "create": () => vfs.create(root, d, bytes("new"), 0o644, O_RDWR, 0),
    "O_TMPFILE": () => vfs.tmpfile(root, d, 0o644, O_RDWR, 0),
    "mkdir": () => vfs.mkdir(root, d, bytes("new"), 0o755, 0),
    "symlink": () => vfs.symlink(root, d, bytes("new"), bytes("to")),
    "link": () => vfs.link(root, f, d, bytes("new")),
    "unlink": () => vfs.unlink(root, d, name),
    "rename out": () => vfs.rename(root, d, name, ROOT_INO, name, 0),
    "rename in": () => vfs.rename(root, ROOT_INO, bytes("other"), d, bytes("new"), 0),
    "rename of itself": () => vfs.rename(root, ROOT_INO, bytes("d"), ROOT_INO, bytes("e"), 0),
    "chmod": () => vfs.setattr(root, d, { mode: 0o700 }),
  };
  for (const [what, change] of Object.entries(onDirectory)) assert.equal(await codeOf(change), "EPERM", what);
  assert.equal(await codeOf(() => vfs.mkdir(root, d, name, 0o755, 0)), "EEXIST", "what is there is there");
  assert.equal(await codeOf(() => vfs.open(root, f, O_RDWR)), "ok", "files in it are another matter");
  await vfs.setFlags(root, d, 0);
  await finish();
});

Deno.test("append-only: a file grows and keeps the rest, a directory gets entries and loses none", async () => {
  const { vfs, file, directory, finish } = await world();
  const d = await directory("d");
  const f = await file("f", 0o644, root, d);
  await vfs.setFlags(root, f, FS_APPEND_FL);
  const codes = async (calls: Record<string, () => unknown>) =>
    Object.fromEntries(
      await Promise.all(Object.entries(calls).map(async ([k, call]) => [k, await codeOf(call)])),
    );
  assert.deepEqual(
    await codes({
      write: () => vfs.open(root, f, O_WRONLY),
      append: () => vfs.open(root, f, O_WRONLY | O_APPEND),
      appendTruncate: () => vfs.open(root, f, O_WRONLY | O_APPEND | O_TRUNC),
      truncate: () => vfs.setattr(root, f, { length: 0 }),
      chmod: () => vfs.setattr(root, f, { mode: 0o600 }),
      touch: () => vfs.setattr(root, f, { atime: "now", mtime: "now" }),
      utimes: () => vfs.setattr(root, f, { atime: "now" }),
      xattr: () => vfs.setxattr(root, f, bytes("user.a"), bytes("v")),
      link: () => vfs.link(root, f, d, bytes("g")),
      unlink: () => vfs.unlink(root, d, bytes("f")),
      rename: () => vfs.rename(root, d, bytes("f"), d, bytes("g"), 0),
    }),
    {
      write: "EPERM",
      append: "ok",
      appendTruncate: "EPERM",
      truncate: "EPERM",
      chmod: "EPERM",
      touch: "ok",
      utimes: "EPERM",
      xattr: "EPERM",
      link: "EPERM",
      unlink: "EPERM",
      rename: "EPERM",
    },
  );
  await vfs.setFlags(root, f, 0);
  await vfs.setFlags(root, d, FS_APPEND_FL);
  const other = await file("other");
  assert.ok(other > 0);
  assert.equal(await codeOf(() => vfs.create(root, d, bytes("new"), 0o644, O_RDWR, 0)), "ok");
  assert.equal(await codeOf(() => vfs.rename(root, ROOT_INO, bytes("other"), d, bytes("in"), 0)), "ok");
  assert.equal(await codeOf(() => vfs.unlink(root, d, bytes("new"))), "EPERM");
  assert.equal(await codeOf(() => vfs.rename(root, d, bytes("new"), ROOT_INO, bytes("out"), 0)), "EPERM");
  assert.equal(await codeOf(() => vfs.rename(root, d, bytes("new"), d, bytes("in"), 0)), "EPERM");
  assert.equal(await codeOf(() => vfs.rmdir(root, ROOT_INO, bytes("d"))), "EPERM");
  await vfs.setFlags(root, d, 0);
  await finish();
});

Deno.test("who may change flags, which there are, and what is handed on", async () => {
  const { vfs, file, directory, finish } = await world();
  const f = await file("f", 0o644, alice);
  assert.equal(await codeOf(() => vfs.setFlags(bob, f, FS_NODUMP_FL)), "EPERM");
  assert.equal(await codeOf(() => vfs.setFlags(alice, f, FS_NODUMP_FL)), "ok");
  assert.equal(await vfs.getFlags(bob, f), FS_NODUMP_FL);
  assert.equal(await codeOf(() => vfs.setFlags(alice, f, FS_APPEND_FL)), "EPERM", "for root only");
  assert.equal(await codeOf(() => vfs.setFlags(root, f, 0x04)), "ENOTSUP", "compression");
  assert.equal(await vfs.getFlags(root, f), FS_NODUMP_FL);
  const d = await directory("d");
  await vfs.setFlags(root, d, FS_NODUMP_FL | FS_APPEND_FL);
  assert.equal(
    await vfs.getFlags(root, await file("g", 0o644, root, d)),
    FS_NODUMP_FL,
    "but not append-only",
  );
  const fifo = (await vfs.mknod(root, ROOT_INO, bytes("fifo"), 0o010666, 0, 0)).attr.ino;
  assert.equal(await codeOf(() => vfs.getFlags(root, fifo)), "ENOTTY");
  await vfs.setFlags(root, d, 0);
  await finish();
});

Deno.test("a read-only volume keeps attributes and flags as they are", async () => {
  const { meta, vfs, volume, file } = await world();
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
  const { vfs, file, volume } = await world({}, counted);
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

/** Runs `race` over clients whose every call to the store takes its time, for many seeds; the metadata must be right. */
async function races(
  runs: number,
  race: (
    clients: Awaited<ReturnType<typeof openClient>>[],
    store: MetaStore,
    random: () => number,
  ) => Promise<void>,
): Promise<void> {
  for (let seed = 1; seed <= runs; seed++) {
    const store = await formattedMemoryStore();
    const random = seededRandom(seed);
    const clients = await Promise.all([1, 2, 3].map(() => openClient(delayedMetaStore(store, random))));
    try {
      await race(clients, store, random);
      await checkMetadata(store);
      for (const client of clients) {
        while (await client.deleteFiles(quietEnv.now().sec + 1) > 0);
        await client.close();
      }
      await checkMetadata(store, { sessionsEnded: true });
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}

const tolerate = async (call: Promise<unknown>, ...expected: string[]): Promise<string> => {
  const code = await codeOf(() => call);
  assert.ok(code === "ok" || expected.includes(code), code);
  return code;
};

Deno.test("of several XATTR_CREATE of one name exactly one succeeds", async () => {
  await races(30, async (clients) => {
    const [first] = clients;
    const { ino } = await (first as typeof clients[0]).create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
    const codes = await Promise.all(
      clients.map((client) =>
        tolerate(client.setxattr(ino, bytes("user.a"), bytes("v"), { create: true }), "EEXIST")
      ),
    );
    assert.equal(codes.filter((code) => code === "ok").length, 1);
  });
});

Deno.test("attributes set while the file is removed go with it or are refused", async () => {
  await races(60, async ([one, two, three], _store, random) => {
    assert.ok(one && two && three);
    for (const mode of [S_IFREG | 0o644, 0o040755]) {
      const { ino } = await one.create(ROOT_INO, bytes("f"), newFile(mode));
      const isDirectory = mode !== (S_IFREG | 0o644);
      if (random() < 0.5) await one.setxattr(ino, bytes("user.before"), bytes("v"));
      await two.getattr(ino);
      await Promise.all([
        isDirectory ? one.rmdir(ROOT_INO, bytes("f")) : one.unlink(ROOT_INO, bytes("f"), () => false),
        tolerate(two.setxattr(ino, bytes("user.a"), bytes("v")), "ENOENT"),
        tolerate(three.removexattr(ino, bytes("user.before")), "ENOENT", "ENODATA"),
      ]);
    }
  });
});

Deno.test("chmod, ACLs and creates below a changing default ACL: bits and ACLs always agree", async () => {
  await races(60, async (clients, _store, random) => {
    const [one] = clients;
    assert.ok(one);
    const { ino: d } = await one.create(ROOT_INO, bytes("d"), newFile(0o040755));
    const { ino: f } = await one.create(d, bytes("f"), newFile(S_IFREG | 0o644));
    await Promise.all(clients.map(async (client, index) => {
      for (let i = 0; i < 8; i++) {
        const mask = Math.floor(random() * 8);
        const value = serializeAcl(acl(7, random() < 0.3 ? null : [1000, 6], 4, mask, 1));
        switch (Math.floor(random() * 6)) {
          case 0:
            await client.setattr(f, { mode: Math.floor(random() * 0o1000) });
            break;
          case 1:
            await client.setxattr(f, ACCESS_ACL_NAME, value);
            break;
          case 2:
            await client.setxattr(d, DEFAULT_ACL_NAME, value);
            break;
          case 3:
            await client.removexattr(
              random() < 0.5 ? d : f,
              random() < 0.5 ? DEFAULT_ACL_NAME : ACCESS_ACL_NAME,
            );
            break;
          default:
            await client.create(d, bytes(`${index}.${i}`), { ...newFile(S_IFREG | 0o666), umask: 0o022 });
        }
      }
    }));
  });
});

Deno.test("an immutable file is never removed or changed by a client that knew it otherwise", async () => {
  await races(40, async ([one, two, three]) => {
    assert.ok(one && two && three);
    const { ino } = await one.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
    await two.lookup(ROOT_INO, bytes("f"));
    await three.lookup(ROOT_INO, bytes("f"));
    await one.setFlags(ino, () => FS_IMMUTABLE_FL);
    const place = { parent: ROOT_INO, name: bytes("f") };
    const codes = await Promise.all([
      codeOf(() => two.unlink(ROOT_INO, bytes("f"), () => false)),
      codeOf(() => two.truncate(ino, 5)),
      codeOf(() => two.setattr(ino, { mode: 0o600 })),
      codeOf(() => three.rename(place, { ...place, name: bytes("g") }, false, () => false)),
      codeOf(() => three.link(ino, ROOT_INO, bytes("h"))),
      codeOf(() => three.setxattr(ino, bytes("user.a"), bytes("v"))),
    ]);
    assert.deepEqual(new Set(codes), new Set(["EPERM"]));
  });
});

/** What inode flags forbid, who may change them, and which are handed on. */
import assert from "node:assert/strict";
import { ROOT_INO } from "../../core/limits.ts";
import { serializeAcl } from "../../core/meta/acl.ts";
import { FS_APPEND_FL, FS_IMMUTABLE_FL, FS_NODUMP_FL } from "../../core/meta/inode_flags.ts";
import { ACCESS_ACL_NAME } from "../../core/meta/special_xattrs.ts";
import { O_APPEND, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from "../../core/vfs/types.ts";
import { acl, alice, bob, checkedWorld, codeOf, root } from "../helpers/checked_world.ts";
import { bytes } from "../helpers/memory_world.ts";

Deno.test("immutable: EPERM for every change of the file and of the directory", async () => {
  const { vfs, file, directory, finish } = await checkedWorld();
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
  const { vfs, file, directory, finish } = await checkedWorld();
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
  const { vfs, file, directory, finish } = await checkedWorld();
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

/** Callers under another identity, and owners that are shown. */
import assert from "node:assert/strict";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { ROOT_INO } from "../../core/limits.ts";
import { squashed, type SquashOptions } from "../../core/vfs/squash.ts";
import type { Caller, Vfs } from "../../core/vfs/types.ts";
import { formatVolume, openVolume } from "../../core/volume.ts";
import { bytes, quietEnv } from "../helpers/memory_world.ts";

const root: Caller = { uid: 0, gid: 0, pid: 1 };
const alice: Caller = { uid: 1000, gid: 1000, pid: 2, inGroup: (gid) => gid === 0 || gid === 50 };
const ANON = { uid: 4000, gid: 5000 };
const O_RDWR = 2;
const O_TRUNC = 0o1000;

/** A volume whose root directory everybody may write, and the same squashed; the kernel checks nothing here. */
async function world(options: Partial<SquashOptions>) {
  const meta = createMemoryMetaStore();
  const objects = createMemoryObjectStore();
  const settings = { name: "squashed", storage: "memory", bucket: "memory:", rootMode: 0o777 };
  const { format } = await formatVolume(meta, settings, quietEnv);
  const client = { host: "test", pid: 1, version: "0" };
  const volume = await openVolume({ meta, objects, format, env: quietEnv, options: { client } });
  const vfs = squashed(volume.vfs, { squash: "none", anonymous: ANON, owner: {}, ...options });
  return { volume, plain: volume.vfs, vfs };
}

async function make(vfs: Vfs, caller: Caller, name: string, mode: number) {
  return (await vfs.mknod(caller, ROOT_INO, bytes(name), 0o100000 | mode, 0, 0)).attr;
}

const opens = async (vfs: Vfs, caller: Caller, ino: number, flags = O_RDWR) =>
  await vfs.release(ino, (await vfs.open(caller, ino, flags)).handle);

const EACCES = { code: "EACCES" };
const EPERM = { code: "EPERM" };

Deno.test("all_squash: everybody is the anonymous user, and may what that one may", async () => {
  const { volume, plain, vfs } = await world({ squash: "all" });
  for (const caller of [root, alice]) {
    const { ino, uid, gid } = await make(vfs, caller, `by ${caller.uid}`, 0o600);
    assert.deepEqual({ uid, gid }, ANON);
    for (const other of [root, alice]) await opens(vfs, other, ino);
    await assert.rejects(async () => await vfs.setattr(caller, ino, { uid: caller.uid }), EPERM);
    assert.equal((await vfs.setattr(caller, ino, { mode: 0o640 })).attr.mode & 0o777, 0o640);
  }
  const { ino } = await make(plain, root, "not his", 0o600);
  for (const caller of [root, alice]) {
    await assert.rejects(() => opens(vfs, caller, ino), EACCES);
    await assert.rejects(async () => await vfs.setattr(caller, ino, { length: 0 }), EACCES);
    await assert.rejects(async () => await vfs.setattr(caller, ino, { mode: 0o666 }), EPERM);
    await assert.rejects(async () => await vfs.setxattr(caller, ino, bytes("user.x"), bytes("1")), EACCES);
    await assert.rejects(async () => await vfs.setxattr(caller, ino, bytes("trusted.x"), bytes("1")), EPERM);
    await assert.rejects(async () => await vfs.setFlags(caller, ino, 0x10), EPERM);
  }
  const directory = (await plain.mkdir(root, ROOT_INO, bytes("closed"), 0o700, 0)).attr.ino;
  await assert.rejects(async () => await vfs.lookup(root, directory, bytes("x")), EACCES);
  await assert.rejects(async () => await vfs.opendir(root, directory), EACCES);
  await assert.rejects(async () => await vfs.mkdir(root, directory, bytes("x"), 0o755, 0), EACCES);
  await volume.close();
});

Deno.test("root_squash: root is the anonymous user, group 0 the anonymous group, others are themselves", async () => {
  const { volume, plain, vfs } = await world({ squash: "root" });
  assert.deepEqual(pick(await make(vfs, root, "root's", 0o644)), ANON);
  assert.deepEqual(pick(await make(vfs, alice, "alice's", 0o644)), { uid: 1000, gid: 1000 });
  const wheel = { ...alice, gid: 0 };
  assert.deepEqual(pick(await make(vfs, wheel, "wheel's", 0o644)), { uid: 1000, gid: ANON.gid });

  const { ino } = await make(plain, root, "file", 0o640);
  await assert.rejects(() => opens(vfs, root, ino), EACCES);
  // The kernel has checked what alice may; of a member of group 0 it believed more than that.
  await opens(vfs, alice, ino);
  await assert.rejects(() => opens(vfs, wheel, ino), EACCES);
  const { ino: shared } = await make(plain, root, "shared", 0o660);
  await plain.setattr(root, shared, { gid: 50 });
  await opens(vfs, wheel, shared);
  await assert.rejects(() => opens(vfs, root, shared), EACCES);
  await volume.close();
});

Deno.test("squashed callers: the rules of utimensat, of moving directories, and of set-group-ID", async () => {
  const { volume, plain, vfs } = await world({ squash: "root" });
  const { ino } = await make(plain, root, "not his", 0o666);
  await vfs.setattr(root, ino, { atime: "now", mtime: "now" });
  for (const change of [{ atime: "now" }, { mtime: "now" }, { mtime: { sec: 1, nsec: 0 } }] as const) {
    await assert.rejects(async () => await vfs.setattr(root, ino, change), EPERM);
  }
  const other = (await vfs.mkdir(root, ROOT_INO, bytes("other"), 0o755, 0)).attr.ino;
  await vfs.mkdir(root, ROOT_INO, bytes("fixed"), 0o555, 0);
  await assert.rejects(
    async () => await vfs.rename(root, ROOT_INO, bytes("fixed"), other, bytes("moved"), 0),
    EACCES,
  );
  await vfs.rename(root, ROOT_INO, bytes("fixed"), ROOT_INO, bytes("renamed"), 0);

  const { ino: own } = await make(vfs, root, "own", 0o755);
  await plain.setattr(root, own, { gid: 50 });
  assert.equal((await vfs.setattr(root, own, { mode: 0o2755 })).attr.mode & 0o7777, 0o755);
  await volume.close();
});

Deno.test("what a squashed root writes clears set-user-ID", async () => {
  for (const squash of ["all", "root"] as const) {
    const { volume, plain, vfs } = await world({ squash });
    const changes: Record<string, (ino: number) => Promise<unknown>> = {
      write: async (ino) => {
        const { handle } = await vfs.open(root, ino, O_RDWR);
        await vfs.write(root, ino, handle, 0, bytes("x"), false);
        await vfs.release(ino, handle);
      },
      truncate: async (ino) => await vfs.setattr(root, ino, { length: 1 }),
      "O_TRUNC": (ino) => opens(vfs, root, ino, O_RDWR | O_TRUNC),
    };
    for (const [name, change] of Object.entries(changes)) {
      const { ino } = await make(plain, root, name, 0o666);
      await plain.setattr(root, ino, { mode: 0o6777 });
      await change(ino);
      assert.equal((await plain.getattr(root, ino, 0)).attr.mode & 0o7777, 0o777, `${squash}: ${name}`);
    }
    await volume.close();
  }
});

Deno.test("a squashed caller hears of its interrupt", async () => {
  const { volume, vfs } = await world({ squash: "all" });
  const { attr: { ino }, handle } = await vfs.create(alice, ROOT_INO, bytes("f"), 0o666, O_RDWR, 0);
  const second = (await vfs.open(alice, ino, O_RDWR)).handle;
  await vfs.flock(alice, ino, handle, "write", { wait: false });
  const waiter: Caller = { uid: 7, gid: 7, pid: 7 };
  const waiting = vfs.flock(waiter, ino, second, "write", { wait: true });
  while (waiter.onInterrupt === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  waiter.interrupted = true;
  waiter.onInterrupt();
  await assert.rejects(async () => await waiting, { code: "EINTR" });
  await volume.close();
});

Deno.test("uid=, gid=: shown for every file, and nobody else can be its owner", async () => {
  const { volume, plain, vfs } = await world({ owner: { uid: 77, gid: undefined } });
  const { attr, handle } = await vfs.create(alice, ROOT_INO, bytes("f"), 0o644, O_RDWR, 0);
  const { ino } = attr;
  assert.deepEqual(pick(attr), { uid: 77, gid: 1000 });
  await vfs.release(ino, handle);
  assert.deepEqual(pick((await plain.getattr(root, ino, 0)).attr), { uid: 1000, gid: 1000 });
  for (const found of [await vfs.getattr(root, ino, 0), await vfs.lookup(root, ROOT_INO, bytes("f"))]) {
    assert.deepEqual(pick(found.attr), { uid: 77, gid: 1000 });
  }
  const directory = await vfs.opendir(root, ROOT_INO);
  const listed: unknown[] = [];
  await vfs.readdir(root, ROOT_INO, directory.handle, 0, true, (_name, _ino, _mode, _cookie, attr) => {
    if (attr !== null) listed.push(pick(attr));
    return true;
  });
  assert.deepEqual(listed, [{ uid: 77, gid: 1000 }]);

  await vfs.setattr(root, ino, { uid: 77, gid: 12 });
  assert.deepEqual(pick((await plain.getattr(root, ino, 0)).attr), { uid: 1000, gid: 12 });
  await assert.rejects(async () => await vfs.setattr(root, ino, { uid: 78 }), EPERM);
  await volume.close();
});

function pick({ uid, gid }: { readonly uid: number; readonly gid: number }) {
  return { uid, gid };
}

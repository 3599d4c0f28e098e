/** Locks of open files: whose they are, when they end, and what their next holder sees. Two mounts of one volume. */
import assert from "node:assert/strict";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { FsError } from "../../core/errors.ts";
import { FILE_BYTES_MAX, ROOT_INO } from "../../core/limits.ts";
import { readFormat } from "../../core/meta/format.ts";
import {
  type Caller,
  type FileLock,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  type Outdated,
  type Vfs,
} from "../../core/vfs/types.ts";
import { openVolume, type Volume } from "../../core/volume.ts";
import { allRows } from "../helpers/check_metadata.ts";
import { createFaultyObjectStore } from "../helpers/faulty_object_store.ts";
import { bytes, formattedMemoryStore } from "../helpers/memory_world.ts";
import { createVirtualEnv } from "../helpers/virtual_env.ts";

const caller = (): Caller => ({ uid: 0, gid: 0, pid: 42 });
const NOW = { wait: false };
const WAIT = { wait: true };
const record = (type: FileLock["type"], owner: string, start = 0, end = FILE_BYTES_MAX): FileLock => ({
  type,
  start,
  end,
  pid: 42,
  owner,
});

async function twoMounts() {
  const env = createVirtualEnv();
  const meta = await formattedMemoryStore();
  const format = await readFormat(meta);
  assert.ok(format !== null);
  const objects = createFaultyObjectStore(createMemoryObjectStore(), env);
  const client = { host: "test", pid: 1, version: "0" };
  const open = () => openVolume({ meta, objects, format, env, options: { client } });
  const volumes: Volume[] = [await open(), await open()];
  const [one, two] = volumes.map(({ vfs }) => vfs) as [Vfs, Vfs];
  const made = await one.create(caller(), ROOT_INO, bytes("f"), 0o644, O_RDWR, 0);
  const ino = made.attr.ino;
  await two.lookup(caller(), ROOT_INO, bytes("f"));
  return { env, meta, objects, volumes, one, two, ino, handle: made.handle };
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

Deno.test("what was written under a lock is there for its next holder, on another mount too", async () => {
  const { env, one, two, ino, handle } = await twoMounts();
  const { handle: other } = await two.open(caller(), ino, O_RDWR);
  await one.setlk(caller(), ino, handle, record("write", "p"), NOW);
  const next = two.setlk(caller(), ino, other, record("write", "p"), WAIT) as Promise<Outdated>;
  await env.settle();
  assert.equal(await one.write(caller(), ino, handle, 0, bytes("first"), false), 5);
  await env.run(Promise.resolve(one.setlk(caller(), ino, handle, record("unlock", "p"), NOW)));
  assert.equal(await env.run(next), "contents");
  assert.equal((await two.getattr(caller(), ino, other)).attr.length, 5);
  const into = new Uint8Array(9);
  assert.equal(await env.run(Promise.resolve(two.read(caller(), ino, other, 0, into))), 5);
  assert.deepEqual(into.subarray(0, 5), bytes("first"));

  // The same for a flock that goes on as a lock to read.
  await two.flock(caller(), ino, other, "write", NOW);
  assert.equal(await two.setlk(caller(), ino, other, record("read", "p"), NOW), "nothing");
  const reader = one.flock(caller(), ino, handle, "read", WAIT) as Promise<Outdated>;
  await two.write(caller(), ino, other, 5, bytes(" and second"), false);
  await env.run(Promise.resolve(two.flock(caller(), ino, other, "read", NOW)));
  await env.run(reader);
  assert.equal((await one.getattr(caller(), ino, handle)).attr.length, 16);
});

Deno.test("an append goes to the end that other mounts have moved, whatever end the kernel knows", async () => {
  const { env, one, two, ino, handle } = await twoMounts();
  const { handle: other } = await two.open(caller(), ino, O_WRONLY);
  const append = async (vfs: Vfs, at: number, kernelEnd: number, text: string) => {
    await env.run(Promise.resolve(vfs.flock(caller(), ino, at, "write", WAIT)));
    const written = vfs.write(caller(), ino, at, kernelEnd, bytes(text), false, true);
    assert.equal(await env.run(Promise.resolve(written)), text.length);
    await env.run(Promise.resolve(vfs.flock(caller(), ino, at, "unlock", NOW)));
  };
  await append(one, handle, 0, "one ");
  await append(two, other, 0, "two ");
  await append(one, handle, 4, "three ");
  await append(one, handle, 10, "four ");
  await append(two, other, 4, "five");
  const into = new Uint8Array(100);
  const count = await env.run(Promise.resolve(one.read(caller(), ino, handle, 0, into)));
  assert.equal(new TextDecoder().decode(into.subarray(0, count)), "one two three four five".slice(0, count));
  assert.equal((await env.run(Promise.resolve(two.getattr(caller(), ino, other)))).attr.length, 23);
  // Without O_APPEND the offset is what it is.
  await env.run(Promise.resolve(two.write(caller(), ino, other, 0, bytes("ONE"), false)));
  assert.equal((await env.run(Promise.resolve(two.getattr(caller(), ino, other)))).attr.length, 23);
});

Deno.test("any close of a process gives back its record locks on the file, and no one else's", async () => {
  const { one, two, ino, handle, meta } = await twoMounts();
  const { handle: second } = await one.open(caller(), ino, O_RDWR);
  const { handle: other } = await two.open(caller(), ino, O_RDWR);
  await one.setlk(caller(), ino, handle, record("write", "p", 0, 9), NOW);
  await one.setlk(caller(), ino, second, record("write", "q", 10, 19), NOW);
  await one.flush(caller(), ino, second, "p");
  await one.flush(caller(), ino, second, "nobody");
  assert.equal(await codeOf(() => two.setlk(caller(), ino, other, record("read", "x", 0, 9), NOW)), "ok");
  assert.equal(
    await codeOf(() => two.setlk(caller(), ino, other, record("read", "x", 10, 10), NOW)),
    "EAGAIN",
  );

  // What p locks again belongs to the other handle: the end of the first, whenever it comes, leaves it alone.
  await one.setlk(caller(), ino, handle, record("write", "p", 100, 109), NOW);
  await one.release(ino, second);
  assert.equal(
    await codeOf(() => two.setlk(caller(), ino, other, record("read", "x", 100, 100), NOW)),
    "EAGAIN",
  );
  assert.equal(await codeOf(() => two.setlk(caller(), ino, other, record("read", "x", 10, 10), NOW)), "ok");
  // q's owner never closed: an open file description's lock ends with the handle, like p's now.
  await one.release(ino, handle);
  await two.flush(caller(), ino, other, "x");
  assert.deepEqual(await allRows(meta, "plocks"), []);
});

Deno.test("a flock belongs to the handle and ends with it, on a removed file as well", async () => {
  const { env, one, two, ino, handle, meta, volumes } = await twoMounts();
  const { handle: second } = await one.open(caller(), ino, O_RDONLY);
  const { handle: other } = await two.open(caller(), ino, O_RDONLY);
  await one.flock(caller(), ino, handle, "write", NOW);
  assert.equal(
    await codeOf(() => one.flock(caller(), ino, second, "read", NOW)),
    "EAGAIN",
    "the same process",
  );
  assert.equal(await codeOf(() => two.flock(caller(), ino, other, "read", NOW)), "EAGAIN");
  await one.flush(caller(), ino, handle, "p");
  assert.equal(
    await codeOf(() => two.flock(caller(), ino, other, "read", NOW)),
    "EAGAIN",
    "a close is not the end",
  );
  const waiting = one.flock(caller(), ino, second, "write", WAIT) as Promise<Outdated>;
  await one.unlink(caller(), ROOT_INO, bytes("f"));
  const released = one.release(ino, handle);
  // Asked after the release began, though it has not ended.
  assert.equal(await codeOf(() => one.flock(caller(), ino, second, "write", NOW)), "ok");
  await released;
  await waiting;
  await one.flock(caller(), ino, second, "unlock", NOW);
  await two.flock(caller(), ino, other, "write", NOW);
  for (const volume of volumes) await env.run(volume.close());
  assert.deepEqual(await allRows(meta, "flocks"), []);
});

Deno.test("a store that is down does not keep the locks of who closes", async () => {
  const { env, one, two, ino, handle, objects } = await twoMounts();
  const { handle: other } = await two.open(caller(), ino, O_RDWR);
  await one.setlk(caller(), ino, handle, record("write", "p"), NOW);
  await one.write(caller(), ino, handle, 0, bytes("data"), false);
  objects.faults.isDown = true;
  await assert.rejects(env.run(Promise.resolve(one.flush(caller(), ino, handle, "p"))));
  assert.equal(await codeOf(() => two.setlk(caller(), ino, other, record("write", "p"), NOW)), "ok");
});

Deno.test("a lock needs a handle that is open for it, and a range that a file can have", async () => {
  const { one, ino, handle } = await twoMounts();
  const { handle: reading } = await one.open(caller(), ino, O_RDONLY);
  const { handle: writing } = await one.open(caller(), ino, O_WRONLY);
  const set = (at: number, lock: FileLock) => codeOf(() => one.setlk(caller(), ino, at, lock, NOW));
  assert.equal(await set(reading, record("write", "p")), "EBADF");
  assert.equal(await set(writing, record("read", "p")), "EBADF");
  assert.equal(await set(reading, record("read", "p")), "ok");
  assert.equal(await set(writing, record("write", "p")), "ok");
  assert.equal(await set(handle + 1000, record("write", "p")), "EBADF");
  assert.equal(await set(handle, record("write", "p", 5, 4)), "EINVAL");
  assert.equal(await set(handle, record("write", "p", -5, 4)), "EINVAL");
  assert.equal(await set(handle, record("write", "p", 0, FILE_BYTES_MAX + 2)), "EOVERFLOW");
  const found = await one.getlk(caller(), ino, handle, record("read", "q", 7, 7));
  assert.deepEqual({ ...found, owner: "" }, record("write", "", 0));
  assert.equal((await one.getlk(caller(), ino, handle, record("read", "p", 7, 7))).type, "unlock");
});

/** When reads set access times. */
import assert from "node:assert/strict";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { formatVolume, openVolume } from "../../core/volume.ts";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import type { AtimeMode } from "../../core/vfs/atime.ts";
import type { Env, Timespec } from "../../core/env.ts";
import { bytes, quietEnv } from "../helpers/memory_world.ts";

const caller = { uid: 0, gid: 0, pid: 1 };
const ROOT = 1;

async function world(atime: AtimeMode) {
  let clock: Timespec = { sec: 1_000_000, nsec: 0 };
  const env: Env = { ...quietEnv, now: () => clock };
  const meta = createMemoryMetaStore();
  const objects = createMemoryObjectStore();
  const { format } = await formatVolume(meta, { name: "atimes", storage: "memory", bucket: "memory:" }, env);
  const options = { atime, client: { host: "test", pid: 1, version: "0" } };
  const volume = await openVolume({ meta, objects, format, env, options });
  const { vfs } = volume;
  const { attr: { ino }, handle } = await vfs.create(caller, ROOT, bytes("f"), 0o644, 2, 0);
  await vfs.write(caller, ino, handle, 0, bytes("hello"), false);
  await vfs.flush(caller, ino, handle);
  return {
    volume,
    ino,
    tick: (sec: number) => clock = { sec: clock.sec + sec, nsec: 0 },
    read: () => vfs.read(caller, ino, handle, 0, new Uint8Array(5)),
    atime: async () => (await vfs.getattr(caller, ino, 0)).attr.atime - 1_000_000,
    setAtime: (sec: number) => vfs.setattr(caller, ino, { atime: { sec: 1_000_000 + sec, nsec: 0 } }),
  };
}

Deno.test("relatime: a read sets atime if it is not later than mtime, or a day old, and stat shows it at once", async () => {
  const { volume, tick, read, atime } = await world("relatime");
  tick(10);
  await read();
  assert.equal(await atime(), 10);
  tick(10);
  await read();
  assert.equal(await atime(), 10, "later than mtime already");
  tick(86_400);
  await read();
  assert.equal(await atime(), 86_420);
  await volume.close();
});

Deno.test("strictatime sets it at every read, noatime at none", async () => {
  for (const [mode, expected] of [["strictatime", 20], ["noatime", 0]] as const) {
    const { volume, tick, read, atime } = await world(mode);
    tick(10);
    await read();
    await volume.flush("ordered");
    await new Promise((resolve) => setTimeout(resolve, 1));
    tick(10);
    await read();
    assert.equal(await atime(), expected);
    await volume.close();
  }
});

Deno.test("an access time that the user sets right after a read stays", async () => {
  const { volume, tick, read, atime, setAtime } = await world("relatime");
  tick(10);
  await read();
  await setAtime(-500);
  assert.equal(await atime(), -500);
  await volume.close();
});

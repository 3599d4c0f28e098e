/** A directory of a volume as root. */
import assert from "node:assert/strict";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { ROOT_INO } from "../../core/limits.ts";
import { openSubdir } from "../../core/vfs/subdir.ts";
import type { Vfs } from "../../core/vfs/types.ts";
import { formatVolume, openVolume } from "../../core/volume.ts";
import { countedVfs } from "../helpers/counted_vfs.ts";
import { bytes, quietEnv } from "../helpers/memory_world.ts";

const caller = { uid: 0, gid: 0, pid: 1 };

/** A volume with /a/b/inner, /a/file and /a/link -> b. */
async function world() {
  const meta = createMemoryMetaStore();
  const objects = createMemoryObjectStore();
  const format = { name: "subdirs", storage: "memory", bucket: "memory:" };
  const made = await formatVolume(meta, format, quietEnv);
  const options = { client: { host: "test", pid: 1, version: "0" } };
  const volume = await openVolume({ meta, objects, format: made.format, env: quietEnv, options });
  const { vfs } = volume;
  const a = (await vfs.mkdir(caller, ROOT_INO, bytes("a"), 0o755, 0)).attr.ino;
  const b = (await vfs.mkdir(caller, a, bytes("b"), 0o750, 0)).attr.ino;
  const inner = (await vfs.mkdir(caller, b, bytes("inner"), 0o755, 0)).attr.ino;
  await vfs.mknod(caller, a, bytes("file"), 0o100644, 0, 0);
  await vfs.symlink(caller, a, bytes("link"), bytes("b"));
  return { volume, vfs, a, b, inner };
}

async function list(vfs: Vfs, ino: number, plus: boolean): Promise<[string, number][]> {
  const { handle } = await vfs.opendir(caller, ino);
  const found: [string, number][] = [];
  await vfs.readdir(caller, ino, handle, 0, plus, (name, entryIno, _mode, _cookie, attr) => {
    found.push([new TextDecoder().decode(name), entryIno]);
    if (attr !== null) vfs.forget(attr.ino, 1);
    return true;
  });
  await vfs.releasedir(ino, handle);
  return found;
}

Deno.test("subdir: the directory is the root in every call and answer", async () => {
  const { volume, vfs, b, inner } = await world();
  const top = await openSubdir(vfs, "/a//b/");
  const { attr } = await top.getattr(caller, ROOT_INO, 0);
  assert.deepEqual([attr.ino, attr.mode & 0o777], [ROOT_INO, 0o750]);
  assert.deepEqual((await top.setattr(caller, ROOT_INO, { mode: 0o711 })).attr.ino, ROOT_INO);
  assert.equal((await vfs.getattr(caller, b, 0)).attr.mode & 0o777, 0o711);

  const { attr: file } = await top.mknod(caller, ROOT_INO, bytes("new"), 0o100644, 0, 0);
  assert.equal((await vfs.lookup(caller, b, bytes("new"))).attr.ino, file.ino);
  await top.rename(caller, ROOT_INO, bytes("new"), inner, bytes("moved"), 0);
  await top.link(caller, file.ino, ROOT_INO, bytes("again"));
  await top.setxattr(caller, ROOT_INO, bytes("user.x"), bytes("1"));
  assert.deepEqual(await vfs.getxattr(caller, b, bytes("user.x")), bytes("1"));

  for (const plus of [false, true]) {
    const found = new Map(await list(top, ROOT_INO, plus));
    assert.deepEqual([...found.keys()].sort(), [".", "..", "again", "inner"]);
    assert.deepEqual([found.get("."), found.get(".."), found.get("inner")], [ROOT_INO, ROOT_INO, inner]);
    assert.equal(new Map(await list(top, inner, plus)).get(".."), ROOT_INO);
  }
  await volume.close();
});

Deno.test("subdir: nothing above it can be reached", async () => {
  const { volume, vfs, b, inner } = await world();
  const top = await openSubdir(vfs, "a/b");
  assert.equal((await top.lookup(caller, ROOT_INO, bytes(".."))).attr.ino, ROOT_INO);
  assert.equal((await top.lookup(caller, inner, bytes(".."))).attr.ino, ROOT_INO);
  // Somebody else moves a directory that is in use here to the volume's own root.
  await vfs.rename(caller, b, bytes("inner"), ROOT_INO, bytes("out"), 0);
  await assert.rejects(async () => await top.lookup(caller, inner, bytes("..")), { code: "ESTALE" });
  await volume.close();
});

Deno.test("subdir: what is no directory of the volume is refused", async () => {
  const { volume, vfs } = await world();
  for (
    const [path, message] of [
      ["a/none", /there is no subdirectory a\/none/],
      ["a/file", /cannot be mounted: file is no directory/],
      ["a/file/x", /cannot be mounted: file is no directory/],
      ["a/link", /cannot be mounted: link is a symbolic link/],
      ["a/../a", /must not have \.\. in it/],
      ["n".repeat(256), /a name that is too long/],
    ] as const
  ) await assert.rejects(() => openSubdir(vfs, path), { name: "UserError", message }, path);
  await volume.close();
});

Deno.test("subdir: of the directories on the way only the last one stays referenced", async () => {
  const { volume, vfs, b } = await world();
  const counted = countedVfs(vfs);
  await openSubdir(counted, "a/b");
  assert.deepEqual(counted.outstanding(), [`1 references to inode ${b}`]);
  for (const path of ["a/none", "a/file", "a/link"]) {
    const failing = countedVfs(vfs);
    await assert.rejects(() => openSubdir(failing, path));
    assert.deepEqual(failing.outstanding(), [], path);
  }
  assert.equal(await openSubdir(vfs, "/"), vfs);
  await volume.close();
});

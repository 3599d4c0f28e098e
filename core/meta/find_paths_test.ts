import { deepStrictEqual } from "node:assert/strict";
import { plugin } from "../../backends/meta/memory.ts";
import { systemEnv } from "../env.ts";
import { S_IFDIR } from "../vfs/types.ts";
import { newInode } from "./attr.ts";
import { findPaths } from "./find_paths.ts";
import { put, type Write } from "./store.ts";

Deno.test("findPaths: names files by their path from the root, one path each", async () => {
  const env = systemEnv("error");
  const store = await plugin.open("memory:", { mode: "create", env });
  const bytes = (text: string) => new TextEncoder().encode(text);
  const edge = (parent: number, name: Uint8Array, ino: number) =>
    put("edges", [parent, name], { ino, mode: 0 });
  const directory = (ino: number, parent: number): Write => {
    const attr = { mode: S_IFDIR | 0o755, uid: 0, gid: 0, nlink: 2, length: 4096, parent };
    const { ino: _, ...columns } = newInode(ino, attr, env.now());
    return put("inodes", [ino], columns);
  };
  const fillers = Array.from({ length: 1500 }, (_, i) => edge(1, bytes(`filler ${i}`), 10_000 + i));
  await store.commit({
    checks: [],
    writes: [
      directory(1, 1),
      directory(20, 1),
      directory(21, 20),
      edge(1, bytes("zz"), 20),
      edge(20, bytes("inner"), 21),
      edge(21, bytes("deep file"), 30),
      edge(1, bytes("linked"), 31),
      edge(20, bytes("linked too"), 31),
      edge(1, Uint8Array.of(0xff, 0x61), 32),
      ...fillers,
    ],
  }, { durability: "ordered" });
  deepStrictEqual(
    await findPaths(store, [30, 31, 32, 99]),
    new Map([[31, "/linked"], [32, "/\ufffda"], [30, "/zz/inner/deep file"]]),
  );
  await store.close();
});

/** Speed of the metadata stores through their contract: `deno bench -A tests/bench/meta_store_bench.ts`. */
import { openLibsqlMetaStore } from "../../backends/meta/libsql.ts";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { systemEnv } from "../../core/env.ts";
import {
  append,
  type Batch,
  checkAbsent,
  checkColumns,
  type Durability,
  type MetaStore,
  put,
  read,
  update,
} from "../../core/meta/store.ts";

const PARENT = 1;
const SESSION = 7;
const FILES = 20_000;
const encoder = new TextEncoder();
const inode = {
  mode: 0o100644,
  uid: 1000,
  gid: 1000,
  nlink: 1,
  rdev: 0,
  length: 0,
  parent: 0,
  flags: 0,
  sliceSeq: 0,
  xattrBytes: 0,
  xattrKinds: 0,
  atime: 1_700_000_000,
  atimeNsec: 1,
  mtime: 1_700_000_000,
  mtimeNsec: 1,
  ctime: 1_700_000_000,
  ctimeNsec: 1,
};
const directory = { ...inode, mode: 0o40755, nlink: 2 };

/** What creating a file commits: its name is free, the directory is as it was; entry, inode, directory's times, usage. */
function createBatch(ino: number): Batch {
  const name = encoder.encode(`file-${ino}`);
  return {
    checks: [
      checkAbsent("edges", [PARENT, name]),
      checkColumns("inodes", [PARENT], {
        mode: directory.mode,
        uid: directory.uid,
        gid: directory.gid,
        flags: 0,
      }),
    ],
    writes: [
      put("edges", [PARENT, name], { ino, mode: inode.mode }),
      put("inodes", [ino], inode),
      update("inodes", [PARENT], {
        raise: [
          { columns: ["mtime", "mtimeNsec"], to: [1_700_000_000 + ino, 5] },
          { columns: ["ctime", "ctimeNsec"], to: [1_700_000_000 + ino, 5] },
        ],
      }),
      update("usage", [SESSION], { add: { bytes: 4096, inodes: 1 } }),
    ],
  };
}

async function prepare(store: MetaStore): Promise<void> {
  const writes = [put("inodes", [PARENT], directory), put("usage", [SESSION], { bytes: 0, inodes: 0 })];
  await store.commit({ checks: [], writes }, { durability: "ordered" });
  for (let ino = 16; ino < 16 + FILES; ino++) await commit(store, createBatch(ino), "ordered");
}

async function commit(store: MetaStore, batch: Batch, durability: Durability): Promise<void> {
  const result = await store.commit(batch, { durability });
  if (!result.ok) throw new Error(`commit failed: ${JSON.stringify(result)}`);
}

const directoryPath = Deno.makeTempDirSync({ prefix: "slayerfs-bench-" });
const stores: Record<string, MetaStore> = {
  memory: createMemoryMetaStore(),
  libsql: openLibsqlMetaStore(`${directoryPath}/meta.db`, { mode: "create", env: systemEnv() }),
};
addEventListener("unload", () => Deno.removeSync(directoryPath, { recursive: true }));

for (const [name, store] of Object.entries(stores)) {
  await prepare(store);
  let next = 16 + FILES;
  let turn = 0;
  Deno.bench(`${name}: create`, { group: "create" }, async () => {
    await commit(store, createBatch(next++), "ordered");
  });
  Deno.bench(`${name}: lookup (get with follow)`, { group: "lookup" }, async () => {
    const key = [PARENT, encoder.encode(`file-${16 + (turn++ * 7919) % FILES}`)];
    const [found] = await store.get([read("edges", key, "ino")]);
    if (!found?.ref) throw new Error("not found");
  });
  Deno.bench(`${name}: getattr`, { group: "getattr" }, async () => {
    await store.get([read("inodes", [16 + (turn++ * 7919) % FILES])]);
  });
  Deno.bench(`${name}: two records in one get`, { group: "get2" }, async () => {
    const ino = 16 + (turn++ * 7919) % FILES;
    await store.get([read("inodes", [ino]), read("inodes", [PARENT])]);
  });
  Deno.bench(`${name}: readdirplus page of 100`, { group: "scan" }, async () => {
    const after = [encoder.encode(`file-${16 + (turn++ * 7919) % FILES}`)];
    await store.scan({ table: "edges", prefix: [PARENT], after, limit: 100, follow: "ino" });
  });
  Deno.bench(`${name}: append a slice`, { group: "append" }, async () => {
    const slice = { pos: 0, sliceId: turn++, size: 4096, off: 0, len: 4096 };
    const counter = { table: "inodes", key: [20], column: "sliceSeq" } as const;
    await commit(store, { checks: [], writes: [append("slices", [20, 0], slice, counter)] }, "ordered");
  });
  Deno.bench(`${name}: synced create`, { group: "synced" }, async () => {
    await commit(store, createBatch(next++), "synced");
  });
}

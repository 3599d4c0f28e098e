/**
 * Figures of the data path alone, without a kernel: 1 MiB sequential writes with a flush at the end, and a cold sequential
 * read in 1 MiB pieces, over the memory store and a directory. One iteration moves 64 MiB: MB/s = 67,108.864 / ms.
 *
 *   deno bench -A tests/bench/data_path_bench.ts
 */
import { plugin as filePlugin } from "../../backends/object/file.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { createDataPath, type DataPath } from "../../core/chunk/data_path.ts";
import type { ObjectStore } from "../../core/chunk/object_store.ts";
import { systemEnv } from "../../core/env.ts";
import { createFakeSliceLog } from "../helpers/fake_slice_log.ts";

const MIB = 1 << 20;
const FILE_BYTES = 64 * MIB;
const BLOCK_BYTES = 4 * MIB;
const PREFIX = "bench/";
const env = systemEnv("error");

async function writeFile(data: DataPath, ino: number, body: Uint8Array): Promise<void> {
  for (let offset = 0; offset < FILE_BYTES; offset += body.length) {
    const waiting = data.write(ino, offset, body);
    if (waiting !== undefined) await waiting;
  }
  await data.flush(ino, "ordered");
}

async function readFile(data: DataPath, ino: number, into: Uint8Array): Promise<void> {
  for (let offset = 0; offset < FILE_BYTES; offset += into.length) {
    const answer = data.read(ino, offset, into.length, into);
    if (typeof answer !== "number") await answer;
  }
}

function benchStore(name: string, open: () => Promise<{ objects: ObjectStore; remove: () => void }>): void {
  const body = Uint8Array.from({ length: MIB }, (_, i) => i * 31 + (i >> 8));

  async function world() {
    const { objects, remove } = await open();
    const log = createFakeSliceLog({ objects: null, prefix: PREFIX, blockBytes: BLOCK_BYTES });
    const create = () => createDataPath({ objects, log, env, prefix: PREFIX, blockBytes: BLOCK_BYTES });
    return { objects, create, remove };
  }

  Deno.bench({
    name: `${name}: write 64 MiB and flush`,
    group: "write",
    n: 10,
    warmup: 2,
    async fn(b) {
      const { create, remove } = await world();
      const data = create();
      b.start();
      await writeFile(data, 1, body);
      b.end();
      await data.close();
      remove();
    },
  });

  let prepared: Awaited<ReturnType<typeof world>> | null = null;
  Deno.bench({
    name: `${name}: read 64 MiB cold`,
    group: "read",
    n: 20,
    warmup: 2,
    async fn(b) {
      if (prepared === null) {
        prepared = await world();
        await writeFile(prepared.create(), 1, body);
        globalThis.addEventListener("unload", () => prepared?.remove());
      }
      const data = prepared.create();
      const into = new Uint8Array(MIB);
      b.start();
      await readFile(data, 1, into);
      b.end();
      await data.close();
    },
  });
}

benchStore("memory", async () => ({ objects: createMemoryObjectStore(env), remove: () => {} }));

benchStore("file", async () => {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-bench-" });
  return {
    objects: await filePlugin.open(`file:${directory}`, { mode: "create", env }),
    remove: () => Deno.removeSync(directory, { recursive: true }),
  };
});

{
  const { objects, remove } = await (async () => {
    const directory = await Deno.makeTempDir({ prefix: "slayerfs-bench-" });
    return {
      objects: await filePlugin.open(`file:${directory}`, { mode: "create", env }),
      remove: () => Deno.removeSync(directory, { recursive: true }),
    };
  })();
  globalThis.addEventListener("unload", remove);
  const log = createFakeSliceLog({ objects: null, prefix: PREFIX, blockBytes: BLOCK_BYTES });
  const data = createDataPath({ objects, log, env, prefix: PREFIX, blockBytes: BLOCK_BYTES });
  const page = new Uint8Array(4096).fill(7);
  const into = new Uint8Array(128 << 10);
  let seed = 1;
  const place = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % (FILE_BYTES / 4096) * 4096;
  await writeFile(data, 2, new Uint8Array(MIB));

  Deno.bench({
    name: "file: 1000 random 4 KiB writes and a flush",
    group: "small",
    n: 5,
    warmup: 1,
    async fn() {
      for (let i = 0; i < 1000; i++) {
        const waiting = data.write(1, place(), page);
        if (waiting !== undefined) await waiting;
      }
      await data.flush(1, "ordered");
    },
  });
  let ino = 100;
  Deno.bench({
    name: "file: 1000 files of 4 KiB, each flushed",
    group: "small",
    n: 5,
    warmup: 1,
    async fn() {
      for (let i = 0; i < 1000; i++) {
        data.write(++ino, 0, page);
        await data.flush(ino, "ordered");
      }
    },
  });
  Deno.bench({
    name: "file: 1000 cached reads of 128 KiB",
    group: "small",
    n: 20,
    warmup: 2,
    async fn() {
      for (let i = 0; i < 1000; i++) {
        const answer = data.read(2, (i % 256) * into.length, into.length, into);
        if (typeof answer !== "number") await answer;
      }
    },
  });
}

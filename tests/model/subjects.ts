/** The file systems that the model test runs on: volumes over memory and over files, with settings made up per sequence. */
import assert from "node:assert/strict";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { openLibsqlMetaStore } from "../../backends/meta/libsql.ts";
import { objectPluginFor } from "../../backends/registry.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import type { ObjectStore } from "../../core/chunk/object_store.ts";
import { systemEnv } from "../../core/env.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import { pathClient } from "../../core/vfs/path_client.ts";
import { formatVolume, openVolume, readFormat, type VolumeOptions } from "../../core/volume.ts";
import { checkVolume } from "../helpers/check_volume.ts";
import { countedVfs } from "../helpers/counted_vfs.ts";
import { clientFs } from "./client_fs.ts";
import type { Subject } from "./harness.ts";
import type { Random } from "./random.ts";

const env = systemEnv("error");
const client = { host: "model", pid: 1, version: "0" };

interface Stores {
  readonly meta: MetaStore;
  readonly objects: ObjectStore;
  readonly close: () => Promise<void>;
}

/** `openStores` opens the same stores each time it is called. */
async function volumeFs(random: Random, openStores: (bucket: string) => Promise<Stores>, bucket: string) {
  const blockBytes = random.pick([64 << 10, 256 << 10, 4 << 20]);
  const options: VolumeOptions = {
    client,
    checkPermissions: random.chance(0.5),
    // Small caches and short lives make what is rare in a short sequence common.
    engine: random.pick([{}, { attrTtlMs: 0, entryTtlMs: 0 }, { cacheRecordsMax: 4 }]),
    data: random.pick([
      {},
      { cacheBytes: 1 << 20, readAheadBytes: 1 << 20 },
      { cacheBytes: 0, readAheadBytes: 0 },
      { openSlicesMax: 2, uncommittedSlicesMax: 3 },
      { sliceAgeMs: 0, sliceIdleMs: 0 },
    ]),
  };
  const first = await openStores(bucket);
  await formatVolume(first.meta, { name: "model", storage: "any", bucket, blockBytes }, env);
  await first.close();

  async function start() {
    const stores = await openStores(bucket);
    const format = await readFormat(stores.meta);
    assert(format !== null, "formatted above");
    const volume = await openVolume({ ...stores, format, env, options });
    const vfs = countedVfs(volume.vfs);
    return { stores, volume, vfs, files: pathClient(vfs) };
  }
  let current = await start();

  async function end() {
    await current.files.close();
    assert.deepEqual(current.vfs.outstanding(), [], "references and handles that were not given back");
    await current.volume.close();
    await checkVolume(current.stores.meta, current.stores.objects);
    await current.stores.close();
  }
  return clientFs(current.files, async () => {
    await end();
    current = await start();
    return current.files;
  }, end);
}

export function memorySubject(): Subject {
  return {
    name: "memory",
    reopen: true,
    dotdot: true,
    make(random) {
      const meta = createMemoryMetaStore();
      const objects = createMemoryObjectStore(env);
      // The stores outlive the volume: reopening finds what was there.
      return volumeFs(random, () => Promise.resolve({ meta, objects, close: async () => {} }), "memory:");
    },
  };
}

/** libSQL files and a bucket in `directory`, which is emptied for each sequence. */
export function libsqlSubject(directory: string): Subject {
  let count = 0;
  return {
    name: "libsql",
    reopen: true,
    dotdot: true,
    async make(random) {
      await Deno.remove(`${directory}/${count}`, { recursive: true }).catch(() => {});
      const place = `${directory}/${++count}`;
      await Deno.mkdir(place);
      const plugin = await objectPluginFor("file:");
      return await volumeFs(random, async (bucket) => {
        const meta = openLibsqlMetaStore(`${place}/meta.db`, { mode: "create", env });
        const objects = await plugin.open(bucket, { mode: "create", env });
        return {
          meta,
          objects,
          async close() {
            await objects.close();
            await meta.close();
          },
        };
      }, `file:${place}/objects`);
    },
  };
}

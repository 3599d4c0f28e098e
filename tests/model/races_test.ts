/** Two operations on one file at every distance of a few steps: nothing is left behind, whichever comes first. */
import assert from "node:assert/strict";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { systemEnv } from "../../core/env.ts";
import { type PathClient } from "../../core/vfs/path_api.ts";
import { pathClient } from "../../core/vfs/path_client.ts";
import { formatVolume, openVolume } from "../../core/volume.ts";
import { checkVolume } from "../helpers/check_volume.ts";
import { countedVfs } from "../helpers/counted_vfs.ts";

const env = systemEnv("error");
const STEPS_MAX = 40;

/** Runs `race` on a fresh volume once for each distance, then closes and checks the volume. */
async function atEveryDistance(
  prepare: (files: PathClient) => Promise<void>,
  first: (files: PathClient) => Promise<(() => Promise<unknown>)[]>,
): Promise<void> {
  for (let steps = 0; steps < STEPS_MAX; steps++) {
    const meta = createMemoryMetaStore();
    const objects = createMemoryObjectStore(env);
    const settings = { name: "race", storage: "memory", bucket: "memory:" };
    const { format } = await formatVolume(meta, settings, env);
    const client = { host: "test", pid: 1, version: "0" };
    const volume = await openVolume({ meta, objects, format, env, options: { client } });
    const vfs = countedVfs(volume.vfs);
    const files = pathClient(vfs);
    await prepare(files);
    const running: Promise<unknown>[] = [];
    for (const start of await first(files)) {
      running.push(start().catch((error) => error));
      for (let i = 0; i < steps; i++) await null;
    }
    await Promise.all(running);
    await files.close();
    assert.deepEqual(vfs.outstanding(), []);
    await volume.close();
    await checkVolume(meta, objects).catch((error) => {
      throw new Error(`${steps} steps apart: ${error.message}`);
    });
  }
}

const data = new Uint8Array(100_000).fill(7);

Deno.test("races: removing the last name against the last close", () =>
  atEveryDistance((files) => files.writeFile("/f", data), async (files) => {
    const file = await files.open("/f", { read: true, write: true });
    await file.write(data);
    return [() => files.remove("/f"), () => file.close()];
  }));

Deno.test("races: replacing a file against its last close", () =>
  atEveryDistance(async (files) => {
    await files.writeFile("/f", data);
    await files.writeFile("/g", data);
  }, async (files) => {
    const file = await files.open("/f");
    return [() => files.rename("/g", "/f"), () => file.close()];
  }));

Deno.test("races: removing a file against opening and writing it", () =>
  atEveryDistance((files) => files.writeFile("/f", data), (files) =>
    Promise.resolve([
      () => files.remove("/f"),
      async () => {
        await using file = await files.open("/f", { write: true });
        await file.write(data);
        await file.sync();
      },
    ])));

Deno.test("races: truncating against writing and syncing", () =>
  atEveryDistance((files) => files.writeFile("/f", data), async (files) => {
    const file = await files.open("/f", { read: true, write: true });
    return [
      () => file.writeAt(data, 50_000),
      () => files.truncate("/f", 60_000),
      () => file.sync(),
      () => file.writeAt(data, 10_000),
      () => files.truncate("/f", 5),
      () => file.close(),
    ];
  }));

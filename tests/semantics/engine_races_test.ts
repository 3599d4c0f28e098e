/**
 * Several clients on one volume, every call to the store delayed by a seeded number of turns: random operations on a tiny
 * namespace, where almost everything conflicts. After each run the metadata must be consistent and the usage exact.
 */
import assert from "node:assert/strict";
import { FsError } from "../../core/errors.ts";
import { ROOT_INO } from "../../core/limits.ts";
import { S_IFDIR, S_IFLNK, S_IFREG } from "../../core/meta/attr.ts";
import type { MetaEngine } from "../../core/meta/engine.ts";
import { checkMetadata } from "../helpers/check_metadata.ts";
import { delayedMetaStore, seededRandom } from "../helpers/delayed_meta_store.ts";
import {
  bytes,
  commitSlice,
  formattedMemoryStore as formatted,
  newFile,
  openClient,
} from "../helpers/memory_world.ts";

/** Expected outcomes of an operation that lost a race. */
async function tolerate(operation: Promise<unknown>): Promise<void> {
  try {
    await operation;
  } catch (error) {
    const expected = ["ENOENT", "EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR", "EINVAL", "EPERM", "EBUSY"];
    if (!(error instanceof FsError) || !expected.includes(error.code)) throw error;
  }
}

async function randomOperation(
  engine: MetaEngine,
  directories: number[],
  random: () => number,
): Promise<void> {
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;
  const name = () => bytes(pick(["a", "b", "c", "d"]));
  const directory = () => pick(directories);
  const place = () => ({ parent: directory(), name: name() });
  switch (Math.floor(random() * 9)) {
    case 0:
      return await tolerate(engine.create(directory(), name(), newFile(S_IFREG | 0o644)));
    case 1: {
      const made = await engine.create(directory(), name(), newFile(S_IFDIR | 0o755)).catch(() => null);
      if (made !== null) directories.push(made.ino);
      return;
    }
    case 2:
      return await tolerate(engine.rmdir(directory(), name()));
    case 3:
      return await tolerate(engine.unlink(directory(), name(), () => false));
    case 4:
    case 5:
      return await tolerate(engine.rename(place(), place(), random() < 0.2, () => false));
    case 6:
      return await tolerate(engine.exchange(place(), place()));
    case 7: {
      const target = place();
      return await tolerate((async () => {
        const file = await engine.lookup(target.parent, target.name);
        await engine.link(file.ino, directory(), name());
      })());
    }
    default:
      return await tolerate(
        engine.create(directory(), name(), { ...newFile(S_IFLNK | 0o777), target: bytes("somewhere") }),
      );
  }
}

Deno.test("random operations of three clients leave a tree and exact counters", async () => {
  const firstSeed = Number(Deno.env.get("SLAYERFS_RACES_SEED") ?? 1);
  const runs = Number(Deno.env.get("SLAYERFS_RACES_RUNS") ?? 60);
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    const store = await formatted();
    const random = seededRandom(seed);
    const directories = [ROOT_INO];
    const clients = await Promise.all([1, 2, 3].map(() => openClient(delayedMetaStore(store, random))));
    await Promise.all(clients.map(async (client) => {
      for (let i = 0; i < 40; i++) await randomOperation(client, directories, random);
    }));
    try {
      await checkMetadata(store);
    } catch (error) {
      throw new Error(`seed ${seed} (SLAYERFS_RACES_SEED): ${(error as Error).message}`, { cause: error });
    }
    for (const client of clients) await client.close();
    await checkMetadata(store);
  }
});

Deno.test("of two directory moves that would make a loop together one fails", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const store = await formatted();
    const random = seededRandom(seed);
    const setup = await openClient(store);
    const a = await setup.create(ROOT_INO, bytes("a"), newFile(S_IFDIR | 0o755));
    const b = await setup.create(ROOT_INO, bytes("b"), newFile(S_IFDIR | 0o755));
    const [one, two] = await Promise.all([1, 2].map(() => openClient(delayedMetaStore(store, random))));
    const move = (engine: MetaEngine | undefined, from: string, into: number) =>
      engine?.rename(
        { parent: ROOT_INO, name: bytes(from) },
        { parent: into, name: bytes(from) },
        false,
        () => false,
      );
    const results = await Promise.allSettled([move(one, "a", b.ino), move(two, "b", a.ino)]);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1, `seed ${seed}`);
    await checkMetadata(store);
  }
});

Deno.test("of many clients that create one name exactly one succeeds", async () => {
  const store = await formatted();
  const random = seededRandom(7);
  const clients = await Promise.all(
    Array.from({ length: 8 }, () => openClient(delayedMetaStore(store, random))),
  );
  const results = await Promise.allSettled(
    clients.map((client) => client.create(ROOT_INO, bytes("one"), newFile(S_IFREG | 0o600))),
  );
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  for (const result of results) {
    if (result.status === "rejected") assert.equal((result.reason as FsError).code, "EEXIST");
  }
  await checkMetadata(store);
});

Deno.test("a directory is removed or gets an entry, never both", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const store = await formatted();
    const random = seededRandom(seed);
    const setup = await openClient(store);
    const directory = await setup.create(ROOT_INO, bytes("d"), newFile(S_IFDIR | 0o755));
    const [one, two] = await Promise.all([1, 2].map(() => openClient(delayedMetaStore(store, random))));
    const results = await Promise.allSettled([
      one?.rmdir(ROOT_INO, bytes("d")),
      two?.create(directory.ino, bytes("f"), newFile(S_IFREG | 0o600)),
    ]);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1, `seed ${seed}`);
    await checkMetadata(store);
  }
});

Deno.test("concurrent commits of slices and truncates keep length, lists and usage in step", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const store = await formatted();
    const random = seededRandom(seed);
    const setup = await openClient(store);
    const file = await setup.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o600));
    const clients = await Promise.all([1, 2].map(() => openClient(delayedMetaStore(store, random))));
    await Promise.all(clients.map(async (client) => {
      for (let i = 0; i < 15; i++) {
        if (random() < 0.7) {
          const size = 1 + Math.floor(random() * 20_000);
          await commitSlice(client, file.ino, Math.floor(random() * 3), Math.floor(random() * 50_000), size);
        } else await client.truncate(file.ino, Math.floor(random() * 3 * (64 << 20)));
      }
    }));
    await checkMetadata(store);
    await clients[0]?.unlink(ROOT_INO, bytes("f"), () => false);
    while (await clients[1]?.deleteFiles(Infinity)) { /* until nothing is left */ }
    let deleted = 0;
    while (
      await clients[1]?.deleteSlices(Infinity, (slices) => Promise.resolve(void (deleted += slices.length)))
    );
    assert.ok(deleted > 0);
    await checkMetadata(store);
    const left = await store.scan({ table: "sliceObjects", prefix: [], limit: 1 });
    assert.equal(left.length, 0, `seed ${seed}`);
  }
});

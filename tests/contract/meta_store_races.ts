/**
 * Several clients of one metadata store at the same time: commits behave as if they ran one after another, and reads
 * see the state between two of them.
 */
import assert from "node:assert/strict";
import {
  append,
  type Batch,
  type Change,
  checkAbsent,
  checkColumns,
  checkEmpty,
  checkVersion,
  type MetaStore,
  put,
  read,
  remove,
  update,
} from "../../core/meta/store.ts";
import {
  bytes,
  commitRetrying,
  commitWrites,
  contractTest,
  getOne,
  inode,
  type OpenFixture,
  type OpenMetaStore,
  scanAll,
  slice,
  versionOf,
} from "./meta_store_fixture.ts";

const CLIENTS = 4;
const ROUNDS = 40;
const MTIME = ["mtime", "mtimeNsec"];

/** The store and further clients of it; without `connect`, the same client several times. */
async function withClients(
  fixture: OpenMetaStore,
  body: (clients: MetaStore[]) => Promise<void>,
): Promise<void> {
  const others: MetaStore[] = [];
  try {
    for (let i = 1; i < CLIENTS; i++) others.push(await fixture.connect?.() ?? fixture.store);
    await body([fixture.store, ...others]);
  } finally {
    for (const other of others) await other.close();
  }
}

/** Commits all batches at once, each from a client of its own, and returns which succeeded. */
async function race(clients: MetaStore[], batches: Batch[]): Promise<boolean[]> {
  const results = await Promise.all(
    batches.map((batch, i) => commitRetrying(clients[i % clients.length] as MetaStore, batch)),
  );
  return results.map((result) => result.ok);
}

function countTrue(values: boolean[]): number {
  return values.filter(Boolean).length;
}

export function registerRaces(name: string, open: OpenFixture): void {
  const raceTest = (what: string, body: (clients: MetaStore[], fixture: OpenMetaStore) => Promise<void>) =>
    contractTest(
      `${name}: ${what}`,
      open,
      (fixture) => withClients(fixture, (clients) => body(clients, fixture)),
    );

  raceTest("every client sees a commit as soon as it returned", async (clients) => {
    for (let i = 0; i < 20; i++) {
      await commitWrites(clients[i % CLIENTS] as MetaStore, put("counters", ["c"], { value: i }));
      for (const client of clients) assert.equal((await getOne(client, "counters", ["c"]))?.row.value, i);
    }
  });

  raceTest("additions from all sides add up", async (clients) => {
    await commitWrites(clients[0] as MetaStore, put("usage", [1], { bytes: 0, inodes: 0 }));
    await Promise.all(clients.map(async (client, c) => {
      for (let i = 0; i < ROUNDS; i++) {
        await commitWrites(client, update("usage", [1], { add: { bytes: c, inodes: -1 } }));
      }
    }));
    const total = clients.reduce((sum, _, c) => sum + c * ROUNDS, 0);
    const found = await getOne(clients[0] as MetaStore, "usage", [1]);
    assert.deepEqual(found?.row, { session: 1, bytes: total, inodes: -CLIENTS * ROUNDS });
  });

  raceTest("read, change, check, commit loses no change", async (clients) => {
    await commitWrites(clients[0] as MetaStore, put("counters", ["c"], { value: 0 }));
    let conflicts = 0;
    await Promise.all(clients.map(async (client) => {
      for (let i = 0; i < ROUNDS;) {
        const found = await getOne(client, "counters", ["c"]);
        assert.ok(found !== null);
        const result = await commitRetrying(client, {
          checks: [checkVersion("counters", ["c"], found.version)],
          writes: [put("counters", ["c"], { value: found.row.value + 1 })],
        });
        if (result.ok) i++;
        else conflicts++;
        assert.ok(conflicts < 100_000, "no progress");
      }
    }));
    assert.equal((await getOne(clients[0] as MetaStore, "counters", ["c"]))?.row.value, CLIENTS * ROUNDS);
  });

  raceTest("of several inserts of one key exactly one wins", async (clients) => {
    for (let round = 0; round < ROUNDS; round++) {
      const key = [1, bytes(`name-${round}`)];
      const batches = clients.map((_, c) => ({
        checks: [checkAbsent("edges", key)],
        writes: [put("edges", key, { ino: c, mode: 0 }), put("inodes", [1000 * c + round], inode())],
      }));
      const won = await race(clients, batches);
      assert.equal(countTrue(won), 1);
      const found = await getOne(clients[0] as MetaStore, "edges", key);
      assert.equal(found?.row.ino, won.indexOf(true));
    }
    assert.equal((await scanAll(clients[0] as MetaStore, "inodes")).length, ROUNDS);
  });

  raceTest("creates in one directory do not conflict with each other", async (clients) => {
    await commitWrites(clients[0] as MetaStore, put("inodes", [1], inode({ mode: 0o40755 })));
    for (let round = 0; round < ROUNDS; round++) {
      const batches = clients.map((_, c) => createIn(1, `file-${round}-${c}`, 100 * round + c));
      assert.deepEqual(await race(clients, batches), clients.map(() => true));
    }
    const found = await getOne(clients[0] as MetaStore, "inodes", [1]);
    assert.deepEqual([found?.row.mtime, found?.row.mtimeNsec], [100 * (ROUNDS - 1) + CLIENTS - 1, 7]);
    assert.equal((await scanAll(clients[0] as MetaStore, "edges")).length, ROUNDS * CLIENTS);
  });

  raceTest("create against rmdir: never an entry in a directory that is gone", async (clients) => {
    for (let round = 0; round < ROUNDS; round++) {
      const directory = 10 + round;
      await commitWrites(
        clients[0] as MetaStore,
        put("inodes", [directory], inode({ mode: 0o40755 })),
        put("edges", [1, bytes(`d${round}`)], { ino: directory, mode: 0o40000 }),
      );
      const removal = {
        checks: [
          checkColumns("edges", [1, bytes(`d${round}`)], { ino: directory }),
          checkColumns("inodes", [directory], { mode: 0o40755 }),
          checkEmpty("edges", [directory]),
        ],
        writes: [remove("edges", [1, bytes(`d${round}`)]), remove("inodes", [directory])],
      };
      const creation = createIn(directory, "file", 10_000 + round);
      const others = round % 2 === 0 ? [removal, creation] : [creation, removal];
      assert.equal(countTrue(await race(clients, others)), 1);
      const [parent, entry] = await (clients[2] as MetaStore).get([
        read("inodes", [directory]),
        read("edges", [directory, bytes("file")]),
      ]);
      assert.equal(parent === null, entry === null);
    }
  });

  raceTest("rename against rename: one entry, one new name", async (clients) => {
    for (let round = 0; round < ROUNDS; round++) {
      const from = [1, bytes(`from-${round}`)];
      await commitWrites(clients[0] as MetaStore, put("edges", from, { ino: round, mode: 0 }));
      const version = await versionOf(clients[0] as MetaStore, "edges", from);
      const batches = clients.map((_, c) => ({
        checks: [checkVersion("edges", from, version), checkAbsent("edges", [2, bytes(`to-${round}-${c}`)])],
        writes: [
          remove("edges", from),
          put("edges", [2, bytes(`to-${round}-${c}`)], { ino: round, mode: 0 }),
        ],
      }));
      assert.equal(countTrue(await race(clients, batches)), 1);
    }
    assert.equal((await (clients[0] as MetaStore).scan({ table: "edges", prefix: [1], limit: 9 })).length, 0);
    const moved = await (clients[0] as MetaStore).scan({ table: "edges", prefix: [2], limit: 1000 });
    assert.deepEqual(new Set(moved.map(({ row }) => row.ino)).size, ROUNDS);
    assert.equal(moved.length, ROUNDS);
  });

  raceTest(
    "rename over one target from two sources: both sources end, one after the other",
    async (clients) => {
      for (let round = 0; round < ROUNDS; round++) {
        const target = [3, bytes(`target-${round}`)];
        const sources = [0, 1].map((i) => [3, bytes(`source-${round}-${i}`)]);
        await commitWrites(
          clients[0] as MetaStore,
          ...sources.map((key, i) => put("edges", key, { ino: i, mode: 0 })),
        );
        const batches = sources.map((key, i) => ({
          checks: [checkColumns("edges", key, { ino: i }), checkAbsent("edges", target)],
          writes: [remove("edges", key), put("edges", target, { ino: i, mode: 0 })],
        }));
        const won = await race(clients, batches);
        assert.equal(countTrue(won), 1);
        assert.equal((await getOne(clients[1] as MetaStore, "edges", target))?.row.ino, won.indexOf(true));
      }
    },
  );

  raceTest("two commits that each check what the other writes do not both succeed", async (clients) => {
    for (let round = 0; round < ROUNDS; round++) {
      await commitWrites(
        clients[0] as MetaStore,
        put("inodes", [1], inode({ mode: 1 })),
        put("inodes", [2], inode({ mode: 1 })),
      );
      const byColumns = [[1, 2], [2, 1]].map(([a, b]) => ({
        checks: [checkColumns("inodes", [a as number], { mode: 1 })],
        writes: [update("inodes", [b as number], { set: { mode: 0 } })],
      }));
      assert.equal(countTrue(await race(clients, byColumns)), 1, "columns");
      const byPrefix = [[1, 2], [2, 1]].map(([a, b]) => ({
        checks: [checkEmpty("sustained", [round * 10 + (a as number)])],
        writes: [put("sustained", [round * 10 + (b as number), 1], {})],
      }));
      assert.equal(countTrue(await race(clients, byPrefix)), 1, "prefix");
      const byAbsence = [[1, 2], [2, 1]].map(([a, b]) => ({
        checks: [checkAbsent("usage", [round * 10 + (a as number)])],
        writes: [put("usage", [round * 10 + (b as number)], { bytes: 0, inodes: 0 })],
      }));
      assert.equal(countTrue(await race(clients, byAbsence)), 1, "absence");
    }
  });

  raceTest("appends from all sides get every number once, each client's in its order", async (clients) => {
    await commitWrites(clients[0] as MetaStore, put("inodes", [1], inode()));
    const counter = { table: "inodes", key: [1], column: "sliceSeq" } as const;
    const assigned = await Promise.all(clients.map(async (client, c) => {
      const own: number[] = [];
      for (let i = 0; i < ROUNDS; i++) {
        own.push(...await commitWrites(client, append("slices", [1, c], slice(i), counter)));
      }
      return own;
    }));
    for (const own of assigned) assert.deepEqual(own, own.toSorted((a, b) => a - b));
    const all = assigned.flat().sort((a, b) => a - b);
    assert.deepEqual(all, Array.from({ length: CLIENTS * ROUNDS }, (_, i) => i + 1));
    const found = await scanAll(clients[0] as MetaStore, "slices");
    for (const { row } of found) assert.equal(assigned[row.chunk]?.[row.pos], row.seq);
    assert.equal(found.length, CLIENTS * ROUNDS);
  });

  raceTest("a get of several and a scan see one state", async (clients) => {
    const [writer, ...readers] = clients as [MetaStore, ...MetaStore[]];
    await commitWrites(
      writer,
      put("usage", [1], { bytes: 0, inodes: 0 }),
      put("usage", [2], { bytes: 0, inodes: 0 }),
    );
    let writing = true;
    const reading = readers.map(async (reader) => {
      let reads = 0;
      while (writing || reads === 0) {
        const [a, b] = await reader.get([read("usage", [1]), read("usage", [2])]);
        assert.equal((a?.row.bytes ?? NaN) + (b?.row.bytes ?? NaN), 0);
        const rows = await scanAll(reader, "usage");
        assert.equal(rows.reduce((sum, { row }) => sum + row.bytes, 0), 0);
        reads++;
        await new Promise((resolve) => setTimeout(resolve));
      }
    });
    for (let i = 1; i <= 300; i++) {
      await commitWrites(
        writer,
        update("usage", [1], { add: { bytes: i } }),
        update("usage", [2], { add: { bytes: -i } }),
      );
      if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve));
    }
    writing = false;
    await Promise.all(reading);
  });

  raceTest("watch reports what other clients changed", async (clients, fixture) => {
    const [watching, writing] = clients as [MetaStore, MetaStore];
    if (!watching.capabilities.watch || fixture.connect === undefined) return;
    assert.ok(watching.watch !== undefined);
    const seen: Change[] = [];
    const stop = watching.watch((changes) => seen.push(...changes));
    await commitWrites(watching, put("inodes", [1], inode()));
    await commitWrites(
      writing,
      put("edges", [1, bytes("a")], { ino: 1, mode: 0 }),
      append("slices", [1, 0], slice(0), { table: "inodes", key: [1], column: "sliceSeq" }),
    );
    const expected = ["edges", "inodes", "slices"];
    for (let i = 0; i < 500 && new Set(seen.map(({ table }) => table)).size < expected.length; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual([...new Set(seen.map(({ table }) => table))].sort(), expected);
    assert.deepEqual(seen.find(({ table }) => table === "slices")?.key, [1, 0, 1]);
    assert.deepEqual(seen.find(({ table }) => table === "edges")?.key, [1, bytes("a")]);
    stop();
    seen.length = 0;
    await commitWrites(writing, remove("edges", [1, bytes("a")]));
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(seen, []);
  });
}

/** What creating a file commits. The directory's time is the inode's number. */
function createIn(directory: number, entry: string, ino: number): Batch {
  const key = [directory, bytes(entry)];
  return {
    checks: [checkAbsent("edges", key), checkColumns("inodes", [directory], { mode: 0o40755, flags: 0 })],
    writes: [
      put("edges", key, { ino, mode: 0o100000 }),
      put("inodes", [100_000 + ino], inode({ mode: 0o100644 })),
      update("inodes", [directory], { raise: [{ columns: MTIME, to: [ino, 7] }] }),
    ],
  };
}

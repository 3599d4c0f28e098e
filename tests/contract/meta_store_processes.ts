/** A metadata store that several processes can open: killed ones lose nothing, competing ones agree. */
import assert from "node:assert/strict";
import { type MetaStore, put, read } from "../../core/meta/store.ts";
import { type Contention, directoryOf } from "../helpers/meta_store_child.ts";
import {
  bytes,
  commitWrites,
  contractTest,
  getOne,
  inode,
  type OpenFixture,
  scanAll,
  versionOf,
} from "./meta_store_fixture.ts";

const CHILD = new URL("../helpers/meta_store_child.ts", import.meta.url).pathname;
const KILL_AFTER = 200;
const CLIENTS = 3;
const ROUNDS = 60;

function child(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--no-check", CHILD, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Kills the child after it reported so many commits; the last number that it reported. */
async function killWhileCommitting(process: Deno.ChildProcess): Promise<number> {
  let text = "";
  const decoder = new TextDecoder();
  let killed = false;
  for await (const chunk of process.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (!killed && text.split("\n").length > KILL_AFTER) {
      process.kill("SIGKILL");
      killed = true;
    }
  }
  const status = await process.status;
  assert.ok(killed, `the child ended by itself: ${status.code}`);
  assert.equal(status.signal, "SIGKILL");
  return Number(text.slice(0, text.lastIndexOf("\n")).split("\n").at(-1));
}

/** What one usage record gains the other loses: reads of both see it so, while other processes commit. */
async function readTransfers(store: MetaStore, go: () => boolean): Promise<void> {
  while (go()) {
    for (let i = 0; i < 20; i++) {
      const [a, b] = await store.get([read("usage", [1]), read("usage", [2])]);
      assert.equal((a?.row.bytes ?? NaN) + (b?.row.bytes ?? NaN), 0);
      const rows = await scanAll(store, "usage");
      assert.equal(rows.reduce((sum, { row }) => sum + row.bytes, 0), 0);
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
}

export function registerProcesses(name: string, open: OpenFixture): void {
  for (const durability of ["ordered", "synced"]) {
    contractTest(
      `${name}: kill -9 loses no commit that was reported (${durability})`,
      open,
      async (fixture) => {
        const { url, reopen } = fixture;
        assert.ok(url !== undefined && reopen !== undefined);
        await commitWrites(
          fixture.store,
          put("inodes", [1], inode()),
          put("counters", ["done"], { value: 0 }),
        );
        const before = await versionOf(fixture.store, "inodes", [1]);
        await fixture.store.close();
        const reported = await killWhileCommitting(child(url, "commit", durability));
        const store = await reopen();
        try {
          const done = (await getOne(store, "counters", ["done"]))?.row.value ?? 0;
          // The last one may have been committed but not yet reported. Output can be cut short by the kill, too.
          assert.ok(done >= reported, `${reported} commits were reported, ${done} are there`);
          const edges = await scanAll(store, "edges");
          assert.deepEqual(
            edges.map(({ row }) => row.ino).sort((a, b) => a - b),
            Array.from({ length: done }, (_, i) => i + 1),
          );
          for (let i = 1; i <= done; i++) {
            assert.equal((await getOne(store, "inodes", [1000 + i]))?.row.length, i);
            assert.deepEqual((await getOne(store, "edges", [1, bytes(`file-${i}`)]))?.row.ino, i);
          }
          assert.equal(await getOne(store, "inodes", [1000 + done + 1]), null);
          const slices = await scanAll(store, "slices");
          assert.deepEqual(slices.map(({ row }) => [row.seq, row.pos]), edges.map((_, i) => [i + 1, i + 1]));
          assert.equal((await getOne(store, "inodes", [1]))?.row.sliceSeq, done);
          // It can be written, and with versions that the killed process has not used.
          const used = new Set([before, await versionOf(store, "inodes", [1])]);
          for (const { version } of await scanAll(store, "inodes")) used.add(version);
          await commitWrites(store, put("inodes", [1], inode()));
          assert.ok(!used.has(await versionOf(store, "inodes", [1])));
        } finally {
          await store.close();
        }
      },
    );
  }

  contractTest(
    `${name}: processes that work on the same records agree on every one`,
    open,
    async (fixture) => {
      const { store, url } = fixture;
      assert.ok(url !== undefined);
      await commitWrites(
        store,
        put("inodes", [1], inode()),
        put("usage", [1], { bytes: 0, inodes: 0 }),
        put("usage", [2], { bytes: 0, inodes: 0 }),
      );
      for (let round = 0; round < ROUNDS; round++) {
        await commitWrites(store, put("inodes", [directoryOf(round)], inode({ mode: 0o40755 })));
      }
      const children = Array.from({ length: CLIENTS }, (_, c) => child(url, "contend", `${c}`, `${ROUNDS}`));
      let running = true;
      const reading = readTransfers(store, () => running);
      const outputs = await Promise.all(children.map((process) => process.output()));
      running = false;
      await reading;
      for (const { success } of outputs) assert.ok(success);
      const all = outputs.map(({ stdout }) => JSON.parse(new TextDecoder().decode(stdout)) as Contention);
      const total = CLIENTS * ROUNDS;

      const inodes = ROUNDS * (CLIENTS * (CLIENTS - 1)) / 2;
      assert.deepEqual((await getOne(store, "usage", [1]))?.row, { session: 1, bytes: total, inodes });
      assert.equal((await getOne(store, "counters", ["optimistic"]))?.row.value, total);
      const numbers = (lists: number[][]) => lists.flat().sort((a, b) => a - b);
      assert.deepEqual(
        numbers(all.map(({ assigned }) => assigned)),
        Array.from({ length: total }, (_, i) => i + 1),
      );
      for (const { assigned } of all) assert.deepEqual(assigned, assigned.toSorted((a, b) => a - b));
      assert.deepEqual(
        numbers(all.map(({ inserted }) => inserted)),
        Array.from({ length: ROUNDS }, (_, i) => i),
      );
      const inserted = await store.scan({ table: "edges", prefix: [2], limit: 10_000 });
      for (const { row } of inserted) {
        const round = Number(new TextDecoder().decode(row.name).slice("round-".length));
        assert.ok(all[row.ino]?.inserted.includes(round));
      }
      const created = new Set(all.flatMap((one) => one.created));
      const removed = new Set(all.flatMap((one) => one.removed));
      for (let round = 0; round < ROUNDS; round++) {
        const directory = directoryOf(round);
        const entries = await store.scan({ table: "edges", prefix: [directory], limit: 10 });
        const exists = await getOne(store, "inodes", [directory]) !== null;
        assert.equal(removed.has(directory), !exists);
        assert.equal(created.has(directory), entries.length > 0);
        assert.ok(exists || entries.length === 0, `an entry in directory ${directory}, which is gone`);
      }
    },
  );
}

/**
 * Another process that uses a metadata store, for the contract suite:
 *   meta_store_child.ts URL commit ordered|synced      commits numbered batches until it is killed; prints each number after its commit
 *   meta_store_child.ts URL contend CLIENT ROUNDS      works on the same records as its likes; prints what it achieved as JSON
 */
import { metaPluginFor } from "../../backends/registry.ts";
import { systemEnv } from "../../core/env.ts";
import {
  append,
  checkAbsent,
  checkColumns,
  checkEmpty,
  checkVersion,
  type Durability,
  type MetaStore,
  put,
  read,
  remove,
  update,
} from "../../core/meta/store.ts";
import { bytes, commitRetrying, commitWrites, getOne, inode, slice } from "../contract/meta_store_fixture.ts";

/** What a contending client achieved. */
export interface Contention {
  /** Numbers that its appends got. */
  readonly assigned: number[];
  /** Rounds whose common key it inserted. */
  readonly inserted: number[];
  /** Rounds whose directory it removed. */
  readonly removed: number[];
  /** Rounds in whose directory it created a file. */
  readonly created: number[];
}

const sliceCounter = { table: "inodes", key: [1], column: "sliceSeq" } as const;
export const directoryOf = (round: number): number => 1000 + round;

async function commitUntilKilled(store: MetaStore, durability: Durability): Promise<void> {
  for (let i = 1;; i++) {
    const result = await commitRetrying(store, {
      checks: [checkAbsent("edges", [1, bytes(`file-${i}`)])],
      writes: [
        put("edges", [1, bytes(`file-${i}`)], { ino: i, mode: 0 }),
        put("inodes", [1000 + i], inode({ length: i })),
        append("slices", [1, 0], slice(i), sliceCounter),
        update("counters", ["done"], { set: { value: i } }),
      ],
    }, durability);
    if (!result.ok) throw new Error(JSON.stringify(result));
    Deno.stdout.writeSync(new TextEncoder().encode(`${i}\n`));
  }
}

async function contend(store: MetaStore, client: number, rounds: number): Promise<Contention> {
  const done: Contention = { assigned: [], inserted: [], removed: [], created: [] };
  for (let round = 0; round < rounds; round++) {
    await commitWrites(
      store,
      update("usage", [1], { add: { bytes: 1, inodes: client } }),
      update("usage", [2], { add: { bytes: -1 } }),
    );
    await increment(store);
    done.assigned.push(
      ...await commitWrites(store, append("slices", [1, client], slice(round), sliceCounter)),
    );
    const key = [2, bytes(`round-${round}`)];
    const insert = {
      checks: [checkAbsent("edges", key)],
      writes: [put("edges", key, { ino: client, mode: 0 })],
    };
    if ((await commitRetrying(store, insert)).ok) done.inserted.push(round);
    // Different clients come to a directory at about the same time, in different order.
    const directory = directoryOf(client % 2 === 0 ? round : round ^ 1);
    const removal = {
      checks: [checkEmpty("edges", [directory]), checkColumns("inodes", [directory], {})],
      writes: [remove("inodes", [directory])],
    };
    const creation = {
      checks: [checkColumns("inodes", [directory], { mode: 0o40755 })],
      writes: [
        put("edges", [directory, bytes(`client-${client}`)], { ino: client, mode: 0 }),
        update("inodes", [directory], { raise: [{ columns: ["mtime", "mtimeNsec"], to: [round, client] }] }),
      ],
    };
    const removes = client === round % 4;
    const result = await commitRetrying(store, removes ? removal : creation);
    if (result.ok) (removes ? done.removed : done.created).push(directory);
  }
  return done;
}

/** Adds 1 by reading, changing and checking. */
async function increment(store: MetaStore): Promise<void> {
  for (;;) {
    const [found] = await store.get([read("counters", ["optimistic"])]);
    const value = found?.row.value ?? 0;
    const result = await commitRetrying(store, {
      checks: [checkVersion("counters", ["optimistic"], found?.version ?? 0)],
      writes: [put("counters", ["optimistic"], { value: value + 1 })],
    });
    if (result.ok) return;
  }
}

if (import.meta.main) {
  const [url = "", task, ...rest] = Deno.args;
  const store = await (await metaPluginFor(url)).open(url, { mode: "open", env: systemEnv() });
  if (task === "commit") await commitUntilKilled(store, rest[0] as Durability);
  else {
    // The first read and the last show that the handle is alive at both ends.
    await getOne(store, "counters", ["optimistic"]);
    console.log(JSON.stringify(await contend(store, Number(rest[0]), Number(rest[1]))));
    await store.close();
  }
}

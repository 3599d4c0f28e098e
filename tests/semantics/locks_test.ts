/**
 * Locks of several clients on one volume: they exclude, end with their session, and bring what was written under them.
 * `SLAYERFS_LOCKS_SEED` and `SLAYERFS_LOCKS_RUNS` choose the random runs.
 */
import assert from "node:assert/strict";
import { StoreError } from "../../core/errors.ts";
import { FILE_BYTES_MAX, ROOT_INO } from "../../core/limits.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import type { MetaEngine } from "../../core/meta/engine.ts";
import { type MetaStore, put } from "../../core/meta/store.ts";
import { allRows } from "../helpers/check_metadata.ts";
import { delayedMetaStore, seededRandom } from "../helpers/delayed_meta_store.ts";
import { codeOf, isSettled, lock, type LockType, type World, world } from "../helpers/lock_world.ts";
import { bytes, commitSlice, formattedMemoryStore, newFile, openClient } from "../helpers/memory_world.ts";
import { createVirtualEnv } from "../helpers/virtual_env.ts";

const keep = () => Promise.resolve();

/** What processes certainly hold; throws when two of them hold what excludes each other. */
class HeldBytes {
  private held = new Map<string, LockType[]>();
  constructor(private readonly byteCount: number) {}

  of(process: string): LockType[] {
    let map = this.held.get(process);
    if (map === undefined) this.held.set(process, map = new Array(this.byteCount).fill("unlock"));
    return map;
  }

  set(process: string, start: number, end: number, type: LockType): void {
    const own = this.of(process);
    for (let byte = start; byte <= Math.min(end, this.byteCount - 1); byte++) own[byte] = type;
    for (const [other, map] of this.held) {
      if (other === process) continue;
      for (let byte = 0; byte < this.byteCount; byte++) {
        const both = [own[byte], map[byte]];
        if (both.includes("write") && !both.includes("unlock")) {
          throw new Error(`${process} holds byte ${byte} to ${own[byte]}, ${other} to ${map[byte]}`);
        }
      }
    }
  }

  /** While a request is under way, a process certainly holds only what is locked before and after it. */
  weaken(process: string, start: number, end: number, type: LockType): void {
    const own = this.of(process);
    for (let byte = start; byte <= Math.min(end, this.byteCount - 1); byte++) {
      if (type === "unlock" || (type === "read" && own[byte] === "write")) own[byte] = type;
    }
  }
}

const FIRST_SEED = Number(Deno.env.get("SLAYERFS_LOCKS_SEED") ?? 1);
const RUNS = Number(Deno.env.get("SLAYERFS_LOCKS_RUNS") ?? 40);

async function forSeeds(run: (seed: number, random: () => number) => Promise<void>): Promise<void> {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    try {
      await run(seed, seededRandom(seed + 1_000_000));
    } catch (error) {
      throw new Error(`seed ${seed} (SLAYERFS_LOCKS_SEED): ${(error as Error).message}`, { cause: error });
    }
  }
}

Deno.test("random record locks of three clients never exclude each other", () =>
  forSeeds(async (seed, random) => {
    const { env, clients, ino, store } = await world(3, seed);
    const BYTES = 12;
    const held = new HeldBytes(BYTES);
    const granted = { try: 0, wait: 0 };
    const live = async (engine: MetaEngine, owner: string) => {
      const name = `${engine.session}/${owner}`;
      for (let i = 0; i < 25; i++) {
        const start = Math.floor(random() * BYTES);
        const end = random() < 0.3 ? FILE_BYTES_MAX : start + Math.floor(random() * (BYTES - start));
        const type = (["read", "write", "unlock"] as const)[Math.floor(random() * 3)] as LockType;
        const wait = random() < 0.5;
        const caller: { onInterrupt?: () => void; interrupted?: boolean } = {};
        held.weaken(name, start, end, type);
        const request = codeOf(
          engine.locks.records.set(ino, { owner, pid: 1, start, end, type, wait }, caller),
        );
        // Who waits while it holds something may wait for ever: a signal ends that.
        const timer = env.timer(random() * 300, () => caller.onInterrupt?.());
        const code = await request;
        timer.cancel();
        if (code === "ok") {
          held.set(name, start, end, type);
          if (type !== "unlock") granted[wait ? "wait" : "try"]++;
        } else assert.ok(["EAGAIN", "EINTR", "EDEADLK"].includes(code), code);
        if (random() < 0.5) await env.sleep(random() * 30);
      }
      held.weaken(name, 0, FILE_BYTES_MAX, "unlock");
      await engine.locks.records.endOwner(ino, owner);
    };
    await env.run(Promise.all(clients.flatMap((engine) => [live(engine, "a"), live(engine, "b")])));
    assert.ok(granted.try > 0 && granted.wait > 0);
    assert.deepEqual(await allRows(store, "plocks"), [], "nothing is left, nobody is said to wait");
  }));

Deno.test("random flocks of three clients: one writer or readers, and who waits gets its turn", () =>
  forSeeds(async (seed, random) => {
    const { env, clients, ino, store } = await world(3, seed);
    const held = new HeldBytes(1);
    const live = async (engine: MetaEngine, owner: string) => {
      const name = `${engine.session}/${owner}`;
      for (let i = 0; i < 12; i++) {
        const type = random() < 0.5 ? "read" : "write";
        await lock(engine.locks.flocks, ino, owner, type, { wait: true });
        held.set(name, 0, 0, type);
        if (random() < 0.7) await env.sleep(random() * 20);
        if (random() < 0.3) {
          // A conversion may lose the lock while it waits.
          const other = type === "read" ? "write" : "read";
          held.weaken(name, 0, 0, "unlock");
          const wait = random() < 0.5;
          const code = await codeOf(lock(engine.locks.flocks, ino, owner, other, { wait }));
          if (code === "ok") held.set(name, 0, 0, other);
          else assert.ok(!wait && code === "EAGAIN", code);
        }
        held.weaken(name, 0, 0, "unlock");
        await lock(engine.locks.flocks, ino, owner, "unlock");
        if (random() < 0.5) await env.sleep(random() * 5);
      }
    };
    const all = Promise.all(clients.flatMap((engine) => [live(engine, "1"), live(engine, "2")]));
    // Nobody waits while it holds something: so everybody comes to an end.
    await env.run(all, 120_000);
    assert.deepEqual(await allRows(store, "flocks"), []);
  }));

Deno.test("many processes of many clients count without losing any", async () => {
  for (const seed of [1, 2, 3]) {
    const { env, clients, ino } = await world(4, seed);
    let counter = 0;
    const count = async (engine: MetaEngine, owner: string) => {
      for (let i = 0; i < 10; i++) {
        await lock(engine.locks.records, ino, owner, "write", { wait: true, end: 9 });
        const read = counter;
        await env.sleep(1);
        counter = read + 1;
        await lock(engine.locks.records, ino, owner, "unlock");
      }
    };
    await env.run(
      Promise.all(clients.flatMap((engine) => ["a", "b", "c"].map((owner) => count(engine, owner)))),
    );
    assert.equal(counter, 120);
  }
});

Deno.test("locks of a dead session are given to who waits; the dead one gets none any more", async () => {
  const { env, clients: [dead, one, two], ino, store } = await world(3) as World & {
    clients: [MetaEngine, MetaEngine, MetaEngine];
  };
  await lock(dead.locks.flocks, ino, "1", "write");
  await lock(dead.locks.records, ino, "a", "read", { start: 5, end: 9 });
  await lock(one.locks.records, ino, "a", "read", { start: 0, end: 6 });
  const waiting = [
    lock(one.locks.flocks, ino, "1", "write", { wait: true }),
    lock(two.locks.records, ino, "b", "write", { start: 7, end: 7, wait: true }),
  ];
  await env.advance(2000);
  assert.equal(await isSettled(env, Promise.any(waiting)), false);
  // All others still send heartbeats: only the dead one is too old.
  await env.advance(60_000);
  await Promise.all([one.heartbeat(), two.heartbeat()]);
  assert.deepEqual(await two.endStaleSessions(env.now().sec - 30, keep), [dead.session]);
  await env.run(Promise.all(waiting), 1000);
  assert.equal(await codeOf(lock(two.locks.records, ino, "b", "write", { start: 6, end: 6 })), "EAGAIN");

  const other = await one.create(ROOT_INO, bytes("other"), newFile(S_IFREG | 0o644));
  assert.equal(await codeOf(lock(dead.locks.flocks, other.ino, "1", "read")), "EIO");
  assert.equal(await codeOf(lock(dead.locks.records, ino, "a", "read", { start: 100 })), "EIO");
  assert.equal(
    await codeOf(lock(dead.locks.flocks, ino, "1", "write")),
    "EIO",
    "not even what it thinks it has",
  );
  assert.equal(await codeOf(lock(dead.locks.records, ino, "a", "unlock")), "ok");
  const text = JSON.stringify([await allRows(store, "flocks"), await allRows(store, "plocks")]);
  assert.ok(!text.includes(`[[${dead.session},`) && !text.includes(`,[${dead.session},`), text);
});

Deno.test("a client's locks end with its orderly close, and so does its waiting", async () => {
  const { env, clients: [one, two], ino, store } = await world(2) as World & {
    clients: [MetaEngine, MetaEngine];
  };
  await lock(one.locks.flocks, ino, "1", "read");
  await lock(one.locks.records, ino, "a", "write", { end: 9 });
  await lock(two.locks.records, ino, "a", "write", { start: 20 });
  const refused = codeOf(lock(one.locks.records, ino, "b", "write", { start: 30, wait: true }));
  const waiting = lock(two.locks.records, ino, "a", "write", { end: 3, wait: true });
  await env.advance(100);
  await env.run(one.close());
  assert.equal(await refused, "EIO");
  await env.run(waiting, 1000);
  assert.deepEqual(await allRows(store, "flocks"), []);
  await env.run(two.close());
  assert.deepEqual(await allRows(store, "plocks"), []);
});

Deno.test("nobody is refused because of what another client held a moment ago", async () => {
  const { clients: [one, two], ino } = await world(2) as World & { clients: [MetaEngine, MetaEngine] };
  await lock(two.locks.records, ino, "x", "write", { start: 10 });
  await lock(one.locks.records, ino, "a", "write", { end: 5 });
  assert.equal(await codeOf(lock(one.locks.records, ino, "a", "read", { start: 10 })), "EAGAIN");
  await lock(two.locks.records, ino, "x", "unlock");
  assert.equal(await codeOf(lock(one.locks.records, ino, "a", "read", { start: 10 })), "ok");
});

Deno.test("F_GETLK names the first lock in the way, and processes of this client only", async () => {
  const { clients: [one, two], ino } = await world(2) as World & { clients: [MetaEngine, MetaEngine] };
  const test = (engine: MetaEngine, type: "read" | "write", start: number, end: number, owner = "me") =>
    engine.locks.records.test(ino, { owner, start, end, type });
  assert.equal(await test(one, "write", 0, FILE_BYTES_MAX), null);
  await one.locks.records.set(ino, { owner: "a", pid: 70, start: 20, end: 29, type: "write", wait: false });
  await one.locks.records.set(ino, { owner: "b", pid: 71, start: 10, end: 14, type: "read", wait: false });
  const read = { start: 10, end: 14, type: "read" };
  const write = { start: 20, end: 29, type: "write" };
  assert.deepEqual(await test(one, "write", 0, FILE_BYTES_MAX), { ...read, pid: 71 });
  assert.deepEqual(await test(one, "read", 0, FILE_BYTES_MAX), { ...write, pid: 70 });
  assert.deepEqual(await test(two, "read", 29, 29), { ...write, pid: 0 });
  assert.equal(await test(one, "write", 15, 29, "a"), null, "its own locks are in nobody's way");
  assert.deepEqual(
    await test(two, "read", 15, 29, "a"),
    { ...write, pid: 0 },
    "the same name elsewhere is another owner",
  );
});

Deno.test("an uncontended lock is one read and one commit, the unlock one commit", async () => {
  const inner = await formattedMemoryStore();
  const env = createVirtualEnv();
  const calls: string[] = [];
  const store: MetaStore = {
    ...delayedMetaStore(inner, () => 0),
    get: (reads) => (calls.push("get"), inner.get(reads)),
    commit: (batch, options) => (calls.push("commit"), inner.commit(batch, options)),
  };
  const engine = await openClient(store, env);
  const { ino } = await engine.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  calls.length = 0;
  const { records } = engine.locks;
  await lock(records, ino, "a", "write", { end: 9 });
  assert.deepEqual(calls.splice(0), ["get", "commit"]);
  await lock(records, ino, "a", "write", { start: 10, end: 19 });
  await lock(records, ino, "b", "read", { start: 30, end: 39 });
  assert.deepEqual(calls.splice(0), ["commit", "commit"], "while it holds locks it knows the record");
  assert.equal(await codeOf(lock(records, ino, "b", "read", { end: 9 })), "EAGAIN");
  await lock(records, ino, "c", "unlock");
  assert.deepEqual(calls.splice(0), [], "nothing to ask for what is its own");
  const waiting = lock(records, ino, "b", "write", { end: 19, wait: true });
  await env.settle();
  await Promise.all([lock(records, ino, "a", "unlock"), waiting]);
  assert.deepEqual(calls.splice(0), ["commit"], "handed on in the same commit");
  await records.endOwner(ino, "b");
  assert.deepEqual(calls.splice(0), ["commit"]);
  await records.endOwner(ino, "b");
  assert.deepEqual(calls.splice(0), []);
});

Deno.test("who gets a lock sees the file as the last holder left it", async () => {
  for (const seed of [1, 2, 3]) {
    const { env, clients: [one, two], ino } = await world(2, seed) as World & {
      clients: [MetaEngine, MetaEngine];
    };
    assert.equal((await two.getattr(ino)).length, 0);
    await lock(one.locks.records, ino, "a", "write");
    const waiting = lock(two.locks.records, ino, "a", "write", { wait: true });
    await env.settle();
    await commitSlice(one, ino, 0, 0, 4711);
    await lock(one.locks.records, ino, "a", "unlock");
    await env.run(waiting);
    assert.equal((await two.getattr(ino)).length, 4711, "though its attributes were cached a moment ago");
  }
});

Deno.test("whoever gets a lock is told when others may have had one since this client's last", async () => {
  const { clients: [one, two], ino } = await world(2) as World & { clients: [MetaEngine, MetaEngine] };
  const set = (engine: MetaEngine, owner: string, type: LockType, start: number) =>
    lock(engine.locks.records, ino, owner, type, { start, end: start });
  assert.equal(await set(one, "a", "write", 0), true);
  assert.equal(await set(one, "a", "write", 1), false);
  assert.equal(await set(one, "b", "read", 5), false, "nobody else was here");
  assert.equal(await set(two, "a", "write", 9), true);
  await set(two, "a", "unlock", 9);
  assert.equal(await codeOf(set(one, "b", "write", 0)), "EAGAIN");
  assert.equal(await set(one, "b", "write", 9), true);
  // What was read for somebody who got nothing still is news for the next.
  await set(two, "a", "write", 20);
  await set(two, "b", "write", 21);
  await set(two, "b", "unlock", 21);
  assert.equal(await codeOf(set(one, "b", "write", 20)), "EAGAIN");
  assert.equal(await set(one, "a", "write", 21), true);
  assert.equal(await set(one, "a", "write", 22), false);
});

Deno.test("an unlock that the store refused is reported, and done when the store is there again", async () => {
  const inner = await formattedMemoryStore();
  const env = createVirtualEnv();
  let isDown = false;
  const store: MetaStore = {
    ...delayedMetaStore(inner, () => 0),
    commit(batch, options) {
      if (isDown) return Promise.reject(new StoreError("retry", "not there"));
      return inner.commit(batch, options);
    },
  };
  const engine = await openClient(store, env);
  const other = await openClient(inner, env);
  const { ino } = await engine.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  await lock(engine.locks.flocks, ino, "1", "write");
  isDown = true;
  const unlock = lock(engine.locks.flocks, ino, "1", "unlock");
  await assert.rejects(env.run(unlock), StoreError);
  const again = lock(engine.locks.flocks, ino, "2", "read");
  await assert.rejects(env.run(again), StoreError);
  isDown = false;
  await env.run(lock(other.locks.flocks, ino, "1", "write", { wait: true }), 60_000);
  assert.equal(await codeOf(lock(engine.locks.flocks, ino, "2", "read")), "EAGAIN");
});

Deno.test("the number of locked ranges in one file is bounded", async () => {
  const { clients: [engine], ino, store } = await world(1, 1, false) as World & { clients: [MetaEngine] };
  const { records } = engine.locks;
  // Every second byte, put into the record at once.
  const ranges = Array.from({ length: 16_384 }, (_, i) => [2 * i, 2 * i, 1]).flat();
  const holders = JSON.stringify([[engine.session, "a", 1, ranges]]);
  const record = put("plocks", [ino], { writer: engine.session, stamp: 0, holders, waiting: "" });
  assert.ok((await store.commit({ checks: [], writes: [record] }, { durability: "ordered" })).ok);
  assert.equal(await codeOf(lock(records, ino, "a", "write", { start: 100_000, end: 100_000 })), "ENOLCK");
  assert.equal(
    await codeOf(lock(records, ino, "a", "write", { start: 1, end: 1 })),
    "ok",
    "it joins two ranges",
  );
  await records.endOwner(ino, "a");
  assert.deepEqual(await allRows(store, "plocks"), []);
});

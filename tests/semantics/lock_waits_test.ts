/** Waiting for locks: whose turn it is, who is woken, rings of waiting owners, signals. */
import assert from "node:assert/strict";
import { ROOT_INO } from "../../core/limits.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import type { MetaEngine } from "../../core/meta/engine.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import { allRows } from "../helpers/check_metadata.ts";
import { delayedMetaStore } from "../helpers/delayed_meta_store.ts";
import { codeOf, isSettled, lock, type World, world } from "../helpers/lock_world.ts";
import { bytes, newFile, openClient } from "../helpers/memory_world.ts";

Deno.test("a lock is handed on within a client at once, and to another client soon", async () => {
  const { env, clients: [one, two], ino } = await world(2) as World & { clients: [MetaEngine, MetaEngine] };
  for (const table of ["flocks", "records"] as const) {
    await env.run(lock(one.locks[table], ino, "a", "write"));
    const local = lock(one.locks[table], ino, "b", "write", { wait: true });
    assert.equal(await isSettled(env, local), false);
    const unlocked = lock(one.locks[table], ino, "a", "unlock");
    assert.equal(await isSettled(env, Promise.all([unlocked, local])), true, "without any time passing");

    const remote = lock(two.locks[table], ino, "a", "write", { wait: true });
    await env.advance(3000);
    assert.equal(await isSettled(env, remote), false);
    await lock(one.locks[table], ino, "b", "unlock");
    await env.run(remote, 1000);
    assert.equal(await codeOf(lock(one.locks[table], ino, "b", "read")), "EAGAIN");
    await lock(two.locks[table], ino, "a", "unlock");
  }
});

Deno.test("a waiting client is woken by a store that reports changes", async () => {
  const { env, clients, ino, store } = await world(1) as World & { clients: [MetaEngine] };
  const one = clients[0];
  let report: (() => void) | undefined;
  const reporting: MetaStore = {
    capabilities: store.capabilities,
    get: (reads) => store.get(reads),
    scan: (scan) => store.scan(scan),
    commit: (batch, options) => store.commit(batch, options),
    close: () => store.close(),
    watch(onChange) {
      report = () => onChange([{ table: "flocks", key: [ino] }]);
      return () => report = undefined;
    },
  };
  const two = await openClient(reporting, env);
  await lock(one.locks.flocks, ino, "1", "write");
  const waiting = lock(two.locks.flocks, ino, "1", "write", { wait: true });
  assert.equal(await isSettled(env, waiting), false);
  await lock(one.locks.flocks, ino, "1", "unlock");
  assert.equal(await isSettled(env, waiting), false);
  assert.ok(report);
  report();
  assert.equal(await isSettled(env, waiting), true);
  await lock(two.locks.flocks, ino, "1", "unlock");
  await env.settle();
  assert.equal(report, undefined, "it stops listening when no locks are left");
});

Deno.test("a client that hands a lock around among its own processes does not starve another", async () => {
  for (const seed of [1, 2, 3]) {
    const { env, clients: [busy, other], ino } = await world(2, seed) as World & {
      clients: [MetaEngine, MetaEngine];
    };
    let isOver = false;
    let turns = 0;
    const hog = async (owner: string) => {
      while (!isOver) {
        await lock(busy.locks.flocks, ino, owner, "write", { wait: true });
        turns++;
        await env.sleep(5);
        await lock(busy.locks.flocks, ino, owner, "unlock");
      }
    };
    const hogs = Promise.all(["1", "2", "3", "4"].map(hog));
    await env.advance(100);
    for (let i = 0; i < 5; i++) {
      const before = turns;
      await env.run(lock(other.locks.flocks, ino, "1", "write", { wait: true }), 5000);
      assert.ok(turns - before < 20, `seed ${seed}: ${turns - before} turns of the others meanwhile`);
      await env.run(lock(other.locks.flocks, ino, "1", "unlock"));
      await env.advance(50);
    }
    isOver = true;
    await env.run(hogs);
  }
});

Deno.test("what a dead client left waiting delays the others once only", async () => {
  const { env, clients: [one], ino, store } = await world(1) as World & { clients: [MetaEngine] };
  let isDead = false;
  const never = new Promise<never>(() => {});
  const two = await openClient({
    ...delayedMetaStore(store, () => 0),
    get: (reads) => isDead ? never : store.get(reads),
  }, env);
  await lock(one.locks.records, ino, "a", "write");
  lock(two.locks.records, ino, "a", "write", { wait: true }).catch(() => {});
  await env.advance(1000);
  assert.equal((await allRows(store, "plocks"))[0]?.waiting.includes(`[${two.session},"a"`), true);
  isDead = true;
  await lock(one.locks.records, ino, "a", "unlock");
  await env.run(lock(one.locks.records, ino, "b", "write", { wait: true }), 2000);
  await lock(one.locks.records, ino, "b", "unlock");
  const again = lock(one.locks.records, ino, "b", "write", { wait: true });
  assert.equal(await isSettled(env, again), true);
});

Deno.test("of owners that wait for each other in a ring the last is refused with EDEADLK", async () => {
  const { env, clients: [engine], ino } = await world(1) as World & { clients: [MetaEngine] };
  const second = await engine.create(ROOT_INO, bytes("g"), newFile(S_IFREG | 0o644));
  const { records, flocks } = engine.locks;
  // Two owners, two files.
  await lock(records, ino, "a", "write");
  await lock(records, second.ino, "b", "read");
  const a = lock(records, second.ino, "a", "write", { wait: true });
  assert.equal(await isSettled(env, a), false);
  assert.equal(await codeOf(lock(records, ino, "b", "write", { wait: true })), "EDEADLK");
  assert.equal(await codeOf(lock(records, ino, "b", "write")), "EAGAIN", "who does not wait makes no ring");
  // The refused one still has what it had; when it lets go, the other goes on.
  assert.equal(await isSettled(env, a), false);
  await lock(records, second.ino, "b", "unlock");
  await a;
  await records.endOwner(ino, "a");
  await records.endOwner(second.ino, "a");

  // Three owners, ranges of one file.
  for (const [i, owner] of ["a", "b", "c"].entries()) {
    await lock(records, ino, owner, "write", { start: i, end: i });
  }
  const b = lock(records, ino, "a", "write", { start: 1, end: 1, wait: true });
  const c = lock(records, ino, "b", "read", { start: 2, end: 2, wait: true });
  await env.settle();
  assert.equal(await codeOf(lock(records, ino, "c", "read", { start: 0, end: 0, wait: true })), "EDEADLK");
  await records.endOwner(ino, "c");
  await c;
  await records.endOwner(ino, "b");
  await b;
  await records.endOwner(ino, "a");

  // Two readers that both want to write.
  await lock(records, ino, "a", "read");
  await lock(records, ino, "b", "read");
  const upgrade = lock(records, ino, "a", "write", { wait: true });
  await env.settle();
  assert.equal(await codeOf(lock(records, ino, "b", "write", { wait: true })), "EDEADLK");
  await records.endOwner(ino, "b");
  await upgrade;
  await records.endOwner(ino, "a");

  // A conversion of a flock gives up the old lock, so the same with flocks ends well.
  await lock(flocks, ino, "1", "read");
  await lock(flocks, ino, "2", "read");
  const first = lock(flocks, ino, "1", "write", { wait: true });
  await env.settle();
  const other = lock(flocks, ino, "2", "write", { wait: true });
  await env.run(other);
  assert.equal(await isSettled(env, first), false);
  await lock(flocks, ino, "2", "unlock");
  await env.run(first);
});

Deno.test("a signal ends the wait and leaves nothing behind", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const { env, clients: [one, two], ino, store } = await world(2, seed) as World & {
      clients: [MetaEngine, MetaEngine];
    };
    await lock(one.locks.records, ino, "a", "write", { end: 9 });
    for (const [engine, afterMs] of [[one, 0], [two, 0], [two, 5], [two, 700]] as const) {
      const caller: { onInterrupt?: () => void } = {};
      const code = codeOf(lock(engine.locks.records, ino, "b", "read", { wait: true, caller }));
      await env.advance(afterMs);
      caller.onInterrupt?.();
      assert.equal(await env.run(code, 100), "EINTR");
      caller.onInterrupt?.();
    }
    const caller = { interrupted: true };
    assert.equal(await codeOf(lock(two.locks.records, ino, "b", "read", { wait: true, caller })), "EINTR");
    assert.equal(
      await codeOf(lock(two.locks.records, ino, "b", "read", { start: 50, wait: true, caller })),
      "ok",
    );
    await env.run(two.locks.records.endOwner(ino, "b"));
    await env.advance(2000);
    assert.deepEqual((await allRows(store, "plocks")).map(({ waiting }) => waiting), [""]);
    await lock(one.locks.records, ino, "a", "unlock");
    assert.deepEqual(await allRows(store, "plocks"), []);
    await env.settle();
    assert.equal(env.pendingTimers, 0, "nobody looks any more");
  }
});

Deno.test("a signal at any moment: the caller has the lock, or the record knows nothing of it", async () => {
  const outcomes = new Set<string>();
  for (let turns = 0; turns < 80; turns++) {
    const { env, clients: [engine], ino, store } = await world(1, turns) as World & { clients: [MetaEngine] };
    const caller: { onInterrupt?: () => void } = {};
    const code = codeOf(lock(engine.locks.flocks, ino, "1", "write", { wait: true, caller }));
    for (let turn = 0; turn < turns; turn++) await null;
    caller.onInterrupt?.();
    const outcome = await code;
    outcomes.add(outcome);
    await env.settle();
    const records = await allRows(store, "flocks");
    assert.equal(records.length, outcome === "ok" ? 1 : 0, `after ${turns} turns: ${outcome}`);
  }
  assert.deepEqual([...outcomes].sort(), ["EINTR", "ok"]);
});

Deno.test("who is refused with EDEADLK is not said to wait any more", async () => {
  const { env, clients: [one, two], ino, store } = await world(2) as World & {
    clients: [MetaEngine, MetaEngine];
  };
  await lock(two.locks.records, ino, "x", "write", { start: 0, end: 0 });
  await lock(one.locks.records, ino, "b", "write", { start: 1, end: 1 });
  await lock(one.locks.records, ino, "a", "write", { start: 5, end: 5 });
  const waiting = lock(one.locks.records, ino, "b", "write", { start: 5, end: 5, wait: true });
  await env.settle();
  const refused = lock(one.locks.records, ino, "a", "write", { start: 0, end: 1, wait: true });
  assert.equal(await codeOf(refused), "EDEADLK");
  await env.settle();
  assert.deepEqual((await allRows(store, "plocks")).map(({ waiting }) => waiting), [""]);
  await one.locks.records.endOwner(ino, "a");
  await waiting;
});

Deno.test("a writer that goes on as a reader lets waiting readers in", async () => {
  for (const table of ["flocks", "records"] as const) {
    const { env, clients: [one, two], ino } = await world(2) as World & { clients: [MetaEngine, MetaEngine] };
    await lock(one.locks[table], ino, "1", "write");
    const local = lock(one.locks[table], ino, "2", "read", { wait: true });
    const remote = lock(two.locks[table], ino, "1", "read", { wait: true });
    await env.advance(50);
    await lock(one.locks[table], ino, "1", "read");
    assert.equal(await isSettled(env, local), true);
    await env.run(remote, 1000);
    assert.equal(await codeOf(lock(one.locks[table], ino, "1", "write")), "EAGAIN");
  }
});

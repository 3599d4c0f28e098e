import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { FsError, StoreError } from "../errors.ts";
import { patternBytes as bytes, sameBytes } from "../../tests/helpers/bytes.ts";
import { createDataWorld, INO, isErrno, PREFIX, readBack, SMALL } from "../../tests/helpers/data_world.ts";

const KIB = 1 << 10;

Deno.test("while the store is down flush fails every time, reads see the data, and recovery needs nobody", async () => {
  const world = createDataWorld(12, { retryDeadlineMs: 10_000 });
  world.store.faults.isDown = true;
  const body = bytes(100 * KIB, 1);
  world.data.write(INO, 0, body);
  const startedAtMs = world.env.monotonicMs();
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("EIO"));
  ok(world.env.monotonicMs() - startedAtMs >= 10_000, "passing trouble is hidden until the deadline");
  for (const durability of ["ordered", "synced", "ordered"] as const) {
    await rejects(world.env.run(world.data.flush(INO, durability)), isErrno("EIO"));
    ok(world.data.hasDirty(INO));
    sameBytes(await readBack(world, 0, body.length), body);
  }
  world.data.write(INO, 50 * KIB, bytes(1000, 2));
  world.store.faults.isDown = false;
  await world.env.advance(10_000);
  ok(!world.data.hasDirty(INO), "committed by itself");
  await world.env.run(world.data.flush(INO, "synced"));
  body.set(bytes(1000, 2), 50 * KIB);
  sameBytes(await readBack(world, 0, body.length, world.cold()), body);
});

Deno.test("a flush in the middle of trouble tries at once and succeeds when the store is back", async () => {
  const world = createDataWorld(13);
  world.store.faults.isFull = true;
  world.data.write(INO, 0, bytes(1000, 1));
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("ENOSPC"));
  await world.env.advance(60_000); // far in the back-off
  world.store.faults.isFull = false;
  const beforeMs = world.env.monotonicMs();
  await world.env.run(world.data.flush(INO, "ordered"));
  equal(world.env.monotonicMs(), beforeMs);
});

Deno.test("a full store: ENOSPC at once from flush, and from write once the buffers are full", async () => {
  const world = createDataWorld(14, SMALL);
  world.store.faults.isFull = true;
  const body = bytes(64 * KIB, 1);
  const startedAtMs = world.env.monotonicMs();
  world.data.write(INO, 0, body);
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("ENOSPC"));
  let taken = 1;
  await rejects(async () => {
    for (; taken < 1000; taken++) {
      await world.env.run(Promise.resolve(world.data.write(INO, taken * body.length, body)));
    }
  }, isErrno("ENOSPC"));
  equal(taken, 16, "everything that there was memory for");
  const other = world.data.write(INO + 1, 0, body);
  ok(other instanceof Promise);
  await rejects(world.env.run(other), isErrno("ENOSPC"));
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("ENOSPC"));
  equal(world.env.monotonicMs(), startedAtMs, "nobody had to wait");
  sameBytes(await readBack(world, 5 * body.length, body.length), body);
  world.store.faults.isFull = false;
  await world.env.run(world.data.flush(INO, "ordered"));
  await world.env.run(Promise.resolve(world.data.write(INO + 1, 0, body)));
  sameBytes(await readBack(world, 15 * body.length, body.length, world.cold()), body);
});

Deno.test("removing the file that fills the buffers lets others write", async () => {
  const world = createDataWorld(15, SMALL);
  world.store.faults.isFull = true;
  const body = bytes(64 * KIB, 1);
  for (let i = 0; i < 16; i++) world.data.write(INO, i * body.length, body);
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("ENOSPC"));
  world.data.discard(INO);
  equal(world.data.write(INO + 1, 0, body), undefined);
  world.store.faults.isFull = false;
  await world.env.run(world.data.flush(INO + 1, "ordered"));
});

Deno.test("a silent store: writes and flushes fail after their deadlines and work again afterwards", async () => {
  const world = createDataWorld(16, { ...SMALL, writeDeadlineMs: 30_000, stallMs: 60_000 });
  world.store.faults.hangs = true;
  const body = bytes(64 * KIB, 1);
  for (let i = 0; i < 16; i++) world.data.write(INO, i * body.length, body);
  const waiting = world.data.write(INO, 16 * body.length, body);
  const flushing = world.data.flush(INO, "ordered");
  flushing.catch(() => {});
  await rejects(world.env.run(Promise.resolve(waiting)), isErrno("EIO"));
  ok(world.env.monotonicMs() < 32_000);
  await rejects(world.env.run(flushing), isErrno("EIO"));
  ok(world.env.monotonicMs() < 62_000);
  world.store.faults.hangs = false;
  await world.env.run(world.data.flush(INO, "synced"));
  sameBytes(await readBack(world, 15 * body.length, body.length, world.cold()), body);
});

Deno.test("commits that fail are repeated without storing anything again; for good, they are sticky", async () => {
  const world = createDataWorld(17, { retryDeadlineMs: 1000 });
  let failure: Error | null = new StoreError("retry", "busy");
  world.log.beforeCommit = () => {
    if (failure !== null) throw failure;
  };
  world.data.write(INO, 0, bytes(1000, 1));
  const flushing = world.data.flush(INO, "ordered");
  await world.env.advance(500);
  failure = null;
  await world.env.run(flushing);
  equal(world.store.calls.put, 1);
  failure = new StoreError("fatal", "the database is damaged");
  world.data.write(INO, 1000, bytes(1000, 1));
  for (let i = 0; i < 3; i++) await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("EIO"));
  failure = new FsError("EDQUOT", "over quota");
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("EDQUOT"));
  failure = null;
  await world.env.run(world.data.flush(INO, "ordered"));
  equal(world.store.calls.put, 2);
});

Deno.test("after a failed sync the objects are stored again before a sync may succeed", async () => {
  const world = createDataWorld(18);
  world.data.write(INO, 0, bytes(100 * KIB, 1));
  world.store.faults.failsSync = true;
  for (let i = 0; i < 2; i++) await rejects(world.env.run(world.data.flush(INO, "synced")), isErrno("EIO"));
  const puts = world.store.calls.put;
  world.store.faults.failsSync = false;
  await world.env.run(world.data.flush(INO, "synced"));
  equal(world.store.calls.put, puts + 2);
  equal(world.store.syncedKeys.size, 2);
  sameBytes(await readBack(world, 0, 100 * KIB, world.cold()), bytes(100 * KIB, 1));
});

Deno.test("a failed sync whose data the disk has lost stays an error: nothing damaged is called durable", async () => {
  const world = createDataWorld(19, { cacheBytes: 0 });
  world.data.write(INO, 0, bytes(300 * KIB, 1));
  world.store.faults.failsSync = true;
  await rejects(world.env.run(world.data.flush(INO, "synced")), isErrno("EIO"));
  world.store.faults.failsSync = false;
  await world.store.damage(`${PREFIX}chunks/0/0/1_1_65536`, 100);
  for (let i = 0; i < 2; i++) await rejects(world.env.run(world.data.flush(INO, "synced")), isErrno("EIO"));
});

Deno.test("objects are forgotten only when their own sync succeeded, whoever syncs at the same time", async () => {
  const world = createDataWorld(30);
  const { env, data, store } = world;
  for (const ino of [1, 2, 3]) data.write(ino, 0, bytes(1000, ino));
  await env.run(data.flushAll("ordered"));
  // While everything is synced a file is committed: its object is not part of that.
  store.faults.delayMsMax = 100;
  const syncing = data.flushAll("synced");
  await env.settle();
  data.write(1, 5000, bytes(1000, 4));
  store.faults.delayMsMax = 0;
  await env.run(data.flush(1, "ordered"));
  await env.run(syncing);
  equal(store.calls.sync, 1, "three files in one call");
  equal(store.syncedKeys.size, 3);
  await env.run(data.flush(1, "synced"));
  equal(store.syncedKeys.size, 4);
  // A failure in the background is remembered by the file's own fsync, which then succeeds by storing again.
  data.write(2, 5000, bytes(1000, 5));
  await env.run(data.flush(2, "ordered"));
  store.faults.failsSync = true;
  await env.advance(70_000);
  store.faults.failsSync = false;
  const puts = store.calls.put;
  await env.run(data.flush(2, "synced"));
  equal(store.calls.put, puts + 1);
  equal(store.syncedKeys.size, 5);
});

Deno.test("what is stored ahead of a failing block is committed, what is behind it is not", async () => {
  const world = createDataWorld(20);
  world.data.write(INO, 0, bytes(1000, 1));
  world.data.write(INO, 100_000, bytes(1000, 2));
  world.data.write(INO, 200_000, bytes(1000, 3));
  const put = world.store.put;
  let isBroken = true;
  world.store.put = (key, body) =>
    isBroken && key.includes("/2_") ? Promise.reject(new StoreError("fatal", "bad sector")) : put(key, body);
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("EIO"));
  await world.env.settle();
  deepEqual(world.log.commits.flatMap((commit) => commit.slices.map((slice) => slice.pos)), [0]);
  isBroken = false;
  await world.env.run(world.data.flush(INO, "ordered"));
  deepEqual(world.log.commits.flatMap((commit) => commit.slices.map((slice) => slice.pos)), [
    0,
    100_000,
    200_000,
  ]);
});

Deno.test("discard drops buffers, uploads and objects in every state, and waiting calls end", async () => {
  for (const state of ["open", "uploading", "stored", "failing", "committing", "waiting"]) {
    const world = createDataWorld(21, SMALL);
    world.data.write(INO, 0, bytes(200 * KIB, 1));
    const ended: Promise<unknown>[] = [];
    let unblock = () => {};
    if (state === "uploading") world.store.faults.delayMsMax = 1000;
    if (state === "failing") world.store.faults.isFull = true;
    if (state === "committing") {
      world.log.beforeCommit = () => new Promise<void>((resolve) => unblock = resolve);
    }
    if (state === "stored") world.log.beforeCommit = () => Promise.reject(new StoreError("fatal", "no"));
    if (state === "waiting") {
      world.store.faults.delayMsMax = 1000;
      ended.push(Promise.resolve(world.data.write(INO, 200 * KIB, bytes(2 << 20, 2))));
    }
    if (state !== "open") ended.push(world.data.flush(INO, "ordered"));
    const all = Promise.allSettled(ended);
    await world.env.advance(100);
    world.data.discard(INO);
    world.store.faults.isFull = false;
    world.log.remove(INO);
    unblock();
    await world.env.run(all);
    await world.env.advance(30_000);
    equal(world.data.metrics().dirtyBytes, 0, state);
    equal(world.data.dirtyEnd(INO), 0, state);
    deepEqual(await world.memory.list("", { limit: 10 }), [], state);
    equal(world.log.commits.length, 0, state);
    const ids = state === "open" ? 1 : world.log.droppedIds.length;
    ok(ids > 0, `${state}: ids are given back`);
    equal(world.env.pendingTimers, 0, state);
  }
});

Deno.test("a commit that finds the file gone ends it: the flush says so, nothing stays", async () => {
  const world = createDataWorld(22);
  world.data.write(INO, 0, bytes(1000, 1));
  world.log.remove(INO);
  await rejects(world.env.run(world.data.flush(INO, "ordered")), isErrno("ENOENT"));
  await world.env.advance(10_000);
  ok(!world.data.hasDirty(INO));
  deepEqual(await world.memory.list("", { limit: 10 }), []);
  deepEqual(world.log.droppedIds, [1]);
});

Deno.test("close flushes and syncs; it names the inodes that it could not store", async () => {
  const world = createDataWorld(24, { retryDeadlineMs: 1000 });
  world.data.write(5, 0, bytes(1000, 1));
  world.data.write(6, 0, bytes(1000, 1));
  await world.env.run(world.data.close());
  equal(world.log.commits.length, 2);
  equal(world.store.syncedKeys.size, 2);

  const broken = createDataWorld(25, { retryDeadlineMs: 1000 });
  broken.data.write(5, 0, bytes(1000, 1));
  await broken.env.run(broken.data.flush(5, "ordered"));
  broken.store.faults.isFull = true;
  broken.data.write(8, 0, bytes(1000, 1));
  broken.data.write(6, 0, bytes(1000, 1));
  await rejects(broken.env.run(broken.data.close()), (error: unknown) => {
    ok(error instanceof FsError);
    ok(/: 6, 8 \(ENOSPC/.test(error.message), error.message);
    return true;
  });
  equal(broken.env.pendingTimers, 0);
});

import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import { FsError, StoreError } from "../errors.ts";
import { patternBytes as bytes, sameBytes } from "../../tests/helpers/bytes.ts";
import { createDataWorld, type DataWorld, PREFIX, SMALL } from "../../tests/helpers/data_world.ts";

const KIB = 1 << 10;
const INO = 7;

async function readBack(
  world: DataWorld,
  offset: number,
  length: number,
  data = world.data,
): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xaa);
  equal(await world.env.run(Promise.resolve(data.read(INO, offset, length, into))), length);
  return into;
}

/** True if the promise has not settled once everything ran that needs no time. */
async function isWaiting(world: DataWorld, promise: Promise<unknown> | void): Promise<boolean> {
  let isSettled = promise === undefined;
  const done = () => void (isSettled = true);
  promise?.then(done, done);
  await world.env.settle();
  return !isSettled;
}

const isErrno = (code: string) => (error: unknown) => error instanceof FsError && error.code === code;

Deno.test("a file is cut into chunks, slices and blocks, and its slices are one commit", async () => {
  const world = createDataWorld(1);
  const body = bytes(200 * KIB, 1);
  equal(world.data.write(INO, CHUNK_BYTES - 100 * KIB, body), undefined);
  equal(world.data.dirtyEnd(INO), CHUNK_BYTES + 100 * KIB);
  await world.env.run(world.data.flush(INO, "ordered"));
  equal(world.data.dirtyEnd(INO), 0);
  const [commit, ...more] = world.log.commits;
  deepEqual(more, []);
  deepEqual(commit?.slices.map(({ chunk, pos, size }) => [chunk, pos, size]), [
    [0, CHUNK_BYTES - 100 * KIB, 100 * KIB],
    [1, 0, 100 * KIB],
  ]);
  const keys = (await world.memory.list("", { limit: 100 })).map(({ key }) => key);
  deepEqual(keys, [
    `${PREFIX}chunks/0/0/1_0_65536`,
    `${PREFIX}chunks/0/0/1_1_36864`,
    `${PREFIX}chunks/0/0/2_0_65536`,
    `${PREFIX}chunks/0/0/2_1_36864`,
  ]);
  sameBytes(await readBack(world, CHUNK_BYTES - 100 * KIB, 200 * KIB, world.cold()), body);
});

Deno.test("a thousand random small writes and a flush are one commit, uploaded in parallel", async () => {
  const world = createDataWorld(2, { bufferBytes: 32 << 20 });
  world.store.faults.delayMsMax = 10;
  for (let i = 0; i < 1000; i++) {
    world.data.write(INO, ((i * 7919) % 16_000) * 8 * KIB, bytes(4 * KIB, i));
  }
  await world.env.run(world.data.flush(INO, "synced"));
  equal(world.log.commits.length, 1);
  equal(world.store.concurrent.puts, 8);
  for (let i = 0; i < 1000; i += 97) {
    deepEqual(
      await readBack(world, ((i * 7919) % 16_000) * 8 * KIB, 4 * KIB, world.cold()),
      bytes(4 * KIB, i),
    );
  }
});

Deno.test("contiguous writes and overwrites of what is not uploaded yet stay one slice", async () => {
  const world = createDataWorld(3);
  const shadow = new Uint8Array(40 * KIB);
  for (const [at, length] of [[0, 1000], [1000, 3000], [500, 1000], [4000, 20_000], [100, 30_000]] as const) {
    const body = bytes(length, at);
    world.data.write(INO, at, body);
    shadow.set(body, at);
  }
  sameBytes(await readBack(world, 0, 30_100), shadow.subarray(0, 30_100));
  await world.env.run(world.data.flush(INO, "ordered"));
  equal(world.log.commits[0]?.slices.length, 1);
  sameBytes(await readBack(world, 0, 30_100, world.cold()), shadow.subarray(0, 30_100));
});

Deno.test("slices that fill a range in any order, or overlap, are joined before they are uploaded", async () => {
  const world = createDataWorld(29, { bufferBytes: 8 << 20 });
  const shadow = new Uint8Array(400 * KIB);
  const write = (at: number, length: number, seed: number) => {
    const body = bytes(length, seed);
    shadow.set(body, at);
    world.data.write(INO, at, body);
  };
  write(0, 70 * KIB, 1); // a block of it is on its way: it stays by itself
  for (let i = 40; i > 20; i--) write(i * 4 * KIB, 4 * KIB, i); // backwards: [84, 164) KiB
  write(300 * KIB, 10 * KIB, 2);
  write(295 * KIB, 7 * KIB, 3); // over its head
  write(60 * KIB, 8 * KIB, 4); // over the first slice, and away from the others
  write(310 * KIB + 1, 100, 5); // one byte too far
  deepEqual(world.data.dirtyEnd(INO), 310 * KIB + 101);
  const before = world.data.metrics().dirtyBytes;
  const flushing = world.data.flush(INO, "ordered");
  sameBytes(await readBack(world, 0, 400 * KIB), shadow);
  await world.env.run(flushing);
  ok(before > 0 && world.data.metrics().dirtyBytes === 0);
  const ranges = world.log.commits[0]?.slices.map(({ pos, size }) => [pos / KIB, size / KIB]);
  deepEqual(ranges?.sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0)), [
    [0, 70],
    [60, 8],
    [84, 80],
    [295, 15],
    [310 + 1 / KIB, 100 / KIB],
  ]);
  equal(world.log.commits[0]?.slices[0]?.pos, 0, "the oldest slice is committed first");
  sameBytes(await readBack(world, 0, 400 * KIB, world.cold()), shadow);
});

Deno.test("a later write wins over uploaded, frozen and open slices alike", async () => {
  const world = createDataWorld(4);
  const shadow = new Uint8Array(300 * KIB);
  const write = (at: number, length: number, seed: number) => {
    const body = bytes(length, seed);
    shadow.set(body, at);
    world.data.write(INO, at, body);
  };
  write(0, 150 * KIB, 1); // two blocks are uploaded at once
  write(10 * KIB, 100 * KIB, 2); // over them
  write(149 * KIB, 20 * KIB, 3); // the first slice could go on here, and nothing newer is in the way
  write(60 * KIB, 100 * KIB, 4); // overlaps both
  write(100 * KIB, 4 * KIB, 5);
  sameBytes(await readBack(world, 0, 300 * KIB), shadow);
  await world.env.run(world.data.flush(INO, "ordered"));
  sameBytes(await readBack(world, 0, 300 * KIB), shadow);
  sameBytes(await readBack(world, 0, 300 * KIB, world.cold()), shadow);
});

Deno.test("the caller's buffer is free as soon as write returns", async () => {
  const world = createDataWorld(5);
  const body = bytes(100 * KIB, 1);
  equal(world.data.write(INO, 0, body), undefined);
  body.fill(0);
  await world.env.run(world.data.flush(INO, "ordered"));
  sameBytes(await readBack(world, 0, 100 * KIB, world.cold()), bytes(100 * KIB, 1));
});

Deno.test("idle slices are committed after a second, growing ones after five", async () => {
  const world = createDataWorld(6);
  world.data.write(INO, 0, bytes(1000, 1));
  await world.env.advance(900);
  equal(world.log.commits.length, 0);
  await world.env.advance(700);
  equal(world.log.commits.length, 1);
  ok(!world.data.hasDirty(INO));
  const startedAtMs = world.env.monotonicMs();
  for (let i = 0; world.log.commits.length === 1; i++) {
    world.data.write(INO, 2000 + i * 10, bytes(10, i));
    await world.env.advance(400);
  }
  const tookMs = world.env.monotonicMs() - startedAtMs;
  ok(tookMs >= 5000 && tookMs < 6000, `${tookMs}`);
});

Deno.test("writers wait when the buffers are full; memory stays within the budget", async () => {
  const world = createDataWorld(7, { ...SMALL, uploads: 3 });
  world.store.faults.delayMsMax = 100;
  let waits = 0;
  const body = bytes(100 * KIB, 9);
  await world.env.run((async () => {
    for (let i = 0; i < 100; i++) {
      const waiting = world.data.write(INO, i * body.length, body);
      ok(world.data.metrics().dirtyBytes <= 1 << 20);
      if (waiting !== undefined) {
        waits++;
        await waiting;
      }
    }
    await world.data.flush(INO, "ordered");
  })());
  ok(waits > 10, `${waits} waits`);
  equal(world.store.concurrent.puts, 3);
  equal(world.data.metrics().dirtyBytes, 0);
  sameBytes(await readBack(world, 73 * body.length, body.length, world.cold()), body);
});

Deno.test("small dirty files make room for others when memory is short", async () => {
  const world = createDataWorld(8, SMALL);
  for (let ino = 100; ino < 350; ino++) world.data.write(ino, 0, bytes(4 * KIB, ino));
  ok(world.data.metrics().dirtyBytes > 900 * KIB);
  const waiting = world.data.write(INO, 0, bytes(400 * KIB, 1));
  ok(waiting instanceof Promise);
  const beforeMs = world.env.monotonicMs();
  await world.env.run(waiting);
  equal(world.env.monotonicMs(), beforeMs, "nobody had to grow old for it");
});

Deno.test("concurrent flushes share a commit; one without dirty data needs none", async () => {
  const world = createDataWorld(9);
  await world.data.flush(INO, "ordered");
  world.data.write(INO, 0, bytes(1000, 1));
  const flushes = [1, 2, 3].map(() => world.data.flush(INO, "ordered"));
  await world.env.run(Promise.all(flushes));
  await world.data.flush(INO, "ordered");
  equal(world.log.commits.length, 1);
});

Deno.test("fsync syncs every object of the file first, also those of earlier flushes", async () => {
  const world = createDataWorld(10);
  world.data.write(INO, 0, bytes(100 * KIB, 1));
  await world.env.run(world.data.flush(INO, "ordered"));
  equal(world.store.syncedKeys.size, 0);
  world.data.write(INO, 100 * KIB, bytes(KIB, 2));
  world.log.beforeCommit = ({ durability }) => {
    equal(durability, "synced");
    equal(world.store.syncedKeys.size, 3);
  };
  await world.env.run(world.data.flush(INO, "synced"));
  equal(world.log.commits.length, 2);
  equal(world.store.calls.sync, 1);
  // Nothing new: the metadata is asked all the same, it may have changes of its own.
  await world.env.run(world.data.flush(INO, "synced"));
  deepEqual(world.log.commits[2]?.slices, []);
  equal(world.store.calls.sync, 1);
});

Deno.test("what nobody syncs is synced in the background when it is old", async () => {
  const world = createDataWorld(11);
  world.data.write(INO, 0, bytes(1000, 1));
  await world.env.run(world.data.flush(INO, "ordered"));
  await world.env.advance(50_000);
  equal(world.store.syncedKeys.size, 0);
  await world.env.advance(20_000);
  equal(world.store.syncedKeys.size, 1);
  await world.env.advance(10_000);
  equal(world.env.pendingTimers, 0, "nothing ticks when there is nothing to do");
});

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

Deno.test("mtime is that of the last write, or left alone for writes before the user set it", async () => {
  const world = createDataWorld(23);
  world.data.write(INO, 0, bytes(10, 1));
  await world.env.advance(500);
  world.data.write(INO, 10, bytes(10, 1));
  const written = world.env.now();
  deepEqual(world.data.dirtyMtime(INO), written);
  await world.env.run(world.data.flush(INO, "ordered"));
  deepEqual(world.log.commits[0]?.mtime, written);
  equal(world.data.dirtyMtime(INO), null);

  world.data.write(INO, 0, bytes(10, 1));
  world.data.keepMtime(INO);
  equal(world.data.dirtyMtime(INO), null);
  await world.env.run(world.data.flush(INO, "ordered"));
  equal(world.log.commits[1]?.mtime, null);

  world.data.write(INO, 0, bytes(10, 1));
  world.data.keepMtime(INO);
  await world.env.advance(100);
  world.data.write(INO, 5, bytes(10, 1));
  const later = world.env.now();
  await world.env.run(world.data.flush(INO, "ordered"));
  deepEqual(world.log.commits[2]?.mtime, later);
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

Deno.test("a write past the largest offset is EFBIG, an empty one nothing", () => {
  const world = createDataWorld(26);
  throws(() => world.data.write(INO, FILE_BYTES_MAX - 5, bytes(10, 1)), isErrno("EFBIG"));
  equal(world.data.write(INO, 100, new Uint8Array(0)), undefined);
  ok(!world.data.hasDirty(INO));
});

Deno.test("too many uncommitted slices make the writer wait, not fail", async () => {
  const world = createDataWorld(27, { uncommittedSlicesMax: 20, openSlicesMax: 10 });
  world.log.beforeCommit = () => world.env.sleep(50);
  let waits = 0;
  await world.env.run((async () => {
    for (let i = 0; i < 100; i++) {
      const waiting = world.data.write(INO, i * 10_000, bytes(100, i));
      if (waiting !== undefined) {
        waits++;
        await waiting;
      }
    }
  })());
  ok(waits > 0);
  await world.env.run(world.data.flush(INO, "ordered"));
  sameBytes(await readBack(world, 770_000, 100, world.cold()), bytes(100, 77));
});

Deno.test("writes that wait are applied in the order of their calls", async () => {
  const world = createDataWorld(28, SMALL);
  world.store.faults.delayMsMax = 50;
  const calls = Array.from({ length: 40 }, (_, i) => world.data.write(INO, 0, bytes(100 * KIB, i)));
  ok(await isWaiting(world, calls.at(-1)));
  await world.env.run(Promise.all(calls));
  sameBytes(await readBack(world, 0, 100 * KIB), bytes(100 * KIB, 39));
  await world.env.run(world.data.flush(INO, "ordered"));
  sameBytes(await readBack(world, 0, 100 * KIB, world.cold()), bytes(100 * KIB, 39));
});

import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import { patternBytes as bytes, sameBytes } from "../../tests/helpers/bytes.ts";
import {
  createDataWorld,
  INO,
  isErrno,
  isWaiting,
  PREFIX,
  readBack,
  SMALL,
} from "../../tests/helpers/data_world.ts";

const KIB = 1 << 10;

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

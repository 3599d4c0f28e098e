import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { CHUNK_BYTES } from "../limits.ts";
import { patternBytes as bytes, sameBytes } from "../../tests/helpers/bytes.ts";
import {
  createDataWorld,
  type DataWorld,
  INO,
  isErrno,
  PREFIX,
  readBack,
} from "../../tests/helpers/data_world.ts";
import type { DataPath } from "./data_path.ts";

const KIB = 1 << 10;
const MIB = 1 << 20;

/** A file that is stored and of which nothing is remembered. */
async function storeFile(world: DataWorld, body: Uint8Array): Promise<DataPath> {
  await world.env.run((async () => {
    for (let at = 0; at < body.length; at += MIB) {
      await world.data.write(INO, at, body.subarray(at, at + MIB));
    }
    await world.data.flush(INO, "ordered");
  })());
  return world.cold();
}

Deno.test("gaps, zero records, parts of slices and later slices are laid over each other", async () => {
  const world = createDataWorld(1);
  const body = bytes(100 * KIB, 1);
  await storeFile(world, body);
  const [slice] = world.log.commits[0]?.slices ?? [];
  ok(slice !== undefined);
  const { sliceId, size, checksums } = slice;
  // Bytes 70,000..80,000 of the slice again, far behind; zeros over a part of it; nothing in between.
  world.log.append(INO, 0, { pos: 500_000, sliceId, size, off: 70_000, len: 10_000, checksums });
  world.log.append(INO, 0, {
    pos: 505_000,
    sliceId: 0,
    size: 1000,
    off: 0,
    len: 1000,
    checksums: new Uint8Array(),
  });
  const expected = new Uint8Array(600_000);
  expected.set(body);
  expected.set(body.subarray(70_000, 80_000), 500_000);
  expected.fill(0, 505_000, 506_000);
  for (const data of [world.data, world.cold()]) {
    sameBytes(await readBack(world, 0, 600_000, data), expected);
    for (const at of [0, 1, 65_535, 65_536, 102_399, 102_400, 499_999, 504_990, 505_999, 509_999, 599_000]) {
      sameBytes(await readBack(world, at, 1000, data), expected.slice(at, at + 1000), `at ${at}`);
    }
  }
  sameBytes(await readBack(world, 3 * CHUNK_BYTES - 10, 20, world.cold()), new Uint8Array(20));
});

Deno.test("what is cached is answered without a promise", async () => {
  const world = createDataWorld(2);
  const data = await storeFile(world, bytes(300 * KIB, 1));
  await readBack(world, 0, 300 * KIB, data);
  const into = new Uint8Array(100 * KIB);
  equal(data.read(INO, 150 * KIB, into.length, into), into.length);
  sameBytes(into, bytes(300 * KIB, 1).subarray(150 * KIB, 250 * KIB));
  equal(data.read(INO, 0, 0, into), 0);
});

Deno.test("readers of one block share one fetch", async () => {
  const world = createDataWorld(3, {}, 4 * MIB);
  const data = await storeFile(world, bytes(2 * MIB, 1));
  world.store.faults.delayMsMax = 50;
  const calls = world.store.calls.get;
  const pieces = await world.env.run(Promise.all([0, 1, 2, 3].map((i) => {
    const into = new Uint8Array(MIB);
    return Promise.resolve(data.read(INO, i % 2 * MIB, MIB, into)).then(() => into);
  })));
  for (const [i, piece] of pieces.entries()) {
    sameBytes(piece, bytes(2 * MIB, 1).subarray(i % 2 * MIB, (i % 2 + 1) * MIB));
  }
  equal(world.store.calls.get - calls, 1);
});

Deno.test("small random reads fetch pages, sequential ones whole blocks ahead of the reader", async () => {
  const world = createDataWorld(4, {}, 4 * MIB);
  const body = bytes(24 * MIB, 1);
  const data = await storeFile(world, body);
  for (const at of [17 * MIB + 5, 3 * MIB, 21 * MIB, 9 * MIB + 256 * KIB - 10]) {
    sameBytes(await readBack(world, at, 4096, data), body.slice(at, at + 4096));
  }
  const random = data.metrics();
  equal(random.blocksRead, 0);
  equal(random.pagesRead, 5);
  equal(random.bytesRead, 5 * 256 * KIB);

  world.store.faults.delayMsMax = 20;
  let hits = 0;
  for (let at = 0; at < body.length; at += 128 * KIB) {
    const into = new Uint8Array(128 * KIB);
    const answer = data.read(INO, at, into.length, into);
    if (typeof answer === "number") hits++;
    else await world.env.run(answer);
    sameBytes(into, body.slice(at, at + into.length));
    await world.env.advance(1);
  }
  const sequential = data.metrics();
  equal(sequential.blocksRead, 6, "every block once");
  ok(sequential.prefetches >= 5, `${sequential.prefetches} blocks ahead`);
  ok(hits > 150, `${hits} of 192 reads found their bytes there`);
});

Deno.test("read-ahead leaves room for those who wait, and stays within half of the cache", async () => {
  const world = createDataWorld(5, { fetches: 4, cacheBytes: 16 * MIB, readAheadBytes: 64 * MIB }, MIB);
  const body = bytes(40 * MIB, 1);
  const data = await storeFile(world, body);
  world.store.faults.delayMsMax = 100;
  for (let at = 0; at < 6 * MIB; at += MIB) await readBack(world, at, MIB, data);
  world.store.concurrent.gets = 0;
  const ahead = data.metrics();
  ok(ahead.bytesRead <= 6 * MIB + 8 * MIB + MIB, `${ahead.bytesRead}`);
  const startedAtMs = world.env.monotonicMs();
  await readBack(world, 35 * MIB, 4096, data);
  ok(world.env.monotonicMs() - startedAtMs <= 200, "no longer than one fetch takes");
  ok(world.store.concurrent.gets <= 4);
  ok(data.metrics().cachedBytes <= 16 * MIB);
});

Deno.test("a damaged object is EIO, never wrong bytes; its other pages are still read", async () => {
  const world = createDataWorld(6, {}, 4 * MIB);
  const body = bytes(2 * MIB, 1);
  const data = await storeFile(world, body);
  await world.store.damage(`${PREFIX}chunks/0/0/1_0_2097152`, 700 * KIB);
  for (let i = 1; i <= 2; i++) {
    await rejects(readBack(world, 600 * KIB, 200 * KIB, data), isErrno("EIO"));
    equal(data.metrics().checksumErrors, 2 * i, "fetched once more, then given up");
  }
  ok(world.env.logged.some(({ message }) => message.includes("1_0_2097152")), "the log names the object");
  sameBytes(await readBack(world, 100 * KIB, 1000, world.cold()), body.slice(100 * KIB, 100 * KIB + 1000));
  await rejects(readBack(world, 0, 2 * MIB, world.cold()), isErrno("EIO"));
});

Deno.test("bytes that were damaged on the way are fetched again", async () => {
  const world = createDataWorld(7);
  const body = bytes(60 * KIB, 1);
  const data = await storeFile(world, body);
  const get = world.store.get;
  let flips = 1;
  world.store.get = async (key, range, into) => {
    const answer = await get(key, range, into);
    if (flips-- > 0) answer[5] = (answer[5] ?? 0) ^ 1;
    return answer;
  };
  sameBytes(await readBack(world, 0, 60 * KIB, data), body);
  equal(data.metrics().checksumErrors, 1);
});

Deno.test("an object that is missing, short or not described by its checksums is EIO", async () => {
  const body = bytes(100 * KIB, 1);
  for (const kind of ["missing", "short", "long", "no checksums", "beyond"]) {
    const world = createDataWorld(8);
    const data = await storeFile(world, body);
    const key = `${PREFIX}chunks/0/0/1_0_65536`;
    if (kind === "missing") await world.memory.delete([key]);
    if (kind === "short") await world.memory.put(key, body.subarray(0, 60_000));
    if (kind === "long") await world.memory.put(key, body);
    if (kind === "no checksums") {
      world.log.append(INO, 0, {
        pos: 0,
        sliceId: 1,
        size: 100 * KIB,
        off: 0,
        len: 100,
        checksums: new Uint8Array(),
      });
    }
    if (kind === "beyond") {
      const checksums = world.log.commits[0]?.slices[0]?.checksums ?? new Uint8Array();
      world.log.append(INO, 0, { pos: 0, sliceId: 1, size: 100 * KIB, off: 102_000, len: 1000, checksums });
    }
    await rejects(readBack(world, 0, 1000, data), isErrno("EIO"), kind);
  }
});

Deno.test("a file that is rewritten while it is read: the read follows it instead of failing", async () => {
  for (const isListCached of [true, false]) {
    const world = createDataWorld(17);
    const data = await storeFile(world, bytes(50 * KIB, 1));
    const newer = bytes(50 * KIB, 2);
    await world.env.run((async () => {
      if (!isListCached) world.log.beforeAnswer = () => world.env.sleep(10);
      const into = new Uint8Array(50 * KIB);
      let wasReplaced = false;
      const get = world.store.get;
      world.store.get = async (key, range, place) => {
        world.store.get = get;
        // Between the plan and the fetch: another slice takes the place of this one, whose object is deleted.
        await world.data.write(INO, 0, newer);
        await world.data.flush(INO, "ordered");
        await world.memory.delete([key]);
        wasReplaced = true;
        return get(key, range, place);
      };
      await data.read(INO, 0, into.length, into);
      ok(wasReplaced);
      sameBytes(into, newer);
    })());
    // Without another list there is nothing to follow.
    await world.memory.delete((await world.memory.list("", { limit: 10 })).map(({ key }) => key));
    await rejects(readBack(world, 0, 100, world.cold()), isErrno("EIO"));
  }
});

Deno.test("passing trouble is hidden; a store that stays down is EIO after the deadline, and works when it is back", async () => {
  const world = createDataWorld(9, { retryDeadlineMs: 10_000 });
  const body = bytes(100 * KIB, 1);
  const data = await storeFile(world, body);
  world.store.faults.isDown = true;
  const into = new Uint8Array(100 * KIB);
  const reading = Promise.resolve(data.read(INO, 0, into.length, into));
  await world.env.advance(3000);
  world.store.faults.isDown = false;
  await world.env.run(reading);
  sameBytes(into, body);

  const other = world.cold();
  world.store.faults.isDown = true;
  const startedAtMs = world.env.monotonicMs();
  await rejects(readBack(world, 0, 1000, other), isErrno("EIO"));
  const tookMs = world.env.monotonicMs() - startedAtMs;
  ok(tookMs >= 10_000 && tookMs < 12_000, `${tookMs}`);
  world.store.faults.isDown = false;
  sameBytes(await readBack(world, 0, 1000, other), body.slice(0, 1000));
});

Deno.test("a silent store: EIO after the deadline, and nothing is written to the reader's buffer any more", async () => {
  const world = createDataWorld(10, { retryDeadlineMs: 10_000 });
  const body = bytes(100 * KIB, 1);
  const data = await storeFile(world, body);
  world.store.faults.hangs = true;
  const into = new Uint8Array(100 * KIB);
  await rejects(world.env.run(Promise.resolve(data.read(INO, 0, into.length, into))), isErrno("EIO"));
  into.fill(0x5a); // the caller uses it for something else
  world.store.faults.hangs = false;
  await world.env.advance(1000);
  ok(into.every((byte) => byte === 0x5a));
  sameBytes(await readBack(world, 0, 100 * KIB, data), body);
});

Deno.test("a read that failed by one of its blocks gets nothing from the others any more", async () => {
  const world = createDataWorld(18);
  const data = await storeFile(world, bytes(128 * KIB, 1));
  await world.store.damage(`${PREFIX}chunks/0/0/1_1_65536`, 1);
  const get = world.store.get;
  world.store.get = async (key, range, place) => {
    if (key.includes("/1_0_")) await world.env.sleep(1000);
    return get(key, range, place);
  };
  const into = new Uint8Array(128 * KIB);
  const answer = data.read(INO, 0, into.length, into);
  await rejects(world.env.run(Promise.resolve(answer)), isErrno("EIO"));
  ok(world.env.monotonicMs() < 1000, "nobody waits for what does not help");
  into.fill(0x5a);
  await world.env.advance(2000);
  ok(into.every((byte) => byte === 0x5a));
});

Deno.test("a list that was asked for before a commit and comes after it does not hide the committed bytes", async () => {
  const world = createDataWorld(11);
  const { env, log, data } = world;
  const body = bytes(10 * KIB, 1);
  data.write(INO, 0, body);
  let answer = () => {};
  log.beforeAnswer = () => new Promise<void>((resolve) => answer = resolve); // the old, empty list
  const into = new Uint8Array(10 * KIB);
  const reading = Promise.resolve(data.read(INO, 0, into.length, into));
  log.beforeAnswer = () => {};
  await env.run(data.flush(INO, "ordered"));
  ok(!data.hasDirty(INO), "the bytes have left the overlay");
  answer();
  await env.run(reading);
  sameBytes(into, body);
});

Deno.test("the same while newer bytes are written: never the older ones", async () => {
  const world = createDataWorld(12);
  const { env, log, data } = world;
  data.write(INO, 0, bytes(10 * KIB, 1));
  await env.run(data.flush(INO, "ordered"));
  let answer = () => {};
  log.beforeAnswer = () => new Promise<void>((resolve) => answer = resolve);
  const into = new Uint8Array(10 * KIB);
  const reading = Promise.resolve(data.read(INO, 0, into.length, into));
  log.beforeAnswer = () => {};
  data.write(INO, 0, bytes(5 * KIB, 2));
  await env.run(data.flush(INO, "ordered"));
  data.write(INO, 2 * KIB, bytes(KIB, 3));
  answer();
  await env.run(reading);
  const expected = bytes(10 * KIB, 1);
  expected.set(bytes(5 * KIB, 2));
  expected.set(bytes(KIB, 3), 2 * KIB);
  sameBytes(into, expected);
});

Deno.test("a read that meets a commit each time it looks makes the commits wait", async () => {
  const world = createDataWorld(13);
  const { env, log, data } = world;
  let answers = 0;
  log.beforeAnswer = async () => {
    // Each list takes so long that another commit happens meanwhile.
    answers++;
    data.write(INO, answers * 100, bytes(100, answers));
    data.flush(INO, "ordered");
    await env.sleep(100);
  };
  const into = new Uint8Array(1000);
  await env.run(Promise.resolve(data.read(INO, 0, 1000, into)));
  ok(answers >= 4 && answers <= 6, `${answers} lists`);
  deepEqual(
    into.subarray(100, 500),
    new Uint8Array(400).map((_, i) => bytes(100, 1 + Math.floor(i / 100))[i % 100] ?? 0),
  );
  log.beforeAnswer = () => {};
  await env.run(data.flush(INO, "ordered"));
  ok(!data.hasDirty(INO));
});

Deno.test("uploaded and not yet committed bytes are read back without a flush", async () => {
  const world = createDataWorld(14, { cacheBytes: 0 });
  world.log.beforeCommit = () => world.env.sleep(10_000);
  const body = bytes(300 * KIB, 1);
  world.data.write(INO, 0, body);
  const flushing = world.data.flush(INO, "ordered");
  await world.env.advance(100);
  equal(world.data.metrics().dirtyBytes, 0, "all buffers are free again");
  equal(world.log.commits.length, 0);
  sameBytes(await readBack(world, 0, 300 * KIB, world.data), body);
  await world.env.run(flushing);
});

Deno.test("a small file that was just written is in the cache", async () => {
  const world = createDataWorld(15);
  world.data.write(INO, 0, bytes(10 * KIB, 1));
  await world.env.run(world.data.flush(INO, "ordered"));
  const into = new Uint8Array(10 * KIB);
  equal(world.data.read(INO, 0, into.length, into), into.length);
  sameBytes(into, bytes(10 * KIB, 1));
});

Deno.test("invalidate and truncate forget, and reading goes on", async () => {
  const world = createDataWorld(16);
  const body = bytes(200 * KIB, 1);
  const data = await storeFile(world, body);
  for (let at = 0; at < body.length; at += 20 * KIB) {
    sameBytes(await readBack(world, at, 20 * KIB, data), body.slice(at, at + 20 * KIB));
    if (at % (60 * KIB) === 0) data.invalidate(INO);
    else data.truncate(INO, body.length);
  }
});

/**
 * What every object store promises (core/chunk/object_store.ts), as tests. A store's test file calls
 * `objectStoreContract` with a function that opens an empty bucket; `reopen` opens the same bucket again.
 */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { isNoSuchObject, StoreError } from "../../core/errors.ts";
import { patternBytes as pattern, sameBytes as same } from "../helpers/bytes.ts";
import type { ObjectStore } from "../../core/chunk/object_store.ts";

export interface OpenBucket {
  readonly store: ObjectStore;
  /** Another client of the same bucket. */
  reopen(): Promise<ObjectStore>;
  cleanUp(): Promise<void>;
}

const MIB = 1 << 20;

function callerError(error: unknown): boolean {
  return error instanceof StoreError && error.kind === "caller" && !isNoSuchObject(error);
}

export function objectStoreContract(name: string, open: () => Promise<OpenBucket>): void {
  function test(what: string, body: (store: ObjectStore, bucket: OpenBucket) => Promise<void>): void {
    Deno.test(`object store ${name}: ${what}`, async () => {
      const bucket = await open();
      try {
        await body(bucket.store, bucket);
        await bucket.store.close();
      } finally {
        await bucket.cleanUp();
      }
    });
  }

  test("gives back what was put, of every size around the boundaries", async (store) => {
    for (const size of [0, 1, 4096, 65535, 65536, 65537, 262144, MIB, 4 * MIB, 4 * MIB + 1, 16 * MIB]) {
      const body = pattern(size, size + 1);
      await store.put(`sizes/${size}`, body);
      same(await store.get(`sizes/${size}`), body, `size ${size}`);
      equal((await store.head(`sizes/${size}`))?.size, size);
    }
  });

  test("replaces an object as a whole, for longer and shorter bodies", async (store) => {
    for (const size of [100, 300_000, 50, 0, 70_000]) {
      await store.put("a/b", pattern(size, size));
      same(await store.get("a/b"), pattern(size, size));
      equal((await store.head("a/b"))?.size, size);
    }
  });

  test("answers ranges, also those at and past the end", async (store) => {
    const body = pattern(300_000, 7);
    await store.put("r", body);
    const ranges = [
      [0, 1],
      [0, 0],
      [5, 5],
      [1000, 5000],
      [0, 300_000],
      [0, 300_001],
      [299_999, 300_000],
      [299_999, 400_000],
      [300_000, 300_001],
      [400_000, 500_000],
      [65_536, 131_072],
      [1, 65_537],
      [10_000, 290_000],
    ] as const;
    for (const [start, end] of ranges) {
      same(await store.get("r", { start, end }), body.subarray(start, end), `range ${start}-${end}`);
    }
  });

  test("fills the caller's buffer or ignores it, and never writes past what it answers", async (store) => {
    const body = pattern(100_000, 3);
    await store.put("i", body);
    const cases: [number, { start: number; end: number } | undefined][] = [
      [100_000, undefined],
      [200_000, undefined],
      [99_999, undefined],
      [50_000, { start: 10, end: 50_010 }],
      [60_000, { start: 10, end: 50_010 }],
      [10, { start: 10, end: 50_010 }],
      [50_000, { start: 90_000, end: 140_000 }],
    ];
    for (const [bufferBytes, range] of cases) {
      const whole = new Uint8Array(bufferBytes + 16).fill(0xee);
      const into = whole.subarray(8, 8 + bufferBytes);
      const result = await store.get("i", range, into);
      same(result, range === undefined ? body : body.subarray(range.start, range.end));
      for (let i = 0; i < 8; i++) equal(whole[i], 0xee);
      for (let i = 8 + bufferBytes; i < whole.length; i++) equal(whole[i], 0xee);
    }
  });

  test("says of a missing object that it is missing", async (store) => {
    await store.put("there/x", pattern(10, 1));
    for (const key of ["missing", "there", "there/y", "there/x/y", "no/such/path"]) {
      await rejects(store.get(key), isNoSuchObject, key);
      await rejects(store.get(key, { start: 0, end: 10 }), isNoSuchObject, key);
      equal(await store.head(key), null, key);
    }
    await store.delete(["missing", "no/such/path", "there", "there/x/y"]);
    same(await store.get("there/x"), pattern(10, 1));
  });

  test("deletes many at once; what is deleted is gone and can be put again", async (store) => {
    const keys = Array.from({ length: 200 }, (_, i) => `d/${i % 7}/${i}`);
    for (const key of keys) await store.put(key, pattern(20, key.length));
    await store.delete([...keys.slice(0, 150), "never/there", ...keys.slice(0, 3)]);
    for (const key of keys.slice(0, 150)) equal(await store.head(key), null);
    for (const key of keys.slice(150)) equal((await store.head(key))?.size, 20);
    equal((await store.list("d/", { limit: 1000 })).length, 50);
    await store.put(keys[0] as string, pattern(5, 9));
    same(await store.get(keys[0] as string), pattern(5, 9));
    await store.delete([]);
  });

  test("lists by prefix in key order, page after page", async (store) => {
    const keys = [
      "a",
      "a-b",
      "a.b",
      "a0",
      "b/1/x",
      "b/1/y",
      "b/1-z",
      "b/10/a",
      "b/2",
      "B/upper",
      "c/d/e/f/g",
      "chunks/0/0/1_0_4096",
      "chunks/0/0/1_1_4096",
      "chunks/0/0/10_0_4096",
      "chunks/0/1/1000_0_4096",
      "chunks/1/1000/1000000_0_4096",
      "_u",
    ];
    for (const key of keys) await store.put(key, pattern(key.length, 1));
    const sorted = [...keys].sort();
    const all = await store.list("", { limit: 1000 });
    deepEqual(all.map((found) => found.key), sorted);
    deepEqual(all.map((found) => found.size), sorted.map((key) => key.length));
    for (const found of all) ok(Number.isFinite(found.modifiedAtMs));
    const prefixes = [
      "a",
      "a0",
      "b",
      "b/",
      "b/1",
      "b/1/",
      "chunks/0/0/1",
      "chunks/0/",
      "c/d/e/f",
      "zz",
      "b/9/",
      "a/",
    ];
    for (const prefix of prefixes) {
      const wanted = sorted.filter((key) => key.startsWith(prefix));
      for (const limit of [1, 2, 3, 100]) {
        const pages: string[] = [];
        let after: string | undefined;
        for (let page = 0; page < 50; page++) {
          const found = await store.list(prefix, { after, limit });
          ok(found.length <= limit);
          pages.push(...found.map((object) => object.key));
          if (found.length < limit) break;
          after = found.at(-1)?.key;
        }
        deepEqual(pages, wanted, `prefix ${prefix} limit ${limit}`);
      }
      for (const after of [...keys, "a/", "b/1", "b/1/", "b/1/xx", "b0", "0", "zzz"]) {
        const found = await store.list(prefix, { after, limit: 100 });
        deepEqual(
          found.map((object) => object.key),
          wanted.filter((key) => key > after),
          `${prefix} after ${after}`,
        );
      }
    }
    deepEqual(await store.list("../", { limit: 10 }), []);
    deepEqual(await store.list("b/../", { limit: 10 }), []);
    deepEqual(await store.list("/", { limit: 10 }), []);
  });

  test("refuses odd keys in every call and touches nothing", async (store) => {
    const odd = [
      "",
      "/",
      "/a",
      "a/",
      "a//b",
      ".",
      "..",
      "./a",
      "../a",
      "a/..",
      "a/../b",
      "a/.",
      "a/./b",
      "a\0b",
      "a b",
    ];
    odd.push("ä", "a\\b", "a\nb", "~tmp/x", "a:b", "%2e%2e/a", "x".repeat(1025));
    for (const key of odd) {
      const what = JSON.stringify(key);
      await rejects(async () => await store.put(key, pattern(1, 1)), callerError, what);
      await rejects(async () => await store.get(key), callerError, what);
      await rejects(async () => await store.head(key), callerError, what);
      await rejects(async () => await store.delete(["fine", key]), callerError, what);
      await rejects(async () => await store.sync([key]), callerError, what);
    }
    deepEqual(await store.list("", { limit: 10 }), []);
    for (const key of ["...", "a/...", "..a/b..", ".hidden/x", "-", "_/_"]) {
      await store.put(key, pattern(3, 3));
      same(await store.get(key), pattern(3, 3));
    }
  });

  test("concurrent puts of one key leave one whole body, and readers see only whole ones", async (store) => {
    const sizes = [10, 1000, 70_000, 300_000, 100, 500_000, 65_536, 1];
    await store.put("k", pattern(sizes[0] as number, sizes[0] as number));
    let writing = true;
    const readers = Array.from({ length: 2 }, async () => {
      while (writing) {
        const seen = await store.get("k");
        same(seen, pattern(seen.length, seen.length), "seen while written");
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    });
    for (let round = 0; round < 5; round++) {
      await Promise.all(sizes.map((size) => store.put("k", pattern(size, size))));
    }
    writing = false;
    await Promise.all(readers);
    const last = await store.get("k");
    ok(sizes.includes(last.length));
    same(last, pattern(last.length, last.length));
    deepEqual((await store.list("", { limit: 10 })).map((object) => object.key), ["k"]);
  });

  test("puts into one new directory from many callers", async (store) => {
    const keys = Array.from({ length: 50 }, (_, i) => `deep/er/${i % 5}/k${i}`);
    await Promise.all(keys.map((key, i) => store.put(key, pattern(i % 2 === 0 ? 10 : 80_000, i))));
    for (const [i, key] of keys.entries()) same(await store.get(key), pattern(i % 2 === 0 ? 10 : 80_000, i));
  });

  test("keeps no reference to bodies and results", async (store) => {
    for (const size of [1000, 200_000]) {
      const body = pattern(size, 5);
      await store.put("alias", body);
      body.fill(0);
      const first = await store.get("alias");
      same(first, pattern(size, 5));
      first.fill(1);
      same(await store.get("alias"), pattern(size, 5));
      const part = await store.get("alias", { start: 10, end: 20 });
      part.fill(2);
      same(await store.get("alias"), pattern(size, 5));
      const view = pattern(size + 20, 6).subarray(10, 10 + size);
      await store.put("alias", view);
      same(await store.get("alias"), pattern(size + 20, 6).subarray(10, 10 + size));
    }
  });

  test("syncs what is there and ignores what is gone", async (store) => {
    await store.put("s/1/a", pattern(10, 1));
    await store.put("s/2/b", pattern(100_000, 2));
    await store.sync(["s/1/a", "s/2/b", "s/3/gone", "gone"]);
    await store.put("s/1/a", pattern(11, 1));
    await store.sync(["s/1/a"]);
    await store.sync([]);
    same(await store.get("s/1/a"), pattern(11, 1));
  });

  test("shows another client what was put", async (store, bucket) => {
    await store.put("shared/x", pattern(1000, 4));
    const other = await bucket.reopen();
    same(await other.get("shared/x"), pattern(1000, 4));
    await other.delete(["shared/x"]);
    equal(await store.head("shared/x"), null);
    await other.close();
  });

  test("tells its capacity, if it can, in sane numbers", async (store) => {
    const capacity = await store.capacity?.();
    if (capacity === undefined) return;
    ok(capacity.totalBytes > 0 && capacity.freeBytes >= 0 && capacity.freeBytes <= capacity.totalBytes);
  });

  test("after close every call is refused", async (store) => {
    await store.put("x", pattern(1, 1));
    await store.close();
    await rejects(async () => await store.get("x"), StoreError);
    await rejects(async () => await store.put("x", pattern(1, 1)), StoreError);
    await rejects(async () => await store.list("", { limit: 1 }), StoreError);
  });
}

/** The read half of the metadata store contract: values, key order, prefixes, pages, references. */
import assert from "node:assert/strict";
import { put, read, remove } from "../../core/meta/store.ts";
import {
  bytes,
  commitWrites,
  contractTest,
  getOne,
  inode,
  type OpenFixture,
  scanAll,
  slice,
} from "./meta_store_fixture.ts";

const INTS = [
  Number.MIN_SAFE_INTEGER,
  -(2 ** 32) - 1,
  -(2 ** 32),
  -(2 ** 31),
  -256,
  -2,
  -1,
  0,
  1,
  255,
  256,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 48 + 1,
  Number.MAX_SAFE_INTEGER - 1,
  Number.MAX_SAFE_INTEGER,
];

export function registerReads(name: string, open: OpenFixture): void {
  contractTest(
    `${name}: integers come back exactly, also negative and up to 2^53-1`,
    open,
    async ({ store }) => {
      for (const value of INTS) {
        await commitWrites(store, put("usage", [value], { bytes: value, inodes: -value }));
        const found = await getOne(store, "usage", [value]);
        assert.deepEqual(found?.row, { session: value, bytes: value, inodes: 0 - value });
      }
      await commitWrites(store, put("usage", [-0], { bytes: -0, inodes: -0 }));
      const zero = await getOne(store, "usage", [0]);
      assert.ok(Object.is(zero?.row.bytes, 0), "-0 is stored as 0");
      assert.ok(Object.is(zero?.row.session, 0));
    },
  );

  contractTest(
    `${name}: bytes come back exactly, as plain arrays with memory of their own`,
    open,
    async ({ store }) => {
      const large = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7 + (i >> 8));
      const all = Uint8Array.from({ length: 256 }, (_, i) => i);
      const view = all.subarray(100, 110);
      for (const value of [bytes(), bytes(0), bytes(0, 0), all, view, large]) {
        await commitWrites(
          store,
          put("symlinks", [1], { target: value }),
          put("edges", [1, value.slice(0, 255)], { ino: 1, mode: 0 }),
        );
        const [symlink, edge] = await store.get([
          read("symlinks", [1]),
          read("edges", [1, value.slice(0, 255)]),
        ]);
        const [scanned] = await store.scan({ table: "symlinks", prefix: [], limit: 1 });
        assert.ok(symlink !== null && edge !== null && scanned !== undefined);
        assert.deepEqual(edge.row.name, value.slice(0, 255));
        for (const target of [symlink.row.target, scanned.row.target]) {
          assert.deepEqual(target, value.slice());
          assert.equal(Object.getPrototypeOf(target), Uint8Array.prototype);
          assert.equal(target.buffer.byteLength, target.byteLength);
        }
      }
    },
  );

  contractTest(`${name}: text comes back exactly`, open, async ({ store }) => {
    const texts = [
      "",
      " ",
      "a",
      "é",
      "e\u0301",
      "\u{1F600}",
      "\uFFFF",
      "'\";--",
      "\n\r\t\x01\x7f",
      "x".repeat(100_000),
    ];
    for (const value of texts) {
      await commitWrites(store, put("volume", [value.slice(0, 100)], { value }));
      const found = await getOne(store, "volume", [value.slice(0, 100)]);
      assert.deepEqual(found?.row, { name: value.slice(0, 100), value });
    }
    assert.equal((await scanAll(store, "volume")).length, texts.length);
  });

  contractTest(`${name}: rows have exactly the declared columns`, open, async ({ store }) => {
    await commitWrites(
      store,
      put("inodes", [5], inode({ mode: 1, ctimeNsec: 2 })),
      put("sustained", [1, 5], {}),
      put("edges", [1, bytes("a")], { ino: 5, mode: 3 }),
    );
    assert.deepEqual((await getOne(store, "inodes", [5]))?.row, {
      ino: 5,
      ...inode({ mode: 1, ctimeNsec: 2 }),
    });
    assert.deepEqual((await getOne(store, "sustained", [1, 5]))?.row, { session: 1, ino: 5 });
    const [entry] = await store.scan({ table: "edges", prefix: [], limit: 1 });
    assert.deepEqual(entry?.row, { parent: 1, name: bytes("a"), ino: 5, mode: 3 });
    assert.equal(entry?.ref, null);
  });

  contractTest(
    `${name}: keys are ordered: integers by value, bytes bytewise, text as UTF-8`,
    open,
    async ({ store }) => {
      const names = [
        bytes(),
        bytes(0),
        bytes(0, 0),
        bytes(0, 1),
        bytes(0, 255),
        bytes(1),
        bytes("A"),
        bytes("a"),
        bytes("a", 0),
        bytes("aa"),
        bytes("b"),
        bytes(127),
        bytes(128),
        bytes(254, 255),
        bytes(255),
        bytes(255, 0),
        bytes(255, 255),
      ];
      const texts = [
        "",
        "\x01",
        "A",
        "B",
        "a",
        "aa",
        "z",
        "\x7f",
        "é",
        "\uE000",
        "\uFFFF",
        "\u{10000}",
        "\u{10FFFF}",
      ];
      for (const session of shuffled(INTS)) {
        await commitWrites(store, put("usage", [session], { bytes: 0, inodes: 0 }));
      }
      for (const bytesName of shuffled(names)) {
        for (const parent of [300, -1, 2]) {
          await commitWrites(
            store,
            put("edges", [parent, bytesName], { ino: 1, mode: 0 }),
          );
        }
      }
      for (const text of shuffled(texts)) await commitWrites(store, put("counters", [text], { value: 0 }));
      assert.deepEqual((await scanAll(store, "usage")).map(({ row }) => row.session), INTS);
      assert.deepEqual((await scanAll(store, "counters")).map(({ row }) => row.name), texts);
      assert.deepEqual(
        (await scanAll(store, "edges")).map(({ row }) => [row.parent, row.name]),
        [-1, 2, 300].flatMap((parent) => names.map((bytesName) => [parent, bytesName])),
      );
    },
  );

  contractTest(`${name}: a scan returns the keys of its prefix and no others`, open, async ({ store }) => {
    const keys = [[1, 0, 1], [1, 0, 2], [1, 1, 1], [1, 2 ** 40, 7], [2, 0, 1], [256, 0, 1], [-1, 0, 1]];
    for (const key of keys) await commitWrites(store, put("slices", key, slice(0)));
    for (const prefix of [[], [1], [1, 0], [1, 0, 2], [3], [1, 5], [1, 0, 9]]) {
      const expected = keys.filter((key) => prefix.every((value, i) => key[i] === value)).sort(compareTuples);
      const found = await store.scan({ table: "slices", prefix, limit: 100 });
      assert.deepEqual(found.map(({ row }) => [row.ino, row.chunk, row.seq]), expected, `prefix ${prefix}`);
    }
    for (const entry of ["a", "ab", "b"]) {
      await commitWrites(store, put("edges", [1, bytes(entry)], { ino: 1, mode: 0 }));
    }
    const one = await store.scan({ table: "edges", prefix: [1, bytes("a")], limit: 100 });
    assert.deepEqual(
      one.map(({ row }) => row.name),
      [bytes("a")],
      "a whole name is not a prefix of a longer one",
    );
  });

  contractTest(`${name}: pages by after and limit make up the whole`, open, async ({ store }) => {
    const names = Array.from({ length: 25 }, (_, i) => bytes("n", i * 10));
    await commitWrites(
      store,
      ...names.map((entry) => put("edges", [7, entry], { ino: 1, mode: 0 })),
      put("edges", [6, bytes("x")], { ino: 1, mode: 0 }),
      put("edges", [8, bytes("a")], { ino: 1, mode: 0 }),
    );
    for (const limit of [1, 2, 7, 25, 26]) {
      const seen: Uint8Array[] = [];
      for (;;) {
        const last = seen.at(-1);
        const page = await store.scan({
          table: "edges",
          prefix: [7],
          after: last === undefined ? undefined : [last],
          limit,
        });
        assert.ok(page.length <= limit);
        seen.push(...page.map(({ row }) => row.name));
        if (page.length < limit) break;
      }
      assert.deepEqual(seen, names, `limit ${limit}`);
    }
    // A key that is not there is a place as well.
    const between = await store.scan({ table: "edges", prefix: [7], after: [bytes("n", 5)], limit: 1 });
    assert.deepEqual(between[0]?.row.name, bytes("n", 10));
    assert.deepEqual(
      await store.scan({ table: "edges", prefix: [7], after: [bytes("n", 240)], limit: 5 }),
      [],
    );
  });

  contractTest(
    `${name}: after may name several key columns, or fewer than there are`,
    open,
    async ({ store }) => {
      const keys = [[1, 0, 1], [1, 0, 5], [1, 3, 1], [1, 3, 2], [1, 4, 0], [2, 0, 0]];
      for (const key of keys) await commitWrites(store, put("slices", key, slice(0)));
      const after = async (prefix: number[], values: number[]) =>
        (await store.scan({ table: "slices", prefix, after: values, limit: 10 }))
          .map(({ row }) => [row.ino, row.chunk, row.seq]);
      assert.deepEqual(await after([1], [0, 1]), keys.slice(1, 5));
      assert.deepEqual(await after([1], [0, 9]), keys.slice(2, 5));
      assert.deepEqual(await after([1], [0]), keys.slice(2, 5), "everything of chunk 0 is skipped");
      assert.deepEqual(await after([1, 3], [1]), [[1, 3, 2]]);
      assert.deepEqual(await after([], [1]), [[2, 0, 0]]);
      assert.deepEqual(await after([], [1, 3, 2]), keys.slice(4));
      assert.deepEqual(await after([], [0]), keys);
    },
  );

  contractTest(`${name}: follow brings the referenced record, or null`, open, async ({ store }) => {
    await commitWrites(
      store,
      put("edges", [1, bytes("a")], { ino: 10, mode: 1 }),
      put("edges", [1, bytes("b")], { ino: 11, mode: 1 }),
      put("edges", [1, bytes("c")], { ino: 10, mode: 1 }),
    );
    await commitWrites(store, put("inodes", [10], inode({ length: 5 })));
    const versions = [
      (await getOne(store, "edges", [1, bytes("a")]))?.version,
      (await getOne(store, "inodes", [10]))?.version,
    ];
    const [a, b, none] = await store.get([
      read("edges", [1, bytes("a")], "ino"),
      read("edges", [1, bytes("b")], "ino"),
      read("edges", [1, bytes("x")], "ino"),
    ]);
    assert.deepEqual(a?.row, { parent: 1, name: bytes("a"), ino: 10, mode: 1 });
    assert.deepEqual(a?.ref?.row, { ino: 10, ...inode({ length: 5 }) });
    assert.deepEqual([a?.version, a?.ref?.version], versions);
    assert.equal(b?.row.ino, 11);
    assert.equal(b?.ref, null);
    assert.equal(none, null);
    const page = await store.scan({
      table: "edges",
      prefix: [1],
      after: [bytes("a")],
      limit: 2,
      follow: "ino",
    });
    assert.deepEqual(page.map(({ row, ref }) => [row.ino, ref?.row.length]), [[11, undefined], [10, 5]]);
    await commitWrites(store, remove("inodes", [10]));
    const [gone] = await store.get([read("edges", [1, bytes("a")], "ino")]);
    assert.equal(gone?.ref, null);
  });

  contractTest(`${name}: follow brings bytes columns as well`, open, async ({ store }) => {
    await commitWrites(
      store,
      put("slices", [1, 0, 1], slice(0)),
      put("sliceObjects", [100], { size: 10, refs: 1, checksums: bytes(1, 0, 255) }),
    );
    const [found] = await store.scan({ table: "slices", prefix: [1, 0], limit: 1, follow: "sliceId" });
    assert.deepEqual(found?.ref?.row, { sliceId: 100, size: 10, refs: 1, checksums: bytes(1, 0, 255) });
  });

  contractTest(
    `${name}: get answers in the order asked, twice if asked twice, also nothing`,
    open,
    async ({ store }) => {
      await commitWrites(store, put("counters", ["a"], { value: 1 }), put("counters", ["b"], { value: 2 }));
      const found = await store.get([
        read("counters", ["b"]),
        read("counters", ["x"]),
        read("counters", ["a"]),
        read("counters", ["b"]),
      ]);
      assert.deepEqual(found.map((one) => one?.row.value), [2, undefined, 1, 2]);
      assert.equal(found[1], null);
      assert.deepEqual(await store.get([]), []);
    },
  );

  contractTest(
    `${name}: what was passed and what was returned belong to the caller`,
    open,
    async ({ store }) => {
      const target = bytes("before");
      const entry = bytes("name");
      const columns = { target };
      await commitWrites(store, put("symlinks", [1], columns), put("edges", [1, entry], { ino: 1, mode: 0 }));
      target.fill(0);
      columns.target = bytes("other");
      entry.fill(0);
      const key = [1, bytes("name")];
      const [symlink, edge] = await store.get([read("symlinks", [1]), read("edges", key)]);
      assert.deepEqual(symlink?.row.target, bytes("before"));
      assert.ok(edge !== null && symlink !== null);
      symlink.row.target.fill(1);
      edge.row.name.fill(1);
      edge.row.ino = 99;
      assert.deepEqual(key[1], bytes("name"));
      const [again, page] = [await getOne(store, "symlinks", [1]), await scanAll(store, "edges")];
      assert.deepEqual(again?.row.target, bytes("before"));
      assert.deepEqual(page.map(({ row }) => row), [{ parent: 1, name: bytes("name"), ino: 1, mode: 0 }]);
    },
  );
}

function compareTuples(a: number[], b: number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : (a[at] as number) - (b[at] as number);
}

/** A fixed order that is neither rising nor falling. */
function shuffled<V>(values: readonly V[]): V[] {
  return values.map((value, i) => ({ value, at: (i * 7 + 3) % values.length }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

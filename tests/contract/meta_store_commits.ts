/** The writes of a metadata store's commits, and the versions that they give. One client. */
import assert from "node:assert/strict";
import {
  append,
  checkAbsent,
  checkColumns,
  checkEmpty,
  checkVersion,
  type Key,
  put,
  read,
  remove,
  update,
  type Write,
} from "../../core/meta/store.ts";
import {
  bytes,
  commitWrites,
  contractTest,
  getOne,
  holds,
  inode,
  type OpenFixture,
  rejectsAsCaller,
  scanAll,
  slice,
  versionOf,
} from "./meta_store_fixture.ts";

const ordered = { durability: "ordered" } as const;
const synced = { durability: "synced" } as const;
const edge = (ino: number) => ({ ino, mode: 0 });
const use = (count: number) => ({ bytes: count, inodes: 0 });
const counter = (column: string, key: Key = [1]) => ({ table: "inodes", key, column } as const);

export function registerCommits(name: string, open: OpenFixture): void {
  contractTest(`${name}: writes take effect in their order`, open, async ({ store }) => {
    await commitWrites(
      store,
      put("usage", [1], use(1)),
      update("usage", [1], { add: { bytes: 5, inodes: -2 } }),
      remove("usage", [2]),
      put("usage", [2], use(1)),
      put("usage", [3], use(1)),
      remove("usage", [3]),
      remove("usage", [4]),
      put("usage", [4], { bytes: 1, inodes: 1 }),
      put("usage", [4], use(9)),
    );
    assert.deepEqual((await scanAll(store, "usage")).map(({ row }) => row), [
      { session: 1, bytes: 6, inodes: -2 },
      { session: 2, bytes: 1, inodes: 0 },
      { session: 4, bytes: 9, inodes: 0 },
    ]);
  });

  contractTest(
    `${name}: an update of a missing record is named and nothing is applied`,
    open,
    async ({ store }) => {
      await commitWrites(store, put("usage", [1], use(1)));
      const before = await scanAll(store, "usage");
      const changes = [{ set: { bytes: 1 } }, { add: { bytes: 1 } }, {
        raise: [{ columns: ["bytes"], to: [1] }],
      }, {}];
      for (const change of changes) {
        const writes = [
          put("usage", [5], use(5)),
          remove("usage", [1]),
          update("usage", [2], change),
          put("usage", [6], use(6)),
        ];
        const result = await store.commit({ checks: [checkAbsent("usage", [5])], writes }, ordered);
        assert.deepEqual(result, { ok: false, failed: [], missing: [2] });
      }
      const removedFirst = [remove("usage", [1]), update("usage", [1], { add: { bytes: 1 } })];
      const result = await store.commit({ checks: [], writes: removedFirst }, ordered);
      assert.deepEqual(result, { ok: false, failed: [], missing: [1] });
      assert.deepEqual(await scanAll(store, "usage"), before);
    },
  );

  contractTest(`${name}: update sets, adds and raises tuples`, open, async ({ store }) => {
    const start = { mtime: 10, mtimeNsec: 500, ctime: -5, ctimeNsec: 0, length: 100, nlink: 2 };
    const tuple = ["mtime", "mtimeNsec"];
    const cases: [Parameters<typeof update<"inodes">>[2], Partial<typeof start>][] = [
      [{ set: { length: 7, mode: 3 }, add: { nlink: -1 } }, { length: 7, nlink: 1 }],
      [{ raise: [{ columns: tuple, to: [10, 499] }] }, {}],
      [{ raise: [{ columns: tuple, to: [10, 500] }] }, {}],
      [{ raise: [{ columns: tuple, to: [10, 501] }] }, { mtimeNsec: 501 }],
      [{ raise: [{ columns: tuple, to: [9, 999] }] }, {}],
      [{ raise: [{ columns: tuple, to: [11, 0] }] }, { mtime: 11, mtimeNsec: 0 }],
      [{ raise: [{ columns: ["length"], to: [99] }] }, {}],
      [{ raise: [{ columns: ["length"], to: [101] }] }, { length: 101 }],
      [
        {
          raise: [{ columns: tuple, to: [1, 1] }, { columns: ["ctime", "ctimeNsec"], to: [-5, 1] }, {
            columns: ["length"],
            to: [200],
          }],
        },
        { ctimeNsec: 1, length: 200 },
      ],
      [{ set: { length: 1 }, add: { nlink: 3 }, raise: [{ columns: tuple, to: [2 ** 40, 3] }] }, {
        length: 1,
        nlink: 5,
        mtime: 2 ** 40,
        mtimeNsec: 3,
      }],
      [{}, {}],
    ];
    for (const [change, expected] of cases) {
      await commitWrites(store, put("inodes", [1], inode(start)));
      await commitWrites(store, update("inodes", [1], change));
      const mode = change.set?.mode ?? 0;
      const found = await getOne(store, "inodes", [1]);
      assert.deepEqual(
        found?.row,
        { ino: 1, ...inode({ ...start, mode, ...expected }) },
        JSON.stringify(change),
      );
    }
    await commitWrites(store, put("symlinks", [1], { target: bytes("a") }));
    await commitWrites(store, update("symlinks", [1], { set: { target: bytes(0, 255) } }));
    assert.deepEqual((await getOne(store, "symlinks", [1]))?.row.target, bytes(0, 255));
  });

  contractTest(`${name}: append gives the next values of the counter in order`, open, async ({ store }) => {
    await commitWrites(
      store,
      put("inodes", [1], inode({ sliceSeq: 41, length: 9 })),
      put("inodes", [2], inode()),
    );
    assert.deepEqual(
      await commitWrites(
        store,
        append("slices", [1, 0], slice(10), counter("sliceSeq")),
        append("slices", [1, 5], slice(20), counter("sliceSeq")),
        append("slices", [2, 0], slice(30), counter("sliceSeq", [2])),
        append("slices", [1, 0], slice(40), counter("sliceSeq")),
      ),
      [42, 43, 1, 44],
    );
    const found = (await scanAll(store, "slices")).map(({ row }) => [row.ino, row.chunk, row.seq, row.pos]);
    assert.deepEqual(found, [[1, 0, 42, 10], [1, 0, 44, 40], [1, 5, 43, 20], [2, 0, 1, 30]]);
    assert.deepEqual((await getOne(store, "inodes", [1]))?.row, {
      ino: 1,
      ...inode({ sliceSeq: 44, length: 9 }),
    });
    // In one commit with other writes of the counter's record.
    assert.deepEqual(
      await commitWrites(
        store,
        put("inodes", [3], inode({ sliceSeq: 5 })),
        append("slices", [3, 0], slice(1), counter("sliceSeq", [3])),
        update("inodes", [3], { add: { sliceSeq: 10 } }),
        append("slices", [3, 0], slice(2), counter("sliceSeq", [3])),
      ),
      [6, 17],
    );
  });

  contractTest(
    `${name}: an append without its counter's record is named and nothing is applied`,
    open,
    async ({ store }) => {
      await commitWrites(store, put("inodes", [1], inode()));
      const writes = [
        append("slices", [1, 0], slice(1), counter("sliceSeq")),
        put("usage", [1], use(1)),
        append("slices", [9, 0], slice(1), counter("sliceSeq", [9])),
      ];
      const result = await store.commit({ checks: [checkAbsent("usage", [1])], writes }, ordered);
      assert.deepEqual(result, { ok: false, failed: [], missing: [2] });
      assert.deepEqual(await scanAll(store, "slices"), []);
      assert.deepEqual(await scanAll(store, "usage"), []);
      assert.equal((await getOne(store, "inodes", [1]))?.row.sliceSeq, 0);
      const taken = [
        put("slices", [1, 0, 1], slice(7)),
        append("slices", [1, 0], slice(1), counter("sliceSeq")),
      ];
      await rejectsAsCaller(() => store.commit({ checks: [], writes: taken }, ordered));
      assert.deepEqual(await scanAll(store, "slices"), []);
    },
  );

  contractTest(`${name}: a version is never 0 and never comes again for a key`, open, async (fixture) => {
    let { store } = fixture;
    const seen = new Set([0]);
    const note = async () => {
      const version = await versionOf(store, "inodes", [1]);
      assert.ok(Number.isSafeInteger(version) && !seen.has(version), `version ${version}`);
      seen.add(version);
    };
    for (let round = 0; round < 3; round++) {
      await commitWrites(store, put("inodes", [1], inode()));
      await note();
      await commitWrites(store, put("inodes", [1], inode()));
      await note();
      for (
        const change of [{ add: { uid: 1 } }, { set: { uid: 0 } }, {}, {
          raise: [{ columns: ["uid"], to: [-1] }],
        }]
      ) {
        await commitWrites(store, update("inodes", [1], change));
        await note();
      }
      await commitWrites(store, append("slices", [1, round], slice(1), counter("sliceSeq")));
      await note();
      // A failed commit must not lead to a version that was seen before, either.
      await store.commit(
        { checks: [], writes: [put("inodes", [1], inode()), update("usage", [1], {})] },
        ordered,
      );
      await commitWrites(store, remove("inodes", [1]), put("inodes", [1], inode()));
      await note();
      await commitWrites(store, remove("inodes", [1]));
      if (fixture.reopen !== undefined) {
        await store.close();
        store = await fixture.reopen();
      }
    }
    if (store !== fixture.store) await store.close();
  });

  contractTest(`${name}: the record changes its version only when it is written`, open, async ({ store }) => {
    await commitWrites(store, put("usage", [1], use(1)), put("usage", [2], use(1)));
    const version = await versionOf(store, "usage", [1]);
    await commitWrites(store, update("usage", [2], { add: { bytes: 1 } }), put("usage", [3], use(0)));
    assert.ok(await holds(store, checkVersion("usage", [1], version)));
    const result = await store.commit({
      checks: [],
      writes: [update("usage", [9], {}), put("usage", [1], use(2))],
    }, ordered);
    assert.ok(!result.ok);
    assert.equal(await versionOf(store, "usage", [1]), version);
  });

  contractTest(
    `${name}: an integer that leaves the safe range is refused and nothing is applied`,
    open,
    async ({ store }) => {
      const max = Number.MAX_SAFE_INTEGER;
      await commitWrites(
        store,
        put("usage", [1], { bytes: max - 1, inodes: -max }),
        put("inodes", [1], inode({ sliceSeq: max })),
      );
      const before = await scanAll(store, "usage");
      const refused: Write[] = [
        update("usage", [1], { add: { bytes: 2 } }),
        update("usage", [1], { add: { inodes: -1 } }),
        update("usage", [1], { add: { bytes: max, inodes: max } }),
        append("slices", [1, 0], slice(1), counter("sliceSeq")),
      ];
      for (const write of refused) {
        await rejectsAsCaller(
          () => store.commit({ checks: [], writes: [put("usage", [2], use(1)), write] }, ordered),
          /range/,
        );
      }
      assert.deepEqual(await scanAll(store, "usage"), before);
      await commitWrites(store, update("usage", [1], { add: { bytes: 1, inodes: max } }));
      assert.deepEqual((await getOne(store, "usage", [1]))?.row, { session: 1, bytes: max, inodes: 0 });
    },
  );

  contractTest(
    `${name}: batches without writes, without checks, without anything`,
    open,
    async ({ store }) => {
      for (const options of [ordered, synced, synced]) {
        assert.deepEqual(await store.commit({ checks: [], writes: [] }, options), { ok: true, assigned: [] });
        const checks = [checkAbsent("usage", [1]), checkEmpty("usage", [])];
        assert.deepEqual(await store.commit({ checks, writes: [] }, options), { ok: true, assigned: [] });
        const failing = await store.commit({ checks: [checkColumns("usage", [1], {})], writes: [] }, options);
        assert.deepEqual(failing, { ok: false, failed: [0], missing: [] });
        assert.ok((await store.commit({ checks: [], writes: [remove("usage", [1])] }, options)).ok);
      }
    },
  );

  contractTest(`${name}: a long batch is one commit`, open, async ({ store }) => {
    const numbers = Array.from({ length: 2000 }, (_, i) => i);
    const checks = numbers.map((i) => checkAbsent("edges", [1, bytes(`n${i}`)]));
    const writes = numbers.map((i) => put("edges", [1, bytes(`n${i}`)], edge(i)));
    assert.ok((await store.commit({ checks, writes }, ordered)).ok);
    assert.equal((await scanAll(store, "edges")).length, 2000);
    const again = await store.commit({
      checks: [],
      writes: [...writes.slice(0, 5), update("usage", [1], {})],
    }, ordered);
    assert.deepEqual(again, { ok: false, failed: [], missing: [5] });
  });

  contractTest(`${name}: closing is idempotent, and calls after it are refused`, open, async ({ store }) => {
    await commitWrites(store, put("usage", [1], use(1)));
    await store.close();
    await store.close();
    await rejectsAsCaller(() => store.get([read("usage", [1])]), /closed/);
    await rejectsAsCaller(() => store.scan({ table: "usage", prefix: [], limit: 1 }), /closed/);
    await rejectsAsCaller(() => store.commit({ checks: [], writes: [] }, ordered), /closed/);
  });
}

/** The checks of a metadata store's commits: what holds, what fails, and that a failed one leaves nothing. One client. */
import assert from "node:assert/strict";
import {
  append,
  type Check,
  checkAbsent,
  checkColumns,
  checkEmpty,
  checkVersion,
  put,
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
  scanAll,
  slice,
  versionOf,
} from "./meta_store_fixture.ts";

const ordered = { durability: "ordered" } as const;
const synced = { durability: "synced" } as const;
const edge = (ino: number) => ({ ino, mode: 0 });
const use = (count: number) => ({ bytes: count, inodes: 0 });
const sliceCounter = { table: "inodes", key: [1], column: "sliceSeq" } as const;

export function registerChecks(name: string, open: OpenFixture): void {
  contractTest(
    `${name}: each kind of check holds where it should and nowhere else`,
    open,
    async ({ store }) => {
      await commitWrites(
        store,
        put("inodes", [1], inode({ mode: 5, uid: 6 })),
        put("symlinks", [1], { target: bytes("t", 0) }),
        put("counters", ["c"], { value: 1 }),
        put("edges", [1, bytes("a")], edge(1)),
        put("slices", [1, 2, 3], slice(0)),
      );
      const version = await versionOf(store, "inodes", [1]);
      const cases: [Check, boolean][] = [
        [checkAbsent("inodes", [1]), false],
        [checkAbsent("inodes", [2]), true],
        [checkVersion("inodes", [1], version), true],
        [checkVersion("inodes", [1], version + 1), false],
        [checkVersion("inodes", [2], version), false],
        [checkColumns("inodes", [1], { mode: 5 }), true],
        [checkColumns("inodes", [1], { mode: 5, uid: 6, gid: 0 }), true],
        [checkColumns("inodes", [1], { mode: 5, uid: 7 }), false],
        [checkColumns("inodes", [1], {}), true],
        [checkColumns("inodes", [2], {}), false],
        [checkColumns("inodes", [2], { mode: 0 }), false],
        [checkColumns("symlinks", [1], { target: bytes("t", 0) }), true],
        [checkColumns("symlinks", [1], { target: bytes("t") }), false],
        [checkColumns("counters", ["c"], { value: 1 }), true],
        [checkEmpty("edges", [1]), false],
        [checkEmpty("edges", [2]), true],
        [checkEmpty("edges", []), false],
        [checkEmpty("edges", [1, bytes("a")]), false],
        [checkEmpty("edges", [1, bytes("")]), true],
        [checkEmpty("slices", [1, 2]), false],
        [checkEmpty("slices", [1, 3]), true],
        [checkEmpty("usage", []), true],
      ];
      for (const [check, expected] of cases) {
        assert.equal(await holds(store, check), expected, JSON.stringify(check));
      }
    },
  );

  contractTest(`${name}: a failed check is named and nothing is applied`, open, async ({ store }) => {
    await commitWrites(store, put("usage", [1], use(1)), put("usage", [2], use(2)));
    const before = await scanAll(store, "usage");
    const writes: Write[] = [
      put("usage", [1], use(100)),
      remove("usage", [2]),
      put("usage", [3], use(3)),
      update("usage", [1], { add: { bytes: 1 } }),
    ];
    const passes = checkColumns("usage", [1], { bytes: 1 });
    const failing: Check[] = [
      checkVersion("usage", [1], 12345),
      checkAbsent("usage", [1]),
      checkAbsent("usage", [2]),
      checkColumns("usage", [2], { bytes: 9 }),
      checkColumns("usage", [3], {}),
      checkVersion("usage", [3], 7),
      checkEmpty("usage", [2]),
    ];
    for (const check of failing) {
      for (const options of [ordered, synced]) {
        const result = await store.commit({ checks: [passes, check, passes], writes }, options);
        assert.deepEqual(result, { ok: false, failed: [1], missing: [] }, JSON.stringify(check));
      }
    }
    const several = await store.commit(
      { checks: [failing[0] as Check, passes, failing[1] as Check], writes },
      ordered,
    );
    assert.ok(!several.ok && several.failed.length > 0 && several.missing.length === 0);
    assert.ok(several.failed.every((index) => index === 0 || index === 2));
    assert.deepEqual(await scanAll(store, "usage"), before);
  });

  contractTest(
    `${name}: checks look at the state before the commit, whatever it writes`,
    open,
    async ({ store }) => {
      await commitWrites(store, put("usage", [1], use(1)), put("inodes", [1], inode()));
      const version = await versionOf(store, "usage", [1]);
      const batches: { checks: Check[]; writes: Write[] }[] = [
        {
          checks: [checkAbsent("usage", [9])],
          writes: [put("usage", [9], use(1)), put("usage", [9], use(2))],
        },
        {
          checks: [checkAbsent("usage", [8])],
          writes: [put("usage", [8], use(1)), remove("usage", [8]), put("usage", [8], use(2))],
        },
        { checks: [checkAbsent("usage", [7])], writes: [remove("usage", [7]), put("usage", [7], use(2))] },
        {
          checks: [checkVersion("usage", [1], version), checkColumns("usage", [1], { bytes: 1 })],
          writes: [update("usage", [1], { set: { bytes: 5 } }), update("usage", [1], { add: { bytes: 5 } })],
        },
        {
          checks: [checkColumns("usage", [1], { bytes: 10 }), checkEmpty("edges", [1])],
          writes: [remove("usage", [1]), put("edges", [1, bytes("x")], edge(1)), put("usage", [1], use(3))],
        },
        {
          // The second write is the first that the check is about.
          checks: [checkColumns("inodes", [1], { sliceSeq: 0 }), checkAbsent("slices", [1, 0, 1])],
          writes: [
            append("slices", [1, 0], slice(0), sliceCounter),
            update("inodes", [1], { set: { length: 4 } }),
            put("slices", [1, 0, 1], slice(50)),
          ],
        },
        {
          checks: [checkAbsent("slices", [1, 0, 2]), checkColumns("inodes", [1], { sliceSeq: 1, length: 4 })],
          writes: [
            update("inodes", [1], { add: { length: 1 } }),
            append("slices", [1, 0], slice(0), sliceCounter),
            remove("slices", [1, 0, 2]),
          ],
        },
      ];
      for (const batch of batches) {
        const result = await store.commit(batch, ordered);
        assert.ok(result.ok, JSON.stringify([batch, result]));
      }
      const rows = (await scanAll(store, "usage")).map(({ row }) => [row.session, row.bytes]);
      assert.deepEqual(rows, [[1, 3], [7, 2], [8, 2], [9, 2]]);
      assert.deepEqual((await scanAll(store, "slices")).map(({ row }) => [row.seq, row.pos]), [[1, 50]]);
      // What only the commit itself would bring about does not count.
      const append1 = append("slices", [1, 0], slice(0), sliceCounter);
      const failing: { checks: Check[]; writes: Write[] }[] = [
        {
          checks: [checkColumns("usage", [5], { bytes: 1 })],
          writes: [put("usage", [5], use(1)), put("usage", [5], use(2))],
        },
        {
          checks: [checkColumns("usage", [1], { bytes: 4 })],
          writes: [update("usage", [1], { add: { bytes: 1 } }), update("usage", [1], { set: { bytes: 0 } })],
        },
        {
          checks: [checkColumns("slices", [1, 0, 3], { pos: 0 })],
          writes: [append1, update("slices", [1, 0, 3], { set: { len: 1 } })],
        },
        {
          checks: [checkColumns("inodes", [1], { sliceSeq: 3 })],
          writes: [append1, update("inodes", [1], { set: { length: 1 } })],
        },
        { checks: [checkAbsent("usage", [1])], writes: [remove("usage", [1]), put("usage", [1], use(1))] },
        { checks: [checkEmpty("usage", [1])], writes: [remove("usage", [1]), put("usage", [1], use(1))] },
      ];
      for (const batch of failing) {
        const result = await store.commit(batch, ordered);
        assert.deepEqual(result, { ok: false, failed: [0], missing: [] }, JSON.stringify(batch));
      }
    },
  );

  contractTest(
    `${name}: a check guards a write of the same record, in every combination`,
    open,
    async ({ store }) => {
      const writes = [
        (key: number) => put("usage", [key], use(7)),
        (key: number) => update("usage", [key], { add: { bytes: 1 } }),
        (key: number) => remove("usage", [key]),
      ];
      let key = 0;
      for (const write of writes) {
        for (const kind of ["absent", "version", "stale", "columns", "other columns"]) {
          for (const exists of [true, false]) {
            key++;
            if (exists) await commitWrites(store, put("usage", [key], use(1)));
            const version = await versionOf(store, "usage", [key]);
            const check = {
              absent: checkAbsent("usage", [key]),
              version: checkVersion("usage", [key], exists ? version : 77),
              stale: checkVersion("usage", [key], version + 1),
              columns: checkColumns("usage", [key], { bytes: 1, inodes: 0 }),
              "other columns": checkColumns("usage", [key], { bytes: 2 }),
            }[kind] as Check;
            const expected = kind === "absent"
              ? !exists
              : exists && (kind === "version" || kind === "columns");
            const [single] = [write(key)];
            const result = await store.commit({ checks: [check], writes: [single] }, ordered);
            const what = `${single.write}, ${kind}, ${exists}`;
            const after = (await getOne(store, "usage", [key]))?.row.bytes;
            if (!expected) {
              assert.deepEqual(result, { ok: false, failed: [0], missing: [] }, what);
              assert.equal(after, exists ? 1 : undefined, what);
            } else if (single.write === "update" && !exists) {
              assert.deepEqual(result, { ok: false, failed: [], missing: [0] }, what);
            } else {
              assert.deepEqual(result, { ok: true, assigned: [] }, what);
              assert.equal(
                after,
                { put: 7, update: 2, delete: undefined, append: undefined }[single.write],
                what,
              );
            }
          }
        }
      }
    },
  );

  contractTest(
    `${name}: a commit that changed nothing hides no failed check of the next`,
    open,
    async ({ store }) => {
      await commitWrites(store, put("usage", [1], use(1)), put("usage", [2], use(2)));
      const before = await scanAll(store, "usage");
      for (const first of [[], [remove("usage", [9])], [remove("usage", [8]), remove("usage", [9])]]) {
        for (const options of [ordered, synced]) {
          for (
            const next of [
              { checks: [checkAbsent("usage", [1])], writes: [put("usage", [1], use(7))] },
              {
                checks: [checkColumns("usage", [1], { bytes: 7 })],
                writes: [update("usage", [1], { set: { bytes: 8 } })],
              },
              {
                checks: [checkVersion("usage", [1], 7)],
                writes: [put("usage", [2], use(7)), remove("usage", [1])],
              },
              {
                checks: [],
                writes: [put("usage", [2], use(7)), update("usage", [9], { add: { bytes: 1 } })],
              },
            ]
          ) {
            // Commits before it, so that nothing has to be counted anew.
            await commitWrites(store, put("usage", [5], use(1)));
            await commitWrites(store, remove("usage", [5]));
            assert.ok((await store.commit({ checks: [], writes: first }, options)).ok);
            assert.equal(
              (await store.commit(next, ordered)).ok,
              false,
              JSON.stringify([first, options, next]),
            );
          }
        }
      }
      assert.deepEqual(await scanAll(store, "usage"), before);
    },
  );
}

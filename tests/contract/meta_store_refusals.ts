/** What a metadata store refuses: calls that do not fit the schema. Types would not allow them, plain data does. */
import assert from "node:assert/strict";
import type { Batch, Check, MetaStore, Write } from "../../core/meta/store.ts";
import {
  bytes,
  commitWrites,
  contractTest,
  inode,
  type OpenFixture,
  rejectsAsCaller,
  scanAll,
} from "./meta_store_fixture.ts";
import { put } from "../../core/meta/store.ts";

const use = { bytes: 0, inodes: 0 };
const tuple = (columns: string[], to: unknown[]) => ({ raise: [{ columns, to }] });

const badWrites: unknown[] = [
  { write: "put", table: "nowhere", key: [2], columns: {} },
  { write: "put", table: "usage", key: [], columns: use },
  { write: "put", table: "usage", key: [2, 3], columns: use },
  { write: "put", table: "usage", key: [undefined], columns: use },
  { write: "put", table: "usage", key: [null], columns: use },
  { write: "put", table: "usage", key: ["2"], columns: use },
  { write: "put", table: "usage", key: [2n], columns: use },
  { write: "put", table: "usage", key: [1.5], columns: use },
  { write: "put", table: "usage", key: [2], columns: { bytes: 0 } },
  { write: "put", table: "usage", key: [2], columns: { bytes: NaN, inodes: 0 } },
  { write: "put", table: "usage", key: [2], columns: { bytes: Infinity, inodes: 0 } },
  { write: "put", table: "usage", key: [2], columns: { bytes: 2 ** 53, inodes: 0 } },
  { write: "put", table: "usage", key: [2], columns: { bytes: "5", inodes: 0 } },
  { write: "put", table: "edges", key: [1, "text"], columns: { ino: 1, mode: 1 } },
  { write: "put", table: "symlinks", key: [2], columns: { target: "text" } },
  { write: "put", table: "symlinks", key: [2], columns: { target: [1, 2] } },
  { write: "put", table: "volume", key: ["a"], columns: { value: bytes("a") } },
  { write: "put", table: "volume", key: ["a"], columns: { value: "nul\0" } },
  { write: "put", table: "volume", key: ["nul\0"], columns: { value: "" } },
  { write: "put", table: "volume", key: ["a"], columns: { value: "half \ud800" } },
  { write: "delete", table: "usage", key: [] },
  { write: "delete", table: "usage", key: ["1"] },
  { write: "update", table: "usage", key: [1], set: { nothing: 1 } },
  { write: "update", table: "usage", key: [1], set: { session: 1 } },
  { write: "update", table: "usage", key: [1], set: { bytes: 1.5 } },
  { write: "update", table: "usage", key: [1], add: { bytes: NaN } },
  { write: "update", table: "usage", key: [1], add: { nothing: 1 } },
  { write: "update", table: "usage", key: [1], set: { bytes: 1 }, add: { bytes: 1 } },
  { write: "update", table: "usage", key: [1], add: { bytes: 1 }, ...tuple(["bytes"], [1]) },
  { write: "update", table: "usage", key: [1], ...tuple(["bytes", "inodes"], [1]) },
  { write: "update", table: "usage", key: [1], ...tuple(["bytes"], [1, 2]) },
  { write: "update", table: "usage", key: [1], ...tuple([], []) },
  { write: "update", table: "usage", key: [1], ...tuple(["bytes", "bytes"], [1, 2]) },
  { write: "update", table: "usage", key: [1], ...tuple(["nothing"], [1]) },
  { write: "update", table: "usage", key: [1], ...tuple(["bytes"], ["1"]) },
  { write: "update", table: "symlinks", key: [1], add: { target: 1 } },
  { write: "append", table: "edges", key: [1], columns: { ino: 1, mode: 1 }, counter: counterOf("sliceSeq") },
  { write: "append", table: "slices", key: [1, 0], columns: {}, counter: counterOf("sliceSeq") },
  { write: "append", table: "slices", key: [1, 0, 0], columns: slice(), counter: counterOf("sliceSeq") },
  { write: "append", table: "slices", key: [1, 0], columns: slice(), counter: counterOf("nothing") },
  {
    write: "append",
    table: "slices",
    key: [1, 0],
    columns: slice(),
    counter: { ...counterOf("uid"), key: [] },
  },
  {
    write: "append",
    table: "slices",
    key: [1, 0],
    columns: slice(),
    counter: { ...counterOf("uid"), table: "x" },
  },
];

const badChecks: unknown[] = [
  { check: "version", table: "nowhere", key: [1], version: 0 },
  { check: "version", table: "usage", key: [], version: 0 },
  { check: "version", table: "usage", key: ["1"], version: 0 },
  { check: "columns", table: "usage", key: [1], columns: { nothing: 1 } },
  { check: "columns", table: "usage", key: [1], columns: { bytes: "1" } },
  { check: "columns", table: "usage", key: [1], columns: { bytes: undefined } },
  { check: "empty", table: "usage", prefix: [1, 2] },
  { check: "empty", table: "edges", prefix: ["1"] },
];

const badReads: unknown[] = [
  { table: "nowhere", key: [1] },
  { table: "usage", key: [] },
  { table: "usage", key: [1, 2] },
  { table: "usage", key: [null] },
  { table: "edges", key: [1, "text"] },
  { table: "edges", key: [1, bytes("a")], follow: "mode" },
  { table: "edges", key: [1, bytes("a")], follow: "nothing" },
];

const badScans: unknown[] = [
  { table: "nowhere", prefix: [], limit: 1 },
  { table: "usage", prefix: [1, 2], limit: 1 },
  { table: "usage", prefix: ["1"], limit: 1 },
  { table: "usage", prefix: [], limit: 0 },
  { table: "usage", prefix: [], limit: -1 },
  { table: "usage", prefix: [], limit: 1.5 },
  { table: "usage", prefix: [], limit: NaN },
  { table: "usage", prefix: [1], after: [1], limit: 1 },
  { table: "usage", prefix: [], after: [], limit: 1 },
  { table: "usage", prefix: [], after: ["1"], limit: 1 },
  { table: "edges", prefix: [1], after: ["text"], limit: 1 },
  { table: "edges", prefix: [1], limit: 1, follow: "mode" },
];

function counterOf(column: string) {
  return { table: "inodes", key: [1], column };
}

function slice() {
  return { pos: 0, sliceId: 1, size: 1, off: 0, len: 1 };
}

export function registerRefusals(name: string, open: OpenFixture): void {
  contractTest(
    `${name}: writes that do not fit the schema are refused, nothing is applied`,
    open,
    async ({ store }) => {
      await commitWrites(store, put("usage", [1], use), put("symlinks", [1], { target: bytes("t") }));
      await commitWrites(store, put("inodes", [1], inode()));
      const before = await everything(store);
      for (const write of badWrites) {
        const batch: Batch = { checks: [], writes: [put("usage", [5], use), write as Write] };
        await rejectsAsCaller(() => store.commit(batch, { durability: "ordered" })).catch((error) => {
          throw new Error(`not refused: ${show(write)}`, { cause: error });
        });
      }
      assert.deepEqual(await everything(store), before);
    },
  );

  contractTest(`${name}: checks that do not fit the schema are refused`, open, async ({ store }) => {
    for (const check of badChecks) {
      for (const writes of [[], [put("usage", [1], use)]]) {
        const batch: Batch = { checks: [check as Check], writes };
        await rejectsAsCaller(() => store.commit(batch, { durability: "ordered" })).catch((error) => {
          throw new Error(`not refused: ${show(check)}`, { cause: error });
        });
      }
    }
    assert.deepEqual(await scanAll(store, "usage"), []);
  });

  contractTest(`${name}: reads that do not fit the schema are refused`, open, async ({ store }) => {
    for (const read of badReads) {
      await rejectsAsCaller(() => store.get([read] as never)).catch((error) => {
        throw new Error(`not refused: ${show(read)}`, { cause: error });
      });
    }
    for (const scan of badScans) {
      await rejectsAsCaller(() => store.scan(scan as never)).catch((error) => {
        throw new Error(`not refused: ${show(scan)}`, { cause: error });
      });
    }
    // After a refusal in a read of several, the store goes on.
    await rejectsAsCaller(() => store.get([badReads[0], badReads[1]] as never));
    await commitWrites(store, put("usage", [1], use));
    assert.equal((await scanAll(store, "usage")).length, 1);
  });
}

async function everything(store: MetaStore) {
  return [await scanAll(store, "usage"), await scanAll(store, "symlinks"), await scanAll(store, "slices")];
}

function show(value: unknown): string {
  return Deno.inspect(value, { compact: true, breakLength: Infinity });
}

/** Random batches against a metadata store and a reference that is too simple to be wrong. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { declarationOf, type TableName } from "../../core/meta/schema.ts";
import {
  type Batch,
  type Check,
  type Durability,
  type Key,
  type MetaStore,
  type Value,
  type Write,
} from "../../core/meta/store.ts";
import { bytes, type OpenFixture } from "./meta_store_fixture.ts";

const RUNS = 60;
const COMMITS_MAX = 30;
const TABLES: readonly TableName[] = ["usage", "edges", "slices", "symlinks", "counters"];

type Columns = Record<string, Value>;
interface Record0 {
  readonly key: Key;
  readonly columns: Columns;
}

/** A check on a version names it indirectly: versions are the store's. */
type AnyCheck =
  | { check: "current" | "absent" | "old"; table: TableName; key: Key }
  | Exclude<Check, { check: "version" }>;
interface AnyBatch {
  readonly checks: AnyCheck[];
  readonly writes: Write[];
  readonly durability: Durability;
}

// Few keys and values, so that batches meet.

const names = fc.constantFrom(bytes(), bytes("a"), bytes("ab"), bytes(0), bytes(255));
const smallInt = fc.integer({ min: -2, max: 3 });
const anyInt = fc.oneof(smallInt, fc.maxSafeInteger().map((value) => Math.trunc(value / 8) + 0));
const keys: Record<string, fc.Arbitrary<Key>> = {
  usage: fc.tuple(fc.integer({ min: -1, max: 1 })),
  edges: fc.tuple(fc.integer({ min: 1, max: 2 }), names),
  slices: fc.tuple(
    fc.integer({ min: 1, max: 2 }),
    fc.integer({ min: 0, max: 1 }),
    fc.integer({ min: 1, max: 4 }),
  ),
  symlinks: fc.tuple(fc.integer({ min: 1, max: 2 })),
  counters: fc.tuple(fc.constantFrom("a", "b")),
};
const columns: Record<string, fc.Arbitrary<Columns>> = {
  usage: fc.record({ bytes: anyInt, inodes: smallInt }),
  edges: fc.record({ ino: smallInt, mode: smallInt }),
  slices: fc.record({ pos: smallInt, sliceId: smallInt, size: smallInt, off: smallInt, len: smallInt }),
  symlinks: fc.record({ target: names }),
  counters: fc.record({ value: smallInt }),
};
const tables = fc.constantFrom(...TABLES);
const someOf = (all: Columns) => fc.subarray(Object.keys(all)).map((chosen) => pick(all, chosen));

const checkArbitrary: fc.Arbitrary<AnyCheck> = tables.chain((table) =>
  fc.oneof(
    fc.record({
      check: fc.constantFrom("current" as const, "current" as const, "absent" as const, "old" as const),
      table: fc.constant(table),
      key: keys[table] as fc.Arbitrary<Key>,
    }),
    fc.record({
      check: fc.constant("columns" as const),
      table: fc.constant(table),
      key: keys[table] as fc.Arbitrary<Key>,
      columns: (columns[table] as fc.Arbitrary<Columns>).chain(someOf),
    }) as fc.Arbitrary<AnyCheck>,
    fc.tuple(keys[table] as fc.Arbitrary<Key>, fc.nat(3)).map(([key, length]): AnyCheck => ({
      check: "empty",
      table,
      prefix: key.slice(0, Math.max(table === "edges" ? 1 : 0, length)),
    })),
  )
);

const updateArbitrary = fc.oneof(
  fc.record({
    write: fc.constant("update" as const),
    table: fc.constant("usage" as const),
    key: keys.usage as fc.Arbitrary<Key>,
    add: fc.constantFrom({ bytes: 1 }, { bytes: -3, inodes: 1 }, {}),
    raise: fc.constantFrom([], undefined),
  }),
  fc.record({
    write: fc.constant("update" as const),
    table: fc.constant("slices" as const),
    key: keys.slices as fc.Arbitrary<Key>,
    set: fc.constantFrom({ sliceId: 1 }, {}),
    raise: fc.tuple(smallInt, smallInt, smallInt).map(([pos, len, size]) => [
      { columns: ["pos", "len"], to: [pos, len] },
      { columns: ["size"], to: [size] },
    ]),
  }),
  fc.record({
    write: fc.constant("update" as const),
    table: fc.constant("symlinks" as const),
    key: keys.symlinks as fc.Arbitrary<Key>,
    set: columns.symlinks as fc.Arbitrary<Columns>,
  }),
) as fc.Arbitrary<Write>;

const writeArbitrary: fc.Arbitrary<Write> = fc.oneof(
  { weight: 4, arbitrary: tables.chain((table) => putOf(table)) },
  { weight: 2, arbitrary: tables.chain((table) => removeOf(table)) },
  { weight: 3, arbitrary: updateArbitrary },
  { weight: 2, arbitrary: appendArbitrary() },
);

function putOf(table: TableName): fc.Arbitrary<Write> {
  return fc.record({
    key: keys[table] as fc.Arbitrary<Key>,
    columns: columns[table] as fc.Arbitrary<Columns>,
  })
    .map((parts) => ({ write: "put", table, ...parts }) as Write);
}

function removeOf(table: TableName): fc.Arbitrary<Write> {
  return (keys[table] as fc.Arbitrary<Key>).map((key): Write => ({ write: "delete", table, key }));
}

function appendArbitrary(): fc.Arbitrary<Write> {
  return fc.record({
    write: fc.constant("append" as const),
    table: fc.constant("slices" as const),
    // Away from the chunks that are put by key: that an append meets a record is tested elsewhere.
    key: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.constant(7)),
    columns: columns.slices as fc.Arbitrary<Columns>,
    counter: fc.record({
      table: fc.constant("counters" as const),
      key: fc.constant(["log"]),
      column: fc.constant("value"),
    }),
  }) as unknown as fc.Arbitrary<Write>;
}

const batches: fc.Arbitrary<AnyBatch[]> = fc.array(
  fc.record({
    checks: fc.array(checkArbitrary, { maxLength: 3 }),
    writes: fc.array(writeArbitrary, { maxLength: 5 }),
    durability: fc.constantFrom<Durability[]>("ordered", "ordered", "ordered", "synced"),
  }),
  { maxLength: COMMITS_MAX },
);

/** The reference: one map, and rules in the order of the contract's text. */
class Model {
  records = new Map<string, Record0 & { table: TableName }>();
  assigned: number[] = [];

  find(table: TableName, key: Key): Columns | undefined {
    return this.records.get(identity(table, key))?.columns;
  }

  holds(check: AnyCheck): boolean {
    switch (check.check) {
      case "current":
        return true; // names whatever version there is, 0 if there is none
      case "absent":
        return this.find(check.table, check.key) === undefined;
      case "old":
        return false;
      case "columns": {
        const found = this.find(check.table, check.key);
        const wanted = Object.entries(check.columns as Columns);
        return found !== undefined && wanted.every(([name, value]) => same(found[name], value));
      }
      case "empty":
        return ![...this.records.values()].some(({ table, key }) =>
          table === check.table && check.prefix.every((value, i) => same(key[i], value))
        );
    }
  }

  /** The indices that a commit may name, or null if it succeeds. */
  commit({ checks, writes }: AnyBatch): { failed: number[]; missing: number[] } | null {
    const failed = checks.flatMap((check, i) => this.holds(check) ? [] : [i]);
    const before = new Map(this.records);
    this.assigned = [];
    const missing = writes.flatMap((write, i) => this.#apply(write) ? [] : [i]);
    if (failed.length === 0 && missing.length === 0) return null;
    this.records = before;
    return { failed, missing };
  }

  #apply(write: Write): boolean {
    const { table, key } = write;
    const old = this.find(table, key);
    switch (write.write) {
      case "put":
        this.#store(table, key, write.columns as Columns);
        return true;
      case "delete":
        this.records.delete(identity(table, key));
        return true;
      case "update": {
        if (old === undefined) return false;
        const changed: Columns = { ...old, ...write.set as Columns };
        for (const [name, value] of Object.entries(write.add ?? {})) {
          changed[name] = (old[name] as number) + (value as number);
        }
        for (const { columns: raised, to } of write.raise ?? []) {
          const current = raised.map((name) => old[name] as number);
          const at = current.findIndex((value, i) => value !== to[i]);
          if (at >= 0 && (current[at] as number) < (to[at] as number)) {
            raised.forEach((name, i) => changed[name] = to[i] as number);
          }
        }
        this.#store(table, key, changed);
        return true;
      }
      case "append": {
        const { counter } = write;
        const counted = this.find(counter.table, counter.key);
        if (counted === undefined) return false;
        const next = (counted[counter.column] as number) + 1;
        this.#store(counter.table, counter.key, { ...counted, [counter.column]: next });
        this.#store(table, [...key, next], write.columns as Columns);
        this.assigned.push(next);
        return true;
      }
    }
  }

  #store(table: TableName, key: Key, values: Columns): void {
    this.records.set(identity(table, key), { table, key, columns: values });
  }
}

export function registerModel(name: string, open: OpenFixture): void {
  Deno.test(`${name}: random batches do what the reference does`, async () => {
    const seed = Number(Deno.env.get("SLAYERFS_TEST_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]) |
      0;
    console.log(`fast-check seed ${seed} (SLAYERFS_TEST_SEED repeats it)`);
    const property = fc.asyncProperty(batches, async (sequence) => {
      const fixture = await open();
      try {
        await compare(fixture.store, sequence);
      } finally {
        await fixture.store.close();
        await fixture.cleanup();
      }
    });
    await fc.assert(property, { seed, numRuns: RUNS });
  });
}

async function compare(store: MetaStore, sequence: AnyBatch[]): Promise<void> {
  const model = new Model();
  const versions = new Map<string, number>();
  const usedVersions = new Map<string, Set<number>>();
  const start: AnyBatch = {
    durability: "ordered",
    checks: [],
    writes: [{ write: "put", table: "counters", key: ["log"], columns: { value: 0 } } as Write],
  };
  for (const batch of [start, ...sequence]) {
    const checks = batch.checks.map((check) => withVersion(check, versions));
    const result = await store.commit({ checks, writes: batch.writes } as Batch, {
      durability: batch.durability,
    });
    const expected = model.commit(batch);
    if (result.ok) {
      assert.equal(expected, null);
      assert.deepEqual(result.assigned, model.assigned);
    } else {
      assert.ok(expected !== null, `refused: ${JSON.stringify(result)}`);
      assert.ok(result.failed.length + result.missing.length > 0);
      for (const index of result.failed) assert.ok(expected.failed.includes(index));
      // With failed checks it does not matter what the writes would have met.
      if (result.failed.length === 0) assert.deepEqual([result.missing[0]], [expected.missing[0]]);
    }
    await compareState(
      store,
      model,
      result.ok ? touched(batch.writes, model.assigned) : new Set(),
      versions,
      usedVersions,
    );
  }
}

/** All tables have the model's records; the versions of those written changed to new ones, no other did. */
async function compareState(
  store: MetaStore,
  model: Model,
  written: Set<string>,
  versions: Map<string, number>,
  usedVersions: Map<string, Set<number>>,
): Promise<void> {
  const seen = new Set<string>();
  for (const table of TABLES) {
    const keyNames = Object.keys(declarationOf(table).key);
    const found = await store.scan({ table, prefix: [], limit: 1000 });
    for (const { row, version } of found) {
      const values = row as unknown as Columns;
      const key = keyNames.map((name) => values[name] as Value);
      const id = identity(table, key);
      seen.add(id);
      const record = model.records.get(id);
      assert.ok(record !== undefined, `${id} should not be there`);
      const expected = Object.fromEntries(keyNames.map((name, i) => [name, key[i]]));
      assert.deepEqual(values, { ...expected, ...record.columns });
      const used = usedVersions.get(id) ?? new Set([0]);
      usedVersions.set(id, used);
      if (written.has(id)) assert.ok(!used.has(version), `${id} has version ${version} again`);
      else assert.equal(version, versions.get(id), `${id} was not written`);
      used.add(version);
      versions.set(id, version);
    }
  }
  assert.equal(seen.size, model.records.size);
  for (const id of versions.keys()) if (!seen.has(id)) versions.delete(id);
}

function withVersion(check: AnyCheck, versions: Map<string, number>): Check {
  if (check.check === "columns" || check.check === "empty") return check;
  const { table, key } = check;
  const current = versions.get(identity(table, key)) ?? 0;
  const version = check.check === "absent" ? 0 : check.check === "current" ? current : current + 1;
  return { check: "version", table, key, version };
}

function touched(writes: readonly Write[], assigned: readonly number[]): Set<string> {
  let appends = 0;
  return new Set(writes.flatMap((write) =>
    write.write === "append"
      ? [
        identity(write.table, [...write.key, assigned[appends++] as number]),
        identity(write.counter.table, write.counter.key),
      ]
      : [identity(write.table, write.key)]
  ));
}

function identity(table: TableName, key: Key): string {
  return JSON.stringify([table, ...key.map((value) => value instanceof Uint8Array ? [...value] : value)]);
}

function same(a: Value | undefined, b: Value | undefined): boolean {
  return JSON.stringify(a instanceof Uint8Array ? [...a] : a) ===
    JSON.stringify(b instanceof Uint8Array ? [...b] : b);
}

function pick(all: Columns, chosen: readonly string[]): Columns {
  return Object.fromEntries(chosen.map((name) => [name, all[name] as Value]));
}

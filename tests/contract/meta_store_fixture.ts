/** What a store brings to its contract suite, and helpers that the parts of the suite share. */
import assert from "node:assert/strict";
import { StoreError } from "../../core/errors.ts";
import type { TableName } from "../../core/meta/schema.ts";
import {
  type Batch,
  type Check,
  type CommitResult,
  type Durability,
  type Found,
  type Key,
  type MetaStore,
  read,
  type Write,
} from "../../core/meta/store.ts";

export interface OpenMetaStore {
  readonly store: MetaStore;
  /** Another client of the same data. */
  readonly connect?: () => Promise<MetaStore>;
  /** Opens the data again after `store` was closed. */
  readonly reopen?: () => Promise<MetaStore>;
  /** Other processes can open the data by this URL, through backends/registry.ts. */
  readonly url?: string;
  /** Closes what the fixture opened and removes the data. */
  readonly cleanup: () => Promise<void>;
}

export type OpenFixture = () => Promise<OpenMetaStore>;

/** Registers one test, on a store of its own. */
export function contractTest(
  name: string,
  open: OpenFixture,
  body: (fixture: OpenMetaStore) => Promise<void>,
): void {
  Deno.test(name, async () => {
    const fixture = await open();
    try {
      await body(fixture);
    } finally {
      await fixture.store.close();
      await fixture.cleanup();
    }
  });
}

export function bytes(...values: (number | string)[]): Uint8Array {
  const parts = values.map((value) => typeof value === "string" ? new TextEncoder().encode(value) : [value]);
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const RETRIES_MAX = 200;

/** Commits, again as long as the store says that it should be tried again. */
export async function commitRetrying(
  store: MetaStore,
  batch: Batch,
  durability: Durability = "ordered",
): Promise<CommitResult> {
  for (let attempt = 0;; attempt++) {
    try {
      return await store.commit(batch, { durability });
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== "retry" || attempt === RETRIES_MAX) throw error;
    }
  }
}

/** Commits writes without checks; they must succeed. */
export async function commitWrites(store: MetaStore, ...writes: Write[]): Promise<readonly number[]> {
  const result = await commitRetrying(store, { checks: [], writes });
  assert.ok(result.ok, JSON.stringify(result));
  return result.assigned;
}

/** True if the check holds now. */
export async function holds(store: MetaStore, check: Check): Promise<boolean> {
  return (await commitRetrying(store, { checks: [check], writes: [] })).ok;
}

export async function getOne<T extends TableName>(
  store: MetaStore,
  table: T,
  key: Key,
): Promise<Found<T> | null> {
  const [found] = await store.get([read(table, key)] as const);
  return found as Found<T> | null;
}

export async function versionOf(store: MetaStore, table: TableName, key: Key): Promise<number> {
  return (await getOne(store, table, key))?.version ?? 0;
}

/** Every record of a table in key order, in pages. */
export async function scanAll<T extends TableName>(store: MetaStore, table: T): Promise<Found<T>[]> {
  return await store.scan({ table, prefix: [], limit: 100_000 }) as Found<T>[];
}

export async function rejectsAsCaller(call: () => Promise<unknown>, message?: RegExp): Promise<void> {
  await assert.rejects(call, (error: unknown) => {
    assert.ok(error instanceof StoreError, `not a StoreError: ${error}`);
    assert.equal(error.kind, "caller");
    assert.ok(!error.message.includes("\n"));
    if (message !== undefined) assert.match(error.message, message);
    return true;
  });
}

/** An inode record with the given columns; the others are 0. */
export function inode(columns: Partial<typeof zeroInode> = {}): typeof zeroInode {
  return { ...zeroInode, ...columns };
}
const zeroInode = {
  mode: 0,
  uid: 0,
  gid: 0,
  nlink: 0,
  rdev: 0,
  length: 0,
  parent: 0,
  flags: 0,
  sliceSeq: 0,
  xattrBytes: 0,
  xattrKinds: 0,
  atime: 0,
  atimeNsec: 0,
  mtime: 0,
  mtimeNsec: 0,
  ctime: 0,
  ctimeNsec: 0,
};

export const slice = (pos: number) => ({ pos, sliceId: pos + 100, size: 10, off: 0, len: 10 });

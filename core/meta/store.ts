/**
 * MetaStore: the contract between the metadata engine and a database. A store keeps typed records (schema.ts) and
 * commits batches of them; it knows nothing about files. All arguments and results are plain data (numbers, strings,
 * Uint8Arrays, arrays and objects of them), so that a store may live on another thread.
 *
 * Promises of every store, checked by tests/contract/meta_store.ts:
 * - Commits are atomic and strictly serializable: they behave as if they ran one at a time, in an order that respects
 *   real time, and every read (`get`, `scan` of one page) sees the state between two commits.
 * - `commit` is one round trip in the common shapes; `get` and `scan` are one round trip each, with or without `follow`.
 * - A commit with `durability: "ordered"` may be lost when the machine loses power (never when only the process dies),
 *   but only together with every commit after it: what survives is a prefix of the commit order. When a `"synced"`
 *   commit returns, it and everything before it survive, also if it writes nothing itself.
 * - A failed check is a result, not an exception. Exceptions are StoreError: after kind `retry` nothing was applied
 *   (a store that cannot know resolves it first); the others say what is wrong.
 * - A call that does not fit the schema (unknown table or column, a value of another type, an integer that is not safe) is a
 *   StoreError of kind `caller`, and nothing is applied.
 * - The store keeps no reference to arguments, and callers may change results freely.
 */
import type { Columns, Row, TableName, Tables } from "./schema.ts";

export type Value = number | string | Uint8Array;
/** Values of the key columns in order; shorter than the whole key where a prefix is meant. */
export type Key = readonly Value[];

/** Columns of T that hold the key of a record elsewhere. */
export type ReferenceColumn<T extends TableName> = Tables[T] extends { references: infer R }
  ? keyof R & string
  : never;
type Referenced<T extends TableName, F> = Tables[T] extends { references: infer R }
  ? F extends keyof R ? R[F] extends TableName ? R[F] : never : never
  : never;

/** Reads one record; `follow` names a reference column whose record comes back with it. */
export interface Read<T extends TableName = TableName, F extends string | undefined = string | undefined> {
  readonly table: T;
  readonly key: Key;
  readonly follow?: F;
}

/** Reads the records whose key starts with `prefix`, in key order. */
export interface Scan<T extends TableName = TableName, F extends string | undefined = string | undefined> {
  readonly table: T;
  readonly prefix: Key;
  /** Only keys after this one: the key columns that follow the prefix, at least one of them. Where they are not all of them,
   *  the other columns are not looked at: everything under that longer prefix is skipped. */
  readonly after?: Key;
  /** At most this many records; at least 1. */
  readonly limit: number;
  readonly follow?: F;
}

/** A record as it was read. `version` is never 0 and differs after every write of the record, also after deletion. */
export interface Found<T extends TableName = TableName, F = undefined> {
  readonly row: Row<T>;
  readonly version: number;
  /** With `follow`: the record the reference column names; null if there is none. */
  readonly ref: F extends string ? FoundRef<Referenced<T, F>> | null : null;
}
export interface FoundRef<T extends TableName> {
  readonly row: Row<T>;
  readonly version: number;
}

/** A condition on the state just before the commit. */
export type Check<T extends TableName = TableName> =
  /** The record is still at `version`; 0 says that there is none. */
  | { readonly check: "version"; readonly table: T; readonly key: Key; readonly version: number }
  /** The record exists and the named columns have these values. Shared: such checks do not conflict with each other,
   *  nor with an `update` that adds to or raises other columns. */
  | { readonly check: "columns"; readonly table: T; readonly key: Key; readonly columns: Partial<Columns<T>> }
  /** No record has this key prefix. */
  | { readonly check: "empty"; readonly table: T; readonly prefix: Key };

/** Columns compared as one tuple (most significant first), and the values to raise them to. */
export interface Raise {
  readonly columns: readonly string[];
  readonly to: readonly number[];
}

/** A change. Writes of one commit are applied in their order. */
export type Write<T extends TableName = TableName> =
  /** Creates or replaces the whole record. */
  | { readonly write: "put"; readonly table: T; readonly key: Key; readonly columns: Columns<T> }
  /** Removes the record; removing what is not there is allowed. */
  | { readonly write: "delete"; readonly table: T; readonly key: Key }
  /** Changes columns of a record that exists; if it does not, the commit fails and names this write in `missing`.
   *  `set` overwrites, `add` adds to integers, `raise` sets a tuple of integer columns to the larger of the two. A column
   *  stands in one of them at most. A sum that is no safe integer is a StoreError of kind `caller`. */
  | {
    readonly write: "update";
    readonly table: T;
    readonly key: Key;
    readonly set?: Partial<Columns<T>>;
    readonly add?: Partial<Record<keyof Columns<T> & string, number>>;
    readonly raise?: readonly Raise[];
  }
  /** Creates a record whose last key column is given by the store: it adds 1 to the integer column `counter.column` and
   *  uses the new value. `key` lacks the last column. So records of one counter are ordered as they were committed. If the
   *  counter's record does not exist, the commit fails and names this write in `missing`; that the new key is taken is a
   *  StoreError of kind `caller`. */
  | {
    readonly write: "append";
    readonly table: T;
    readonly key: Key;
    readonly columns: Columns<T>;
    readonly counter: { readonly table: TableName; readonly key: Key; readonly column: string };
  };

export interface Batch {
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
}

/** - ordered: survives the death of the process; on power loss it goes only with everything after it.
 *  - synced: survives power loss, and so does everything before it. */
export type Durability = "ordered" | "synced";

export type CommitResult =
  /** `assigned` has the key value given to each `append`, in their order. */
  | { readonly ok: true; readonly assigned: readonly number[] }
  /** Nothing was applied. Indices into `checks` that do not hold, and into `writes` whose record is missing: at least
   *  one index in all; a store may stop at the first. */
  | { readonly ok: false; readonly failed: readonly number[]; readonly missing: readonly number[] };

export interface Change {
  readonly table: TableName;
  readonly key: Key;
}

export interface MetaCapabilities {
  /** Other processes can open the same store at the same time. */
  readonly shared: boolean;
  /** `watch` reports commits of other clients. */
  readonly watch: boolean;
  /** Data outlives the process. */
  readonly persistent: boolean;
}

export interface MetaStore {
  readonly capabilities: MetaCapabilities;
  /** The records at these keys, in the order asked; null where there is none. */
  get<const R extends readonly Read[]>(reads: R): Promise<{ -readonly [I in keyof R]: ReadResult<R[I]> }>;
  scan<T extends TableName, F extends string | undefined = undefined>(
    scan: Scan<T, F>,
  ): Promise<Found<T, F>[]>;
  commit(batch: Batch, options: { readonly durability: Durability }): Promise<CommitResult>;
  /** Calls back with keys that other clients changed. Returns a function that stops it. */
  watch?(onChange: (changes: readonly Change[]) => void): () => void;
  /** Waits for what is under way, then frees everything. Idempotent. */
  close(): Promise<void>;
}

export type ReadResult<R> = R extends Read<infer T, infer F> ? Found<T, F> | null : never;

/** Reads one record, with its type. */
export function read<T extends TableName>(table: T, key: Key): Read<T, undefined>;
export function read<T extends TableName, F extends ReferenceColumn<T>>(
  table: T,
  key: Key,
  follow: F,
): Read<T, F>;
export function read(table: TableName, key: Key, follow?: string): Read {
  return { table, key, follow };
}
export function checkVersion(table: TableName, key: Key, version: number): Check {
  return { check: "version", table, key, version };
}
export function checkAbsent(table: TableName, key: Key): Check {
  return { check: "version", table, key, version: 0 };
}
export function checkColumns<T extends TableName>(table: T, key: Key, columns: Partial<Columns<T>>): Check {
  return { check: "columns", table, key, columns } as Check;
}
export function checkEmpty(table: TableName, prefix: Key): Check {
  return { check: "empty", table, prefix };
}
export function put<T extends TableName>(table: T, key: Key, columns: Columns<T>): Write {
  return { write: "put", table, key, columns } as Write;
}
export function remove(table: TableName, key: Key): Write {
  return { write: "delete", table, key };
}
export function update<T extends TableName>(
  table: T,
  key: Key,
  changes: {
    set?: Partial<Columns<T>>;
    add?: Partial<Record<keyof Columns<T> & string, number>>;
    raise?: readonly Raise[];
  },
): Write {
  return { write: "update", table, key, ...changes } as Write;
}
export function append<T extends TableName>(
  table: T,
  key: Key,
  columns: Columns<T>,
  counter: { table: TableName; key: Key; column: string },
): Write {
  return { write: "append", table, key, columns, counter } as Write;
}

/**
 * MetaStore in memory: for tests, simulations and scratch volumes. `memory:` opens a store of its own, `memory:NAME` one
 * that all who open that name in this process share, until the process ends.
 *
 * Invariants:
 * - Every read and every commit runs to its end without an await, so nothing interleaves and each is one point in time.
 * - A stored record is never changed, only replaced: a commit that fails half-way puts the old records back.
 * - Rows are copied on their way in and out.
 */
import { StoreError } from "../../core/errors.ts";
import type { MetaPlugin } from "../../core/meta/plugin.ts";
import type { TableName } from "../../core/meta/schema.ts";
import type {
  Batch,
  Change,
  Check,
  CommitResult,
  Key,
  MetaCapabilities,
  MetaStore,
  Read,
  Scan,
  Value,
  Write,
} from "../../core/meta/store.ts";
import { changedRow, copyRow, makeRow } from "./memory_rows.ts";
import { AFTER_ALL, encodeKey } from "./ordered_key.ts";
import { OrderedMap } from "./ordered_map.ts";
import {
  appendConflictError,
  checkAfter,
  checkAllColumns,
  checkAppend,
  checkKey,
  checkLimit,
  checkPrefix,
  checkSomeColumns,
  checkUpdateNames,
  checkUpdateValues,
  copyValue,
  overflowError,
  type PlainFound,
  type PlainRow,
  referencedShape,
  sameValue,
  shapeOf,
  type TableShape,
} from "./table_shape.ts";

interface Record0 {
  readonly row: PlainRow;
  readonly version: number;
}

type Watcher = (changes: readonly Change[]) => void;

/** The data of one store, apart from the handles on it. */
export interface MemoryMetaData {
  readonly tables: Map<TableName, OrderedMap<Record0>>;
  /** Commits so far; the version of what the last one wrote. */
  commits: number;
  readonly watchers: Map<object, Set<Watcher>>;
}

export function createMemoryMetaData(): MemoryMetaData {
  return { tables: new Map(), commits: 0, watchers: new Map() };
}

const CAPABILITIES: MetaCapabilities = { shared: false, watch: true, persistent: false };

/** A store without a URL; several on the same `data` are several clients of one store. */
export function createMemoryMetaStore(data: MemoryMetaData = createMemoryMetaData()): MetaStore {
  return new MemoryMetaStore(data) as unknown as MetaStore;
}

class MemoryMetaStore {
  readonly capabilities = CAPABILITIES;
  readonly #data: MemoryMetaData;
  #closed = false;

  constructor(data: MemoryMetaData) {
    this.#data = data;
  }

  async get(reads: readonly Read[]): Promise<(PlainFound | null)[]> {
    this.#checkOpen();
    const found = new Array<PlainFound | null>(reads.length);
    for (let i = 0; i < reads.length; i++) {
      const read = reads[i] as Read;
      const shape = shapeOf(read.table);
      checkKey(shape, read.key, shape.key.length);
      if (read.follow !== undefined) referencedShape(shape, read.follow);
      const record = this.#record(shape, read.key);
      found[i] = record === undefined ? null : this.#found(shape, record, read.follow);
    }
    return found;
  }

  async scan(scan: Scan): Promise<PlainFound[]> {
    this.#checkOpen();
    const shape = shapeOf(scan.table);
    checkPrefix(shape, scan.prefix);
    checkLimit(scan.limit);
    if (scan.follow !== undefined) referencedShape(shape, scan.follow);
    const prefix = encodeKey(shape, scan.prefix);
    let from = prefix;
    let exclude: string | undefined;
    if (scan.after !== undefined) {
      checkAfter(shape, scan.prefix, scan.after);
      from += encodeKey(shape, scan.after, scan.prefix.length);
      if (scan.prefix.length + scan.after.length === shape.key.length) exclude = from;
      else from += AFTER_ALL;
    }
    const found: PlainFound[] = [];
    const wholeKey = scan.prefix.length === shape.key.length;
    this.#table(shape.table).scan(from, (key, record) => {
      if (wholeKey ? key !== prefix : !key.startsWith(prefix)) return false;
      if (key === exclude) return true;
      found.push(this.#found(shape, record, scan.follow));
      return found.length < scan.limit;
    });
    return found;
  }

  async commit(batch: Batch): Promise<CommitResult> {
    this.#checkOpen();
    const failed: number[] = [];
    for (let i = 0; i < batch.checks.length; i++) {
      if (!this.#holds(batch.checks[i] as Check)) failed.push(i);
    }
    if (failed.length > 0) return { ok: false, failed, missing: [] };
    const transaction = new Transaction(this.#data);
    try {
      for (let i = 0; i < batch.writes.length; i++) {
        if (!transaction.apply(batch.writes[i] as Write)) {
          transaction.undo();
          return { ok: false, failed: [], missing: [i] };
        }
      }
    } catch (error) {
      transaction.undo();
      throw error;
    }
    if (batch.writes.length > 0) this.#notify(batch, transaction.assigned);
    return { ok: true, assigned: transaction.assigned };
  }

  watch(onChange: Watcher): () => void {
    this.#checkOpen();
    let own = this.#data.watchers.get(this);
    if (own === undefined) this.#data.watchers.set(this, own = new Set());
    // A function of our own, so that watching twice with the same callback is two watches.
    const watcher: Watcher = (changes) => onChange(changes);
    own.add(watcher);
    return () => {
      own.delete(watcher);
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#data.watchers.delete(this);
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreError("caller", "the metadata store is closed");
  }

  #table(table: TableName): OrderedMap<Record0> {
    return tableOf(this.#data, table);
  }

  #record(shape: TableShape, key: Key): Record0 | undefined {
    return this.#table(shape.table).get(encodeKey(shape, key));
  }

  #found(shape: TableShape, record: Record0, follow: string | undefined): PlainFound {
    let ref: PlainFound["ref"] = null;
    if (follow !== undefined) {
      const target = referencedShape(shape, follow);
      const referenced = this.#record(target, [record.row[follow] as Value]);
      if (referenced !== undefined) {
        ref = { row: copyRow(target, referenced.row), version: referenced.version };
      }
    }
    return { row: copyRow(shape, record.row), version: record.version, ref };
  }

  #holds(check: Check): boolean {
    const shape = shapeOf(check.table);
    switch (check.check) {
      case "version": {
        checkKey(shape, check.key, shape.key.length);
        return (this.#record(shape, check.key)?.version ?? 0) === check.version;
      }
      case "columns": {
        checkKey(shape, check.key, shape.key.length);
        const columns = check.columns as PlainRow;
        checkSomeColumns(shape, columns);
        const row = this.#record(shape, check.key)?.row;
        if (row === undefined) return false;
        for (const name in columns) {
          if (!sameValue(row[name] as Value, columns[name] as Value)) return false;
        }
        return true;
      }
      case "empty": {
        checkPrefix(shape, check.prefix);
        const prefix = encodeKey(shape, check.prefix);
        const wholeKey = check.prefix.length === shape.key.length;
        let empty = true;
        this.#table(shape.table).scan(prefix, (key) => {
          empty = wholeKey ? key !== prefix : !key.startsWith(prefix);
          return false;
        });
        return empty;
      }
    }
  }

  /** Tells the other clients, after this turn, as a message from a server would. */
  #notify(batch: Batch, assigned: readonly number[]): void {
    if (this.#data.watchers.size === 0) return;
    for (const [store, watchers] of this.#data.watchers) {
      if (store === this || watchers.size === 0) continue;
      let appends = 0;
      const changes: Change[] = [];
      for (const write of batch.writes) {
        if (write.write === "append") {
          changes.push({ table: write.table, key: [...copyKey(write.key), assigned[appends++] as number] });
          changes.push({ table: write.counter.table, key: copyKey(write.counter.key) });
        } else changes.push({ table: write.table, key: copyKey(write.key) });
      }
      queueMicrotask(() => {
        for (const watcher of watchers) watcher(changes);
      });
    }
  }
}

interface Replaced {
  readonly table: OrderedMap<Record0>;
  readonly key: string;
  readonly old: Record0 | undefined;
}

/** The writes of one commit. The version is taken when the first write needs it and never given out again. */
class Transaction {
  readonly assigned: number[] = [];
  readonly #data: MemoryMetaData;
  readonly #version: number;
  readonly #replaced: Replaced[] = [];

  constructor(data: MemoryMetaData) {
    this.#data = data;
    this.#version = ++data.commits;
  }

  /** False: the record that the write changes is not there. */
  apply(write: Write): boolean {
    const shape = shapeOf(write.table);
    if (write.write === "append") return this.#append(shape, write);
    checkKey(shape, write.key, shape.key.length);
    const key = encodeKey(shape, write.key);
    switch (write.write) {
      case "put":
        checkAllColumns(shape, write.columns as PlainRow);
        this.#replace(shape.table, key, makeRow(shape, write.key, write.columns as PlainRow));
        return true;
      case "delete":
        this.#replace(shape.table, key, undefined);
        return true;
      case "update": {
        checkUpdateNames(shape, write);
        checkUpdateValues(shape, write);
        const old = tableOf(this.#data, shape.table).get(key);
        if (old === undefined) return false;
        this.#replace(shape.table, key, changedRow(shape, old.row, write));
        return true;
      }
    }
  }

  undo(): void {
    for (let i = this.#replaced.length - 1; i >= 0; i--) {
      const { table, key, old } = this.#replaced[i] as Replaced;
      if (old === undefined) table.delete(key);
      else table.set(key, old);
    }
  }

  #append(shape: TableShape, write: Extract<Write, { write: "append" }>): boolean {
    const counter = checkAppend(shape, write);
    const counterKey = encodeKey(counter, write.counter.key);
    const old = tableOf(this.#data, counter.table).get(counterKey);
    if (old === undefined) return false;
    const next = (old.row[write.counter.column] as number) + 1;
    if (!Number.isSafeInteger(next)) throw overflowError(counter);
    this.#replace(counter.table, counterKey, { ...old.row, [write.counter.column]: next });
    const key = [...write.key, next];
    const encoded = encodeKey(shape, key);
    if (tableOf(this.#data, shape.table).get(encoded) !== undefined) throw appendConflictError(shape);
    this.#replace(shape.table, encoded, makeRow(shape, key, write.columns as PlainRow));
    this.assigned.push(next);
    return true;
  }

  #replace(tableName: TableName, key: string, row: PlainRow | undefined): void {
    const table = tableOf(this.#data, tableName);
    const old = table.get(key);
    if (row === undefined) {
      if (old === undefined) return;
      table.delete(key);
    } else table.set(key, { row, version: this.#version });
    this.#replaced.push({ table, key, old });
  }
}

function tableOf(data: MemoryMetaData, table: TableName): OrderedMap<Record0> {
  let map = data.tables.get(table);
  if (map === undefined) data.tables.set(table, map = new OrderedMap());
  return map;
}

function copyKey(key: Key): Value[] {
  return key.map(copyValue);
}

const namedData = new Map<string, MemoryMetaData>();

export const plugin: MetaPlugin = {
  apiVersion: 1,
  kind: "meta",
  schemes: ["memory"],
  async open(url, options) {
    const name = url.slice("memory:".length);
    const existing = name === "" ? undefined : namedData.get(name);
    if (existing !== undefined) return createMemoryMetaStore(existing);
    if (options.mode === "open") {
      throw new StoreError(
        "caller",
        `${url} holds no volume: a store in memory starts empty in each process`,
        {
          errno: "ENOENT",
        },
      );
    }
    const data = createMemoryMetaData();
    if (name !== "") namedData.set(name, data);
    return createMemoryMetaStore(data);
  },
  redact: (url) => url,
};

/**
 * One connection to the database file: the statements, prepared once and kept by shape, and the reads.
 *
 * Everything here is synchronous. Between calls no statement is under way and no transaction is open, so that each read
 * sees the newest state.
 *
 * The driver has two traps (libsql 0.5), which is why nothing else touches its statements:
 * - A statement's `get` binds its parameters before it resets the statement. After a `get` it has been reset; after
 *   `run`, after `all` and after a failed `get` it has not, and then the next `get` runs with the old parameters. So a
 *   statement is used with `get` only or with `all` only, and is thrown away when it fails.
 * - A prepared statement that failed because of a lock stays half-run, and pins the connection to the state that it saw, for
 *   all later reads. Then `renew` replaces the connection. `exec` does not have the trap.
 */
import type { Read, Scan, Value } from "../../core/meta/store.ts";
import { type Database, reopenDatabaseFile, sqliteDialect, type Statement } from "./libsql_file.ts";
import { selectOne, selectPage } from "./sql_schema.ts";
import {
  checkAfter,
  checkKey,
  checkLimit,
  checkPrefix,
  type ColumnShape,
  copyValue,
  type PlainFound,
  type PlainRow,
  referencedShape,
  shapeOf,
  type TableShape,
} from "./table_shape.ts";

/** The engine has a few dozen shapes; more than this is a mistake that must not eat memory. */
const STATEMENTS_MAX = 500;

export class Connection {
  db: Database;
  readonly path: string;
  /** The last failure that left nothing behind on the connection. */
  cleanFailure: unknown;
  /** The connection must be replaced before it is used again. */
  stuck = false;
  #statements = new Map<string, Statement>();

  constructor(db: Database, path: string) {
    this.db = db;
    this.path = path;
  }

  /** The first row that a statement returns. `text` builds the statement when its `shape` is first met. */
  one(shape: string, parameters: readonly unknown[], text: () => string): unknown[] | undefined {
    return this.#run(shape, true, parameters, text);
  }

  /** Runs a statement that returns no rows. */
  apply(shape: string, parameters: readonly unknown[], text: () => string): void {
    this.#run(shape, false, parameters, text);
  }

  #run(
    shape: string,
    hasRows: boolean,
    parameters: readonly unknown[],
    text: () => string,
  ): unknown[] | undefined {
    const statement = this.#statements.get(shape) ?? this.#prepare(shape, hasRows, text);
    try {
      return statement.get(parameters);
    } catch (error) {
      this.#statements.delete(shape);
      throw error;
    }
  }

  /** All rows of a statement that is not used with `one`. */
  many(shape: string, parameters: readonly unknown[], text: () => string): unknown[][] {
    const statement = this.#statements.get(shape) ?? this.#prepare(shape, true, text);
    try {
      return statement.all(parameters);
    } catch (error) {
      this.#statements.delete(shape);
      throw error;
    }
  }

  /** Rows changed by the last statement that changes rows. */
  lastChanges(): number {
    return this.one("changes", [], () => "SELECT changes()")?.[0] as number;
  }

  #prepare(shape: string, hasRows: boolean, text: () => string): Statement {
    if (this.#statements.size >= STATEMENTS_MAX) this.#statements.clear();
    const prepared = this.db.prepare(text());
    if (hasRows) prepared.raw();
    this.#statements.set(shape, prepared);
    return prepared;
  }

  /** Gives up this connection, and with it every transaction and statement, for a new one. */
  renew(): void {
    const fresh = reopenDatabaseFile(this.path);
    this.close();
    this.db = fresh;
    this.stuck = false;
  }

  /** Runs a statement that is thrown away after it, whatever its outcome. */
  exec(sql: string): void {
    try {
      this.db.exec(sql);
    } catch (error) {
      this.cleanFailure = error;
      throw error;
    }
  }

  /** Ends a transaction that failed, if the failure has not ended it already. */
  rollback(): void {
    if (!this.db.inTransaction) return;
    try {
      this.db.exec("ROLLBACK");
    } catch {
      // The failure that led here is what the caller hears of.
      this.stuck = true;
    }
  }

  /** The driver frees the file when the statements are garbage-collected. */
  close(): void {
    this.#statements = new Map();
    this.db.close();
  }

  get(reads: readonly Read[]): (PlainFound | null)[] {
    const found = new Array<PlainFound | null>(reads.length);
    if (reads.length === 1) {
      found[0] = this.#getOne(reads[0] as Read);
      return found;
    }
    // One transaction, so that no other process' commit comes between two of the reads.
    this.exec("BEGIN");
    try {
      for (let i = 0; i < reads.length; i++) found[i] = this.#getOne(reads[i] as Read);
    } catch (error) {
      this.rollback();
      throw error;
    }
    this.exec("COMMIT");
    return found;
  }

  #getOne({ table, key, follow }: Read): PlainFound | null {
    const shape = shapeOf(table);
    checkKey(shape, key, shape.key.length);
    const values = this.one(
      `get ${table} ${follow ?? ""}`,
      key,
      () => selectOne(sqliteDialect, shape, follow),
    );
    return values === undefined ? null : decode(shape, follow, key, values);
  }

  scan({ table, prefix, after, limit, follow }: Scan): PlainFound[] {
    const shape = shapeOf(table);
    checkPrefix(shape, prefix);
    checkLimit(limit);
    if (after !== undefined) checkAfter(shape, prefix, after);
    const afterCount = after?.length ?? 0;
    const rows = this.many(
      `scan ${table} ${follow ?? ""} ${prefix.length} ${afterCount}`,
      after === undefined ? [...prefix, limit] : [...prefix, ...after, limit],
      () => selectPage(sqliteDialect, shape, follow, prefix.length, afterCount),
    );
    return rows.map((values) => decode(shape, follow, prefix, values));
  }
}

/** A result row as sql_schema.ts selects it; the key columns that were asked for come from the question. */
function decode(
  shape: TableShape,
  follow: string | undefined,
  asked: readonly Value[],
  values: readonly unknown[],
): PlainFound {
  const row: PlainRow = {};
  let at = 0;
  for (let i = 0; i < shape.key.length; i++) {
    const { name } = shape.key[i] as ColumnShape;
    row[name] = i < asked.length ? copyValue(asked[i] as Value) : decodeValue(values[at++]);
  }
  at = decodeColumns(shape, values, at, row);
  const version = values[at++] as number;
  if (follow === undefined || values[values.length - 1] === null) return { row, version, ref: null };
  const target = referencedShape(shape, follow);
  const refRow: PlainRow = { [(target.key[0] as ColumnShape).name]: row[follow] as Value };
  at = decodeColumns(target, values, at, refRow);
  return { row, version, ref: { row: refRow, version: values[at] as number } };
}

function decodeColumns(shape: TableShape, values: readonly unknown[], at: number, row: PlainRow): number {
  for (let i = 0; i < shape.columns.length; i++) {
    row[(shape.columns[i] as ColumnShape).name] = decodeValue(values[at++]);
  }
  return at;
}

function decodeValue(value: unknown): Value {
  if (!(value instanceof Uint8Array)) return value as Value;
  // A Buffer: a plain array over the same memory, which nobody else has, or else a copy.
  return value.byteLength === value.buffer.byteLength ? new Uint8Array(value.buffer) : new Uint8Array(value);
}

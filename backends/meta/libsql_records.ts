/**
 * The statements of checks and writes on one connection. Nothing here begins or ends a transaction, or counts what was
 * changed: that is libsql_commit.ts. Values are checked against the schema before they reach a statement.
 */
import type { Check, Key, Value, Write } from "../../core/meta/store.ts";
import type { Connection } from "./libsql_connection.ts";
import { isConstraint } from "./libsql_errors.ts";
import { sqliteDialect } from "./libsql_file.ts";
import * as sql from "./sql_schema.ts";
import {
  appendConflictError,
  checkAllColumns,
  checkAppend,
  checkKey,
  checkPrefix,
  checkSomeColumns,
  checkUpdateNames,
  checkUpdateValues,
  type PlainRow,
  shapeOf,
  type TableShape,
} from "./table_shape.ts";

type Update = Extract<Write, { write: "update" }>;
type Append = Extract<Write, { write: "append" }>;
/** A check on one record. */
export type RecordCheck = Exclude<Check, { check: "empty" }>;

const VERSION_COLUMN: readonly string[] = ["version"];
const NO_COLUMNS: readonly string[] = [];

export class RecordStatements {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  exists(shape: TableShape, key: Key): boolean {
    return this.#matches(shape, key, NO_COLUMNS, []);
  }

  /** Runs the statement of a write, which changes one row if it exists as it should and the guard holds. */
  write(write: Exclude<Write, Append>, guard: RecordCheck | undefined, version: number): void {
    const shape = shapeOf(write.table);
    checkKey(shape, write.key, shape.key.length);
    switch (write.write) {
      case "put":
        if (guard === undefined || (guard.check === "version" && guard.version === 0)) {
          this.#insert(
            shape,
            write.key,
            write.columns as PlainRow,
            version,
            guard === undefined ? "replace" : "keep",
          );
        } else {
          checkAllColumns(shape, write.columns as PlainRow);
          const replace = {
            write: "update",
            table: write.table,
            key: write.key,
            set: write.columns,
          } as Update;
          this.#update(shape, replace, version, guard);
        }
        return;
      case "update":
        checkUpdateValues(shape, write);
        this.#update(shape, write, version, guard);
        return;
      case "delete":
        this.#delete(shape, write.key, guard);
    }
  }

  holds(check: Check): boolean {
    const shape = shapeOf(check.table);
    if (check.check === "empty") {
      checkPrefix(shape, check.prefix);
      const count = check.prefix.length;
      const any = () => sql.selectAny(sqliteDialect, shape, count);
      return this.#connection.one(`any ${check.table} ${count}`, check.prefix, any) === undefined;
    }
    checkKey(shape, check.key, shape.key.length);
    if (check.check === "version") {
      const select = () => sql.selectVersion(sqliteDialect, shape);
      return (this.#connection.one(`version ${check.table}`, check.key, select)?.[0] ?? 0) === check.version;
    }
    return this.#matches(shape, check.key, guardColumns(shape, check), guardValues(check));
  }

  #matches(shape: TableShape, key: Key, columns: readonly string[], values: readonly Value[]): boolean {
    const select = () => sql.selectMatch(sqliteDialect, shape, columns);
    const row = this.#connection.one(`match ${shape.table} ${columns.join()}`, [...key, ...values], select);
    return row !== undefined;
  }

  #insert(
    shape: TableShape,
    key: Key,
    columns: PlainRow,
    version: number,
    existing: "keep" | "fail" | "replace",
  ): void {
    checkAllColumns(shape, columns);
    const parameters: unknown[] = [...key];
    for (const { name } of shape.columns) parameters.push(columns[name]);
    parameters.push(version);
    const text = () => sql.insert(sqliteDialect, shape, existing);
    this.#connection.apply(`insert ${shape.table} ${existing}`, parameters, text);
  }

  /** Deletes a record that need not be there; the number of records that were. */
  remove(write: Extract<Write, { write: "delete" }>): number {
    const shape = shapeOf(write.table);
    checkKey(shape, write.key, shape.key.length);
    this.#delete(shape, write.key, undefined);
    return this.#connection.lastChanges();
  }

  #delete(shape: TableShape, key: Key, guard: RecordCheck | undefined): void {
    const columns = guard === undefined ? NO_COLUMNS : guardColumns(shape, guard);
    const text = () => sql.deleteOne(sqliteDialect, shape, columns);
    const parameters = guard === undefined ? key : [...key, ...guardValues(guard)];
    this.#connection.apply(`delete ${shape.table} ${columns.join()}`, parameters, text);
  }

  #update(shape: TableShape, write: Update, version: number, guard: RecordCheck | undefined): void {
    const columns = guard === undefined ? NO_COLUMNS : guardColumns(shape, guard);
    let key = `update ${write.table}`;
    for (const name in write.set) key += ` ${name}`;
    key += " +";
    for (const name in write.add) key += ` ${name}`;
    if (write.raise !== undefined) {
      for (const raise of write.raise) {
        key += ` ^ ${raise.columns.join(" ")}`;
      }
    }
    key += " ?";
    for (const name of columns) key += ` ${name}`;
    this.#connection.apply(key, updateParameters(write, version, guard), () => {
      checkUpdateNames(shape, write);
      return sql.updateOne(sqliteDialect, shape, {
        set: Object.keys(write.set ?? {}),
        add: Object.keys(write.add ?? {}),
        raise: write.raise ?? [],
        guard: columns,
      });
    });
  }

  /** Changes two rows and returns the new key value. Undefined: the counter's record is missing, or at its end. */
  append(write: Append, version: number): number | undefined {
    const shape = shapeOf(write.table);
    const counter = checkAppend(shape, write);
    const { column } = write.counter;
    const bump = () => sql.bumpCounter(sqliteDialect, counter, column);
    const row = this.#connection.one(
      `bump ${counter.table} ${column}`,
      [...write.counter.key, version],
      bump,
    );
    const value = row?.[0] as number | undefined;
    if (value === undefined) return undefined;
    try {
      this.#insert(shape, [...write.key, value], write.columns as PlainRow, version, "fail");
    } catch (error) {
      throw isConstraint(error) ? appendConflictError(shape) : error;
    }
    return value;
  }
}

function guardColumns(shape: TableShape, check: RecordCheck): readonly string[] {
  if (check.check === "version") return VERSION_COLUMN;
  checkSomeColumns(shape, check.columns as PlainRow);
  return Object.keys(check.columns);
}

function guardValues(check: RecordCheck): readonly Value[] {
  return check.check === "version" ? [check.version] : Object.values(check.columns as PlainRow);
}

/** In the order of `updateOne`. */
function updateParameters(write: Update, version: number, guard: RecordCheck | undefined): unknown[] {
  const parameters: unknown[] = [...write.key, version];
  const set = write.set as PlainRow | undefined;
  for (const name in set) parameters.push(set[name]);
  const add = write.add as PlainRow | undefined;
  for (const name in add) parameters.push(add[name]);
  if (write.raise !== undefined) { for (const { to } of write.raise) parameters.push(...to); }
  if (guard !== undefined) parameters.push(...guardValues(guard));
  return parameters;
}

/**
 * What stores need to know of a table at run time, worked out once from the declaration, and the checks that keep
 * a wrong value from reaching a database: TypeScript has seen the engine's calls, but a plain-data contract is also
 * spoken across threads and by programs that are not type-checked. A NaN would become NULL, a missing key column a row
 * with a number of the database's choosing.
 */
import { StoreError } from "../../core/errors.ts";
import {
  type ColumnType,
  declarationOf,
  type TableDeclaration,
  type TableName,
  tableNames,
} from "../../core/meta/schema.ts";
import type { Key, Value, Write } from "../../core/meta/store.ts";

/** A record as plain data: key columns and the others by name. */
export type PlainRow = Record<string, Value>;

/** A record as it was read, without its literal types (`Found` of core/meta/store.ts). */
export interface PlainFound {
  row: PlainRow;
  version: number;
  ref: { row: PlainRow; version: number } | null;
}

export interface ColumnShape {
  readonly name: string;
  readonly type: ColumnType;
}

export interface TableShape {
  readonly table: TableName;
  readonly key: readonly ColumnShape[];
  readonly columns: readonly ColumnShape[];
  readonly columnByName: ReadonlyMap<string, ColumnShape>;
  readonly references: ReadonlyMap<string, TableName>;
  /** Some column is `bytes`: rows must be copied deeper than their own object. */
  readonly hasBytes: boolean;
}

type UpdateWrite = Extract<Write, { write: "update" }>;

const shapes = new Map<TableName, TableShape>();
for (const table of tableNames) shapes.set(table, makeShape(table, declarationOf(table)));

function makeShape(table: TableName, declaration: TableDeclaration): TableShape {
  const list = (columns: Readonly<Record<string, ColumnType>>): ColumnShape[] =>
    Object.entries(columns).map(([name, type]) => ({ name, type }));
  const key = list(declaration.key);
  const columns = list(declaration.columns);
  return {
    table,
    key,
    columns,
    columnByName: new Map(columns.map((column) => [column.name, column])),
    references: new Map(Object.entries(declaration.references ?? {})),
    hasBytes: [...key, ...columns].some((column) => column.type === "bytes"),
  };
}

export function callerError(message: string): StoreError {
  return new StoreError("caller", message, { errno: "EINVAL" });
}

export function shapeOf(table: TableName): TableShape {
  const shape = shapes.get(table);
  if (shape === undefined) throw callerError(`no such table: ${table}`);
  return shape;
}

export function columnOf(shape: TableShape, name: string): ColumnShape {
  const column = shape.columnByName.get(name);
  if (column === undefined) throw callerError(`table ${shape.table} has no column ${name}`);
  return column;
}

/** The table whose record `column` of this table names. */
export function referencedShape(shape: TableShape, column: string): TableShape {
  const table = shape.references.get(column);
  if (table === undefined) throw callerError(`${shape.table}.${column} is not a reference`);
  return shapeOf(table);
}

export function checkValue(shape: TableShape, column: ColumnShape, value: unknown): void {
  switch (column.type) {
    case "int":
      if (Number.isSafeInteger(value)) return;
      break;
    case "bytes":
      if (value instanceof Uint8Array) return;
      break;
    case "text":
      // SQL databases end a text at NUL, and lone surrogates have no UTF-8 form.
      if (typeof value === "string" && !value.includes("\0") && value.isWellFormed()) return;
      break;
  }
  throw callerError(`${shape.table}.${column.name}: not a value of type ${column.type}`);
}

/** Checks the first `count` key columns; `key` must have exactly so many values. */
export function checkKey(shape: TableShape, key: Key, count: number): void {
  if (key.length !== count) {
    throw callerError(`table ${shape.table}: ${key.length} key values where ${count} were expected`);
  }
  for (let i = 0; i < count; i++) {
    const column = shape.key[i];
    if (column === undefined) {
      throw callerError(`table ${shape.table} has only ${shape.key.length} key columns`);
    }
    checkValue(shape, column, key[i]);
  }
}

/** Checks a prefix of the key, of any length. */
export function checkPrefix(shape: TableShape, prefix: Key): void {
  checkKey(shape, prefix, Math.min(prefix.length, shape.key.length));
}

/** Checks `prefix` and the key columns that follow it in `after`. */
export function checkAfter(shape: TableShape, prefix: Key, after: Key): void {
  if (after.length === 0 || prefix.length + after.length > shape.key.length) {
    throw callerError(`table ${shape.table}: 'after' needs 1 to ${shape.key.length - prefix.length} values`);
  }
  for (let i = 0; i < after.length; i++) {
    const column = shape.key[prefix.length + i];
    if (column !== undefined) checkValue(shape, column, after[i]);
  }
}

export function checkLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw callerError(`limit ${limit} is not a positive integer`);
  }
}

/** All non-key columns are there and of their types. */
export function checkAllColumns(shape: TableShape, columns: Readonly<Record<string, unknown>>): void {
  for (const column of shape.columns) checkValue(shape, column, columns[column.name]);
}

/** Each named column exists and has a value of its type. */
export function checkSomeColumns(shape: TableShape, columns: Readonly<Record<string, unknown>>): void {
  for (const name in columns) checkValue(shape, columnOf(shape, name), columns[name]);
}

/** Columns of an update exist, `add` and `raise` are for integers, and no column is changed twice. */
export function checkUpdateNames(shape: TableShape, write: UpdateWrite): void {
  const seen = new Set<string>();
  const once = (name: string, integer: boolean) => {
    const column = columnOf(shape, name);
    if (integer && column.type !== "int") throw callerError(`${shape.table}.${name} is not an integer`);
    if (seen.has(name)) throw callerError(`${shape.table}.${name} is changed twice in one update`);
    seen.add(name);
  };
  for (const name in write.set) once(name, false);
  for (const name in write.add) once(name, true);
  for (const raise of write.raise ?? []) {
    if (raise.columns.length === 0 || raise.columns.length !== raise.to.length) {
      throw callerError(`table ${shape.table}: a raise needs as many values as columns`);
    }
    for (const name of raise.columns) once(name, true);
  }
}

/** The values of an update; its names are checked apart, since stores remember which shapes they have seen. */
export function checkUpdateValues(shape: TableShape, write: UpdateWrite): void {
  if (write.set !== undefined) checkSomeColumns(shape, write.set as Record<string, unknown>);
  if (write.add !== undefined) checkSomeColumns(shape, write.add as Record<string, unknown>);
  if (write.raise !== undefined) {
    for (const { columns, to } of write.raise) {
      for (let i = 0; i < columns.length; i++) {
        checkValue(shape, columnOf(shape, columns[i] as string), to[i]);
      }
    }
  }
}

/** The last column of an append's key, which the store gives, and the counter it comes from. */
export function checkAppend(shape: TableShape, write: Extract<Write, { write: "append" }>): TableShape {
  const last = shape.key[shape.key.length - 1];
  if (last === undefined || last.type !== "int") {
    throw callerError(`table ${shape.table} cannot be appended to`);
  }
  checkKey(shape, write.key, shape.key.length - 1);
  checkAllColumns(shape, write.columns as Record<string, unknown>);
  const counter = shapeOf(write.counter.table);
  checkKey(counter, write.counter.key, counter.key.length);
  if (columnOf(counter, write.counter.column).type !== "int") {
    throw callerError(`${counter.table}.${write.counter.column} is not an integer`);
  }
  return counter;
}

/** A value of the caller's own; adding 0 turns -0 into 0, as databases do. */
export function copyValue(value: Value): Value {
  return typeof value === "number" ? value + 0 : typeof value === "string" ? value : value.slice();
}

export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** An addition left the range of safe integers: both stores refuse it in these words. */
export function overflowError(shape: TableShape): StoreError {
  return callerError(`table ${shape.table}: an addition leaves the range of safe integers`);
}

export function appendConflictError(shape: TableShape): StoreError {
  return callerError(`table ${shape.table}: an append met a record that exists`);
}

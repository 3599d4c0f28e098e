/**
 * The declared tables in SQL: names, DDL and statement text that SQLite and Postgres have in common. What differs between
 * them (column types, table options, how a parameter is written) is a {@link SqlDialect}. Parameters are numbered, so one
 * value can stand in several places; each builder's comment gives their order.
 *
 * Every table has its declared columns in snake_case and `version`. The key is the primary key. Columns that hold the key
 * of another record are no foreign keys: the engine's rules allow them to dangle (a slice of zeros, an open deleted file).
 */
import type { ColumnType, TableName } from "../../core/meta/schema.ts";
import { tableNames } from "../../core/meta/schema.ts";
import type { Raise } from "../../core/meta/store.ts";
import { columnOf, type ColumnShape, referencedShape, shapeOf, type TableShape } from "./table_shape.ts";

export interface SqlDialect {
  readonly types: Readonly<Record<ColumnType, string>>;
  parameter(number: number): string;
  /** What stands after the closing parenthesis of CREATE TABLE. */
  tableOptions(shape: TableShape): string;
}

/** `sliceObjects` -> `"slice_objects"`. Quoted: names like `value` or `off` are keywords somewhere. */
export function sqlName(name: string): string {
  return `"${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}"`;
}

const VERSION = `"version"`;

/** One CREATE TABLE per declared table. */
export function createTables(dialect: SqlDialect): string[] {
  return tableNames.map((table: TableName) => {
    const shape = shapeOf(table);
    const define = ({ name, type }: ColumnShape) => `${sqlName(name)} ${dialect.types[type]} NOT NULL`;
    const lines = [...shape.key, ...shape.columns].map(define);
    lines.push(`${VERSION} ${dialect.types.int} NOT NULL`, `PRIMARY KEY (${nameList(shape.key)})`);
    return `CREATE TABLE ${sqlName(table)} (${lines.join(", ")})${dialect.tableOptions(shape)}`;
  });
}

function nameList(columns: readonly { readonly name: string }[], prefix = ""): string {
  return columns.map(({ name }) => prefix + sqlName(name)).join(", ");
}

/** `a = ?n AND b = ?n+1 ...` for the first `count` key columns. */
function keyEquals(
  dialect: SqlDialect,
  shape: TableShape,
  count: number,
  first: number,
  prefix = "",
): string {
  return shape.key.slice(0, count)
    .map(({ name }, i) => `${prefix}${sqlName(name)} = ${dialect.parameter(first + i)}`)
    .join(" AND ");
}

/** FROM and the result columns: `own` key columns from `keyFrom` on, the others, the version; with `follow` the referenced
 *  record's columns without its key, which is the reference itself, and its version, NULL if there is none. */
function selectFrom(shape: TableShape, follow: string | undefined, keyFrom: number): string {
  const own = [...shape.key.slice(keyFrom), ...shape.columns, { name: "version" }];
  if (follow === undefined) return `SELECT ${nameList(own, "t.")} FROM ${sqlName(shape.table)} t`;
  const target = referencedShape(shape, follow);
  const targetKey = target.key[0];
  if (targetKey === undefined || target.key.length !== 1) {
    throw new Error(`${shape.table}.${follow} cannot be followed`);
  }
  return `SELECT ${nameList(own, "t.")}, ${nameList([...target.columns, { name: "version" }], "r.")}` +
    ` FROM ${sqlName(shape.table)} t` +
    ` LEFT JOIN ${sqlName(target.table)} r ON r.${sqlName(targetKey.name)} = t.${sqlName(follow)}`;
}

/** One record by its key. Parameters: the key. */
export function selectOne(dialect: SqlDialect, shape: TableShape, follow: string | undefined): string {
  return `${selectFrom(shape, follow, shape.key.length)} WHERE ${
    keyEquals(dialect, shape, shape.key.length, 1, "t.")
  }`;
}

/** A page of records in key order. Parameters: the prefix, the values of `after`, the limit. */
export function selectPage(
  dialect: SqlDialect,
  shape: TableShape,
  follow: string | undefined,
  prefixCount: number,
  afterCount: number,
): string {
  const conditions: string[] = [];
  if (prefixCount > 0) conditions.push(keyEquals(dialect, shape, prefixCount, 1, "t."));
  if (afterCount > 0) {
    const columns = shape.key.slice(prefixCount, prefixCount + afterCount);
    const values = columns.map((_, i) => dialect.parameter(prefixCount + 1 + i)).join(", ");
    conditions.push(`(${nameList(columns, "t.")}) > (${values})`);
  }
  const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
  // All key columns, also those that the prefix fixes: SQLite then reads in key order without sorting.
  return `${selectFrom(shape, follow, prefixCount)}${where} ORDER BY ${nameList(shape.key, "t.")}` +
    ` LIMIT ${dialect.parameter(prefixCount + afterCount + 1)}`;
}

/** A row if the record exists and the named columns have these values. Parameters: the key, the values. */
export function selectMatch(dialect: SqlDialect, shape: TableShape, columns: readonly string[]): string {
  const first = shape.key.length + 1;
  return `SELECT 1 FROM ${sqlName(shape.table)} WHERE ${keyEquals(dialect, shape, shape.key.length, 1)}${
    matches(dialect, columns, first)
  }`;
}

/** A row if any record has the prefix. Parameters: the prefix. */
export function selectAny(dialect: SqlDialect, shape: TableShape, prefixCount: number): string {
  const where = prefixCount === 0 ? "" : ` WHERE ${keyEquals(dialect, shape, prefixCount, 1)}`;
  return `SELECT 1 FROM ${sqlName(shape.table)}${where} LIMIT 1`;
}

/** The version of a record. Parameters: the key. */
export function selectVersion(dialect: SqlDialect, shape: TableShape): string {
  return `SELECT ${VERSION} FROM ${sqlName(shape.table)} WHERE ${
    keyEquals(dialect, shape, shape.key.length, 1)
  }`;
}

/** Inserts a record; an existing one of that key stays as it is (`keep`), is an error (`fail`), or is replaced.
 *  Parameters: the key, the columns, the version. */
export function insert(
  dialect: SqlDialect,
  shape: TableShape,
  existing: "keep" | "fail" | "replace",
): string {
  const all = [...shape.key, ...shape.columns, { name: "version" }];
  const values = all.map((_, i) => dialect.parameter(i + 1)).join(", ");
  const text = `INSERT INTO ${sqlName(shape.table)} (${nameList(all)}) VALUES (${values})`;
  if (existing === "fail") return text;
  if (existing === "keep") return `${text} ON CONFLICT DO NOTHING`;
  const sets = all.slice(shape.key.length).map(({ name }) => `${sqlName(name)} = excluded.${sqlName(name)}`);
  return `${text} ON CONFLICT (${nameList(shape.key)}) DO UPDATE SET ${sets.join(", ")}`;
}

/** Deletes a record if the named columns (`version` is one) have these values. Parameters: the key, the values. */
export function deleteOne(dialect: SqlDialect, shape: TableShape, guard: readonly string[]): string {
  return `DELETE FROM ${sqlName(shape.table)} WHERE ${keyEquals(dialect, shape, shape.key.length, 1)}${
    matches(dialect, guard, shape.key.length + 1)
  }`;
}

export interface UpdateShape {
  readonly set: readonly string[];
  readonly add: readonly string[];
  readonly raise: readonly Raise[];
  /** Columns that must have given values, or nothing is changed. */
  readonly guard: readonly string[];
}

/** Changes one record, if the guard holds and no addition leaves the safe integers. Parameters: the key, the version, then
 *  the values of `set`, `add`, `raise` (each tuple in turn) and `guard`. */
export function updateOne(dialect: SqlDialect, shape: TableShape, update: UpdateShape): string {
  let next = shape.key.length + 1;
  const parameter = () => dialect.parameter(next++);
  const sets = [`${VERSION} = ${parameter()}`];
  let where = keyEquals(dialect, shape, shape.key.length, 1);
  for (const name of update.set) sets.push(`${sqlName(columnOf(shape, name).name)} = ${parameter()}`);
  for (const name of update.add) {
    const sum = `${sqlName(name)} + ${parameter()}`;
    sets.push(`${sqlName(name)} = ${sum}`);
    where += ` AND abs(${sum}) <= ${Number.MAX_SAFE_INTEGER}`;
  }
  for (const { columns } of update.raise) {
    const names = columns.map(sqlName);
    const values = columns.map(parameter);
    // The right-hand sides of SET are the old values, in every assignment.
    const below = names.length === 1
      ? `${names[0]} < ${values[0]}`
      : `(${names.join(", ")}) < (${values.join(", ")})`;
    names.forEach((name, i) => sets.push(`${name} = CASE WHEN ${below} THEN ${values[i]} ELSE ${name} END`));
  }
  return `UPDATE ${sqlName(shape.table)} SET ${sets.join(", ")} WHERE ${where}${
    matches(dialect, update.guard, next)
  }`;
}

/** Adds 1 to a counter and returns it. Parameters: the key of the counter's record, the version. */
export function bumpCounter(dialect: SqlDialect, shape: TableShape, column: string): string {
  const name = sqlName(column);
  return `UPDATE ${sqlName(shape.table)} SET ${name} = ${name} + 1, ${VERSION} = ${
    dialect.parameter(shape.key.length + 1)
  } WHERE ${
    keyEquals(dialect, shape, shape.key.length, 1)
  } AND ${name} < ${Number.MAX_SAFE_INTEGER} RETURNING ${name}`;
}

/** ` AND a = ?n ...` */
function matches(dialect: SqlDialect, columns: readonly string[], first: number): string {
  return columns.map((name, i) => ` AND ${sqlName(name)} = ${dialect.parameter(first + i)}`).join("");
}

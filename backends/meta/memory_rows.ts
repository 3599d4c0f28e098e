/** Records as the memory store keeps them: made, copied and changed, never shared with a caller. */
import type { Key, Value, Write } from "../../core/meta/store.ts";
import { copyValue, overflowError, type PlainRow, type TableShape } from "./table_shape.ts";

export function makeRow(shape: TableShape, key: Key, columns: PlainRow): PlainRow {
  const row: PlainRow = {};
  for (let i = 0; i < shape.key.length; i++) {
    row[(shape.key[i] as { name: string }).name] = copyValue(key[i] as Value);
  }
  for (const { name } of shape.columns) row[name] = copyValue(columns[name] as Value);
  return row;
}

export function copyRow(shape: TableShape, row: PlainRow): PlainRow {
  const copy = { ...row };
  if (shape.hasBytes) {
    for (const name in copy) {
      const value = copy[name];
      if (value instanceof Uint8Array) copy[name] = value.slice();
    }
  }
  return copy;
}

/** The row after an update; all right-hand sides are the old values. */
export function changedRow(
  shape: TableShape,
  old: PlainRow,
  write: Extract<Write, { write: "update" }>,
): PlainRow {
  const row = { ...old };
  const set = write.set as PlainRow | undefined;
  for (const name in set) row[name] = copyValue(set[name] as Value);
  const add = write.add as Record<string, number> | undefined;
  for (const name in add) {
    const sum = (old[name] as number) + (add[name] as number);
    if (!Number.isSafeInteger(sum)) throw overflowError(shape);
    row[name] = sum + 0;
  }
  for (const { columns, to } of write.raise ?? []) {
    if (!isBelow(old, columns, to)) continue;
    for (let i = 0; i < columns.length; i++) row[columns[i] as string] = (to[i] as number) + 0;
  }
  return row;
}

function isBelow(row: PlainRow, columns: readonly string[], to: readonly number[]): boolean {
  for (let i = 0; i < columns.length; i++) {
    const current = row[columns[i] as string] as number;
    const wanted = to[i] as number;
    if (current !== wanted) return current < wanted;
  }
  return false;
}

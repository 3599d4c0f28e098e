/**
 * Record keys as strings whose order (by code unit, as `<` compares strings) is the order of the keys. Every code unit is
 * a byte, so that V8 keeps one byte a character and compares with memcmp.
 *
 * An integer is 7 bytes: the upper 22 bits with the sign turned, then the lower 32, most significant first. Bytes and text
 * (as UTF-8) stand as they are in the last key column; before another column they end with 00 00, and 00 inside becomes
 * 00 01, so that the encoding of one key prefix is a prefix of exactly the keys that start with it.
 */
import { Buffer } from "node:buffer";
import type { Value } from "../../core/meta/store.ts";
import type { TableShape } from "./table_shape.ts";

/** Sorts after every key that starts with the string before it. */
export const AFTER_ALL = "\u0100";

const INT_HIGH_OFFSET = 2 ** 21;

/** Values must have been checked against the table. `from` is the key column of the first value. */
export function encodeKey(shape: TableShape, values: readonly Value[], from = 0): string {
  let encoded = "";
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as Value;
    encoded += typeof value === "number"
      ? encodeInt(value)
      : encodeBytes(value, from + i === shape.key.length - 1);
  }
  return encoded;
}

function encodeInt(value: number): string {
  const signedHigh = Math.floor(value / 2 ** 32);
  const low = value - signedHigh * 2 ** 32;
  const high = signedHigh + INT_HIGH_OFFSET;
  return String.fromCharCode(
    high >>> 16,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  );
}

function encodeBytes(value: string | Uint8Array, last: boolean): string {
  const buffer = typeof value === "string"
    ? Buffer.from(value, "utf8")
    : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const plain = buffer.toString("latin1");
  return last ? plain : plain.replace(/\0/g, "\0\x01") + "\0\0";
}

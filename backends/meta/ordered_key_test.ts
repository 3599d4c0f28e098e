import assert from "node:assert/strict";
import fc from "fast-check";
import type { Value } from "../../core/meta/store.ts";
import { AFTER_ALL, encodeKey } from "./ordered_key.ts";
import { shapeOf, type TableShape } from "./table_shape.ts";

/** A table with every type of column before and at the end. */
const mixed: TableShape = {
  ...shapeOf("slices"),
  key: [{ name: "a", type: "bytes" }, { name: "b", type: "int" }, { name: "c", type: "text" }, {
    name: "d",
    type: "bytes",
  }],
};

const someBytes = fc.array(fc.constantFrom(0, 1, 2, 127, 255), { maxLength: 4 }).map((list) =>
  Uint8Array.from(list)
);
const someInt = fc.oneof(
  fc.integer({ min: -2, max: 2 }),
  fc.maxSafeInteger(),
  fc.constantFrom(2 ** 32, -(2 ** 32)),
);
const someText = fc.string({ unit: fc.constantFrom("a", "\x01", "é", "\uffff", "\u{10000}"), maxLength: 3 });
const someKey = fc.tuple(someBytes, someInt, someText, someBytes);

function compare(a: Value, b: Value): number {
  if (typeof a === "number") return a - (b as number);
  const bytesOf = (value: Value) =>
    typeof value === "string" ? new TextEncoder().encode(value) : value as Uint8Array;
  const [left, right] = [bytesOf(a), bytesOf(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return (left[i] as number) - (right[i] as number);
  }
  return left.length - right.length;
}

Deno.test("ordered key: strings are ordered as the keys are, and equal only for equal keys", () => {
  const seed = crypto.getRandomValues(new Int32Array(1))[0];
  console.log(`fast-check seed ${seed}`);
  fc.assert(
    fc.property(someKey, someKey, (a, b) => {
      const expected = a.map((value, i) => compare(value, b[i] as Value)).find((order) => order !== 0) ?? 0;
      const [left, right] = [encodeKey(mixed, a), encodeKey(mixed, b)];
      assert.equal(left < right, expected < 0);
      assert.equal(left === right, expected === 0);
    }),
    { seed, numRuns: 5000 },
  );
});

Deno.test("ordered key: a prefix of columns is a prefix of exactly the strings of its keys", () => {
  const seed = crypto.getRandomValues(new Int32Array(1))[0];
  console.log(`fast-check seed ${seed}`);
  fc.assert(
    fc.property(someKey, someKey, fc.integer({ min: 0, max: 3 }), (a, b, count) => {
      const prefix = encodeKey(mixed, a.slice(0, count));
      const key = encodeKey(mixed, b);
      const expected = a.slice(0, count).every((value, i) => compare(value, b[i] as Value) === 0);
      assert.equal(key.startsWith(prefix), expected);
      if (expected) assert.ok(key < prefix + AFTER_ALL);
      assert.equal(prefix + encodeKey(mixed, a.slice(count), count), encodeKey(mixed, a));
    }),
    { seed, numRuns: 5000 },
  );
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { OrderedMap } from "./ordered_map.ts";

function entries(map: OrderedMap<number>, from = ""): [string, number][] {
  const found: [string, number][] = [];
  map.scan(from, (key, value) => {
    found.push([key, value]);
    return true;
  });
  return found;
}

Deno.test("ordered map: does what a sorted array does, through splits and joins", () => {
  const seed = crypto.getRandomValues(new Int32Array(1))[0];
  console.log(`fast-check seed ${seed}`);
  const key = fc.integer({ min: 0, max: 3000 }).map((n) => String.fromCharCode(n >> 6, n & 63));
  // Bursts, so that blocks fill up and empty.
  const step = fc.record({
    kind: fc.constantFrom("set", "set", "delete", "burst", "clear"),
    key,
    value: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const map = new OrderedMap<number>();
      const model = new Map<string, number>();
      const set = (k: string, v: number) => {
        map.set(k, v);
        model.set(k, v);
      };
      const remove = (k: string) => assert.equal(map.delete(k), model.delete(k));
      for (const { kind, key, value } of steps) {
        if (kind === "set") set(key, value);
        else if (kind === "delete") remove(key);
        else {
          for (let i = 0; i < 900; i++) {
            const k = key + String.fromCharCode((i * 37) % 256, i >> 3);
            if (kind === "burst") set(k, i);
            else if (i % 11 !== 0) remove(k);
          }
        }
        assert.equal(map.size, model.size);
        assert.equal(map.get(key), model.get(key));
      }
      const expected = [...model].sort(([a], [b]) => a < b ? -1 : 1);
      assert.deepEqual(entries(map), expected);
      for (const { key } of steps) {
        assert.deepEqual(entries(map, key)[0], expected.find(([k]) => k >= key));
        assert.equal(map.get(key), model.get(key));
      }
    }),
    { seed, numRuns: 60 },
  );
});

Deno.test("ordered map: a scan ends when the visitor says so", () => {
  const map = new OrderedMap<number>();
  for (let i = 0; i < 2000; i++) map.set(String.fromCharCode(i >> 8, i & 255), i);
  const seen: number[] = [];
  map.scan(String.fromCharCode(2, 0), (_key, value) => {
    seen.push(value);
    return seen.length < 600;
  });
  assert.deepEqual(seen, Array.from({ length: 600 }, (_, i) => 512 + i));
  assert.deepEqual(entries(map, "\uffff"), []);
  assert.deepEqual(entries(new OrderedMap<number>()), []);
});

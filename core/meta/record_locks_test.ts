import assert from "node:assert/strict";
import fc from "fast-check";
import {
  changeHolders,
  changeRanges,
  conflictingHolders,
  decodeHolders,
  encodeHolders,
  firstConflict,
  type Holder,
  type LockedRange,
  RANGE_END_MAX,
} from "./record_locks.ts";

/** The model: what is locked at each of a few bytes, and behind them. */
const BYTES = 24;
type ByteModel = ("read" | "write" | "unlock")[];

function lockBytes(model: ByteModel, start: number, end: number, type: ByteModel[number]): void {
  for (let byte = start; byte <= Math.min(end, BYTES); byte++) model[byte] = type;
}

function toBytes(ranges: readonly LockedRange[]): ByteModel {
  const model: ByteModel = new Array(BYTES + 1).fill("unlock");
  for (const { start, end, type } of ranges) lockBytes(model, start, end, type);
  return model;
}

function assertCanonical(ranges: readonly LockedRange[]): void {
  ranges.forEach((range, i) => {
    assert.ok(0 <= range.start && range.start <= range.end && range.end <= RANGE_END_MAX);
    const previous = ranges[i - 1];
    if (previous === undefined) return;
    assert.ok(previous.end < range.start, "sorted and apart");
    assert.ok(previous.end + 1 < range.start || previous.type !== range.type, "merged where they touch");
  });
}

const typeArbitrary = fc.constantFrom("read", "write", "unlock" as const);
/** [start, end] within the model's bytes, or from somewhere to the end of any file. */
const rangeArbitrary = fc.tuple(fc.nat(BYTES - 1), fc.nat(BYTES)).map(([start, length]) =>
  start + length >= BYTES ? { start, end: RANGE_END_MAX } : { start, end: start + length }
);
const changeArbitrary = fc.tuple(rangeArbitrary, typeArbitrary).map(([range, type]) => ({ ...range, type }));

Deno.test("an owner's locks are split and merged as an array of bytes says", () => {
  fc.assert(
    fc.property(fc.array(changeArbitrary, { maxLength: 30 }), (changes) => {
      const model: ByteModel = new Array(BYTES + 1).fill("unlock");
      let ranges: LockedRange[] = [];
      for (const { start, end, type } of changes) {
        const before = structuredClone(ranges);
        const changed = changeRanges(ranges, start, end, type);
        assert.deepEqual(ranges, before, "the argument stays as it was");
        ranges = changed;
        lockBytes(model, start, end, type);
        assertCanonical(ranges);
        assert.deepEqual(toBytes(ranges), model);
      }
    }),
    { numRuns: 2000 },
  );
});

const ownerArbitrary = fc.record({ session: fc.constantFrom(1, 2), owner: fc.constantFrom("a", "b") });

Deno.test("conflicts are those of the bytes, the first one begins first, and encoding loses nothing", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(ownerArbitrary, changeArbitrary), { maxLength: 20 }),
      ownerArbitrary,
      rangeArbitrary,
      fc.constantFrom("read", "write" as const),
      (changes, who, range, type) => {
        let holders: Holder[] = [];
        for (const [owner, change] of changes) {
          // As the lock table does it: only what conflicts with nobody is granted.
          if (change.type !== "unlock") {
            const wanted = { ...owner, start: change.start, end: change.end, type: change.type };
            if (conflictingHolders(holders, wanted).length > 0) continue;
          }
          holders = changeHolders(holders, { ...owner, pid: 7, ...change });
        }
        for (const holder of holders) {
          assertCanonical(holder.ranges);
          assert.ok(holder.ranges.length > 0);
        }
        assert.deepEqual(decodeHolders(encodeHolders(holders)), holders);

        const others = holders.filter(({ session, owner }) => session !== who.session || owner !== who.owner);
        const inTheWay = others.filter(({ ranges }) => {
          const held = toBytes(ranges);
          const end = Math.min(range.end, BYTES);
          return held.slice(range.start, end + 1).some((byte) =>
            byte === "write" || (byte === "read" && type === "write")
          );
        });
        const wanted = { ...who, ...range, type };
        assert.deepEqual(conflictingHolders(holders, wanted), inTheWay);
        const first = firstConflict(holders, wanted);
        assert.equal(first !== undefined, inTheWay.length > 0);
        if (first !== undefined) {
          const starts = inTheWay.flatMap(({ ranges }) => ranges).filter((held) =>
            held.start <= range.end && range.start <= held.end && (held.type === "write" || type === "write")
          ).map(({ start }) => start);
          assert.equal(first.range.start, Math.min(...starts));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("no two owners' locks ever exclude each other when only grantable ones are granted", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(ownerArbitrary, changeArbitrary), { maxLength: 40 }), (changes) => {
      let holders: Holder[] = [];
      for (const [owner, { start, end, type }] of changes) {
        if (type !== "unlock" && conflictingHolders(holders, { ...owner, start, end, type }).length > 0) {
          continue;
        }
        holders = changeHolders(holders, { ...owner, pid: 1, start, end, type });
      }
      const maps = holders.map(({ ranges }) => toBytes(ranges));
      for (let byte = 0; byte <= BYTES; byte++) {
        const held = maps.map((map) => map[byte]).filter((type) => type !== "unlock");
        assert.ok(held.length <= 1 || held.every((type) => type === "read"));
      }
    }),
    { numRuns: 1000 },
  );
});

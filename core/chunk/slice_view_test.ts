import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import type { SliceRecord } from "./slice_log.ts";
import { buildView, EMPTY_VIEW, overlay, type SliceView, type ViewedList, viewOf } from "./slice_view.ts";

const SPACE = 64;

function record(pos: number, len: number, sliceId: number): SliceRecord {
  return { pos, len, sliceId, size: len, off: 0, checksums: new Uint8Array() };
}

/** Who is seen at each position: what a view must agree with. */
function paint(records: readonly SliceRecord[]): (SliceRecord | null)[] {
  const seen = new Array<SliceRecord | null>(SPACE).fill(null);
  for (const r of records) seen.fill(r, r.pos, r.pos + r.len);
  return seen;
}

function seenThrough(view: SliceView): (SliceRecord | null)[] {
  const seen = new Array<SliceRecord | null>(SPACE).fill(null);
  let previousEnd = 0;
  for (let i = 0; i < view.count; i++) {
    const [start, end] = [view.starts[i] as number, view.ends[i] as number];
    ok(start >= previousEnd && end > start, "segments ascend and are not empty");
    previousEnd = end;
    seen.fill(view.records[i] as SliceRecord, start, end);
  }
  equal(view.starts.length, view.count);
  return seen;
}

const lists = fc.array(
  fc.tuple(fc.nat(SPACE - 1), fc.nat(20), fc.nat(5)).map(([pos, len, id]) =>
    record(pos, Math.min(len, SPACE - pos), id)
  ),
  { maxLength: 40 },
);

Deno.test("a view shows at every position the latest record there", () => {
  fc.assert(
    fc.property(lists, (list) => {
      deepEqual(seenThrough(buildView(list)), paint(list));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("laying one view over another equals the view of both lists", () => {
  fc.assert(
    fc.property(lists, lists, (older, newer) => {
      deepEqual(seenThrough(overlay(buildView(older), buildView(newer))), paint([...older, ...newer]));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("find names the first segment that ends after a position", () => {
  fc.assert(
    fc.property(lists, fc.nat(SPACE + 1), (list, position) => {
      const view = buildView(list);
      const index = view.find(position);
      for (let i = 0; i < view.count; i++) equal((view.ends[i] as number) > position, i >= index);
    }),
  );
});

Deno.test("a view derived from an earlier list is right whatever happened to the list", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(lists, fc.nat(3), fc.nat(40), fc.nat(40)), { minLength: 1, maxLength: 8 }),
      (steps) => {
        let list: readonly SliceRecord[] = [];
        let previous: ViewedList | null = null;
        for (const [records, kind, from, length] of steps) {
          if (kind === 0) {
            list = [...list.slice(0, from), ...records.slice(0, 1), ...list.slice(from + length)];
          } else if (kind === 1) list = records;
          else list = [...list, ...records];
          const view: SliceView = viewOf(list, previous);
          deepEqual(seenThrough(view), paint(list));
          previous = { list, view };
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("an unchanged list keeps its view; an appended one is not built from nothing", () => {
  const list = [record(0, 10, 1), record(20, 10, 2)];
  const view = buildView(list);
  equal(viewOf([...list], { list, view }), view);
  equal(viewOf([], null), EMPTY_VIEW);
  const grown = viewOf([...list, record(5, 20, 3)], { list, view });
  deepEqual([...grown.starts], [0, 5, 25]);
  deepEqual([...grown.ends], [5, 25, 30]);
});

Deno.test("records with the same place replace each other, also thousands of them", () => {
  const list = Array.from({ length: 5000 }, (_, i) => record((i * 7) % (SPACE - 1), 2, i + 1));
  deepEqual(seenThrough(buildView(list)), paint(list));
});

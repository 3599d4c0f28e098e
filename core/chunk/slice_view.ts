/**
 * What a chunk looks like through its slices: the list of records in commit order becomes a sorted list of segments that
 * do not overlap, each naming the record whose bytes are seen there. Bytes in no segment are zeros (a hole), and so are
 * those of a record with slice id 0.
 *
 * A view never changes once built. Building takes n log n; one newer slice on a view is a few memory copies.
 */
import type { SliceRecord } from "./slice_log.ts";

export class SliceView {
  constructor(
    /** Segment i is bytes [starts[i], ends[i]) of the chunk, from records[i]. Ascending. */
    readonly starts: Int32Array,
    readonly ends: Int32Array,
    readonly records: readonly SliceRecord[],
  ) {}

  get count(): number {
    return this.records.length;
  }

  /** Index of the first segment that ends after `position`; `count` if there is none. */
  find(position: number): number {
    const ends = this.ends;
    let low = 0;
    let high = this.records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] as number) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export const EMPTY_VIEW = new SliceView(new Int32Array(0), new Int32Array(0), []);

/** The view of a list of records, oldest first. */
export function buildView(records: readonly SliceRecord[]): SliceView {
  return buildRange(records.filter((record) => record.len > 0));
}

function buildRange(records: readonly SliceRecord[]): SliceView {
  if (records.length === 0) return EMPTY_VIEW;
  if (isAscending(records)) {
    return new SliceView(
      Int32Array.from(records, (record) => record.pos),
      Int32Array.from(records, (record) => record.pos + record.len),
      records,
    );
  }
  const middle = records.length >>> 1;
  return overlay(buildRange(records.slice(0, middle)), buildRange(records.slice(middle)));
}

/** Files written from start to end have such lists: nothing to cut. */
function isAscending(records: readonly SliceRecord[]): boolean {
  let end = 0;
  for (const record of records) {
    if (record.pos < end) return false;
    end = record.pos + record.len;
  }
  return true;
}

/** `older` with `newer` on top of it. */
export function overlay(older: SliceView, newer: SliceView): SliceView {
  if (newer.count === 0) return older;
  if (older.count === 0) return newer;
  // Each newer segment adds itself and may cut one older segment in two.
  const capacity = older.count + 2 * newer.count;
  const starts = new Int32Array(capacity);
  const ends = new Int32Array(capacity);
  const records: SliceRecord[] = [];
  let count = 0;

  /** Appends older segments [from, to) unchanged. */
  function copyOlder(from: number, to: number): void {
    if (from >= to) return;
    starts.set(older.starts.subarray(from, to), count);
    ends.set(older.ends.subarray(from, to), count);
    for (let i = from; i < to; i++) records.push(older.records[i] as SliceRecord);
    count += to - from;
  }
  function push(start: number, end: number, record: SliceRecord): void {
    starts[count] = start;
    ends[count] = end;
    records.push(record);
    count++;
  }

  let next = 0; // first older segment not yet passed
  let cut = 0; // its bytes before this position are covered
  for (let j = 0; j < newer.count; j++) {
    const start = newer.starts[j] as number;
    const end = newer.ends[j] as number;
    // What is left of a segment that the previous newer one cut.
    if (next < older.count && (older.starts[next] as number) < cut) {
      const restEnd = older.ends[next] as number;
      if (cut < start && cut < restEnd) {
        push(cut, Math.min(start, restEnd), older.records[next] as SliceRecord);
      }
      if (restEnd <= start) next++;
    }
    const first = Math.max(next, older.find(start)); // first older segment that ends after `start`
    if (next < first) copyOlder(next, first);
    // The head of a segment that begins before `start`; if it was cut before, its head is already there.
    if (first < older.count) {
      const olderStart = older.starts[first] as number;
      if (olderStart < start && olderStart >= cut) {
        push(olderStart, start, older.records[first] as SliceRecord);
      }
    }
    push(start, end, newer.records[j] as SliceRecord);
    next = Math.max(first, older.find(end));
    cut = end;
  }
  if (next < older.count && (older.starts[next] as number) < cut) {
    push(cut, older.ends[next] as number, older.records[next] as SliceRecord);
    next++;
  }
  copyOlder(next, older.count);
  return new SliceView(starts.slice(0, count), ends.slice(0, count), records);
}

/** A view and the list it was built from. */
export interface ViewedList {
  readonly list: readonly SliceRecord[];
  readonly view: SliceView;
}

/**
 * The view of `list`, made from `previous` if the list only grew: then what is new is laid over the view. Records are
 * compared by identity, all of them, because a compaction may replace any run in the middle.
 */
export function viewOf(list: readonly SliceRecord[], previous: ViewedList | null): SliceView {
  if (previous === null || list.length < previous.list.length) return buildView(list);
  const known = previous.list;
  for (let i = 0; i < known.length; i++) {
    if (known[i] !== list[i]) return buildView(list);
  }
  return list.length === known.length
    ? previous.view
    : overlay(previous.view, buildView(list.slice(known.length)));
}

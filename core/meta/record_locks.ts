/**
 * Arithmetic of advisory locks on byte ranges, without any store: who holds what on one file, what conflicts, and what a
 * change makes of it (fcntl_locking(2), POSIX fcntl: locks of one owner are split, merged, upgraded and downgraded).
 *
 * Invariants of a `Holder`: its ranges are sorted, do not overlap, and touching ranges of one type are one range; it has
 * at least one. Nobody's write range overlaps another holder's range.
 */
import { FILE_BYTES_MAX } from "../limits.ts";

/** The `end` of a range that reaches to the end of file, however far the file grows. */
export const RANGE_END_MAX = FILE_BYTES_MAX;

export type LockType = "read" | "write";

/** Bytes `start` to `end`, both included. */
export interface LockedRange {
  readonly start: number;
  readonly end: number;
  readonly type: LockType;
}

/** One owner's locks on one file. An owner is known by its session and a name that the session chose. */
export interface Holder {
  readonly session: number;
  readonly owner: string;
  /** The process that locked last, on the session's machine. */
  readonly pid: number;
  readonly ranges: readonly LockedRange[];
}

/** What an owner wants to lock. */
export interface Wanted extends LockedRange {
  readonly session: number;
  readonly owner: string;
}

/** A lock in the way of another one. */
export interface Conflict {
  readonly holder: Holder;
  readonly range: LockedRange;
}

/** The ranges after [start, end] was locked as `type` or unlocked. */
export function changeRanges(
  ranges: readonly LockedRange[],
  start: number,
  end: number,
  type: LockType | "unlock",
): LockedRange[] {
  const changed: LockedRange[] = [];
  for (const range of ranges) {
    if (range.start >= start) break;
    changed.push(range.end < start ? range : { ...range, end: start - 1 });
  }
  if (type !== "unlock") append(changed, { start, end, type });
  for (const range of ranges) {
    if (range.end > end) append(changed, range.start > end ? range : { ...range, start: end + 1 });
  }
  return changed;
}

/** Adds a range behind all others, or to the last one where they touch. */
function append(ranges: LockedRange[], range: LockedRange): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.type === range.type && last.end + 1 === range.start) {
    ranges[ranges.length - 1] = { ...last, end: range.end };
  } else ranges.push(range);
}

/** The holders after one owner locked or unlocked a range. The argument stays as it is. */
export function changeHolders(
  holders: readonly Holder[],
  change: Omit<Wanted, "type"> & { readonly type: LockType | "unlock"; readonly pid: number },
): Holder[] {
  const { session, owner, pid, start, end, type } = change;
  const index = holders.findIndex((holder) => holder.session === session && holder.owner === owner);
  const before = holders[index];
  const ranges = changeRanges(before?.ranges ?? [], start, end, type);
  const changed = holders.slice();
  if (before === undefined) {
    if (ranges.length > 0) changed.push({ session, owner, pid, ranges });
  } else if (ranges.length === 0) changed.splice(index, 1);
  else changed[index] = { session, owner, pid: type === "unlock" ? before.pid : pid, ranges };
  return changed;
}

/** True if two locks of different owners cannot be held at the same time. */
export function excludes(a: LockedRange, b: LockedRange): boolean {
  return a.start <= b.end && b.start <= a.end && (a.type === "write" || b.type === "write");
}

/** The holders with a lock in the way of the one that is wanted. */
export function conflictingHolders(holders: readonly Holder[], wanted: Wanted): Holder[] {
  return holders.filter((holder) =>
    !isHolder(holder, wanted) && holder.ranges.some((range) => excludes(range, wanted))
  );
}

/** Of the locks in the way of the one that is wanted, the one that begins first. */
export function firstConflict(holders: readonly Holder[], wanted: Wanted): Conflict | undefined {
  let first: Conflict | undefined;
  for (const holder of holders) {
    if (isHolder(holder, wanted)) continue;
    const range = holder.ranges.find((range) => excludes(range, wanted));
    if (range !== undefined && (first === undefined || range.start < first.range.start)) {
      first = { holder, range };
    }
  }
  return first;
}

export function isHolder(holder: Holder, who: { readonly session: number; readonly owner: string }): boolean {
  return holder.owner === who.owner && holder.session === who.session;
}

export function countRanges(holders: readonly Holder[]): number {
  let count = 0;
  for (const { ranges } of holders) count += ranges.length;
  return count;
}

/** JSON: [session, owner, pid, [start, end, 1 for write or 0, ...]] for each holder. */
export function encodeHolders(holders: readonly Holder[]): string {
  return JSON.stringify(holders.map(({ session, owner, pid, ranges }) => [
    session,
    owner,
    pid,
    ranges.flatMap(({ start, end, type }) => [start, end, type === "write" ? 1 : 0]),
  ]));
}

export function decodeHolders(text: string): Holder[] {
  const records = JSON.parse(text) as [number, string, number, number[]][];
  return records.map(([session, owner, pid, numbers]) => {
    const ranges: LockedRange[] = [];
    for (let i = 0; i < numbers.length; i += 3) {
      const [start, end, isWrite] = numbers.slice(i, i + 3) as [number, number, number];
      ranges.push({ start, end, type: isWrite === 1 ? "write" : "read" });
    }
    return { session, owner, pid, ranges };
  });
}

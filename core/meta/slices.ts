/**
 * Slice lists: what the data path reads and commits (core/chunk/slice_log.ts), and dropping references to slices.
 *
 * Invariants:
 * - A slice record is written in the commit that writes (or adds a reference to) its `sliceObjects` record; `refs` is
 *   the number of slice records that name it. The last reference goes in the commit that puts the slice into
 *   `deletedSlices`; only from there are objects deleted.
 * - Every commit that changes a file's lists raises the inode's `sliceSeq`.
 */
import type { NewSlice, SliceRecord } from "../chunk/slice_log.ts";
import type { Timespec } from "../env.ts";
import { FsError } from "../errors.ts";
import { CHUNK_BYTES } from "../limits.ts";
import type { Clearing, FoundSlice } from "./clear_range.ts";
import { accountedBytes, raiseCtime, raiseTimes } from "./attr.ts";
import type { MetaContext } from "./context.ts";
import { usageChange } from "./namespace.ts";
import type { SliceObjectRow, SliceRow } from "./schema.ts";
import {
  append,
  type Check,
  checkColumns,
  type Durability,
  put,
  read,
  remove,
  update,
  type Write,
} from "./store.ts";
import { withRetry } from "./retry.ts";
import { transact } from "./transact.ts";

const SCAN_PAGE = 1000;
/** Attempts to read lists that no commit changes meanwhile; more only if somebody writes all the time. */
const READ_ATTEMPTS_MAX = 50;
const EMPTY = new Uint8Array(0);

/** All slices of one chunk in commit order. */
export function readSlices(
  ctx: MetaContext,
  ino: number,
  chunk: number,
): readonly SliceRecord[] | Promise<readonly SliceRecord[]> {
  return ctx.slices.get(ino, chunk) ?? fetchSlices(ctx, ino, chunk);
}

async function fetchSlices(ctx: MetaContext, ino: number, chunk: number): Promise<readonly SliceRecord[]> {
  for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
    const known = attempt === 0 ? ctx.cache.inode(ino)?.row.sliceSeq : undefined;
    // A file that was never written has no list to read. (The same age rule as for its length: fresh at open.)
    if (known === 0) {
      ctx.slices.put(ino, 0, chunk, []);
      return [];
    }
    const before = known ?? await sliceSeqOf(ctx, ino);
    const found = await scanSlices(ctx, [ino, chunk]);
    const list = found.map(recordOf);
    // The list belongs to `before` only if nothing was committed while it was read.
    if (await sliceSeqOf(ctx, ino) === before) {
      ctx.slices.put(ino, before, chunk, list);
      return list;
    }
  }
  throw new FsError("EIO", `the slices of inode ${ino} change faster than they can be read`);
}

async function sliceSeqOf(ctx: MetaContext, ino: number): Promise<number> {
  const [found] = await withRetry(ctx, () => ctx.store.get([read("inodes", [ino])]));
  if (found === null) throw new FsError("ENOENT", `inode ${ino}`);
  return found.row.sliceSeq;
}

/** Every slice record under the prefix, with its object's record, in key order; pages as needed, up to the page that
 *  passes `lastChunk`. */
export async function scanSlices(
  ctx: MetaContext,
  prefix: readonly [number] | readonly [number, number],
  after?: readonly number[],
  lastChunk = Infinity,
): Promise<FoundSlice[]> {
  const all: FoundSlice[] = [];
  for (;;) {
    const page = await withRetry(
      ctx,
      () => ctx.store.scan({ table: "slices", prefix, after, limit: SCAN_PAGE, follow: "sliceId" }),
    );
    all.push(...page);
    const last = page.at(-1);
    if (page.length < SCAN_PAGE || last === undefined || last.row.chunk > lastChunk) return all;
    after = prefix.length === 1 ? [last.row.chunk, last.row.seq] : [last.row.seq];
  }
}

export function recordOf(found: FoundSlice): SliceRecord {
  const { pos, sliceId, size, off, len } = found.row;
  const checksums = (found.ref?.row as SliceObjectRow | undefined)?.checksums ?? EMPTY;
  return { pos, sliceId, size, off, len, checksums };
}

/** See SliceLog.commitSlices. */
export async function commitSlices(
  ctx: MetaContext,
  ino: number,
  slices: readonly NewSlice[],
  mtime: Timespec | null,
  durability: Durability,
): Promise<void> {
  if (slices.length === 0) {
    if (durability === "synced") {
      await withRetry(ctx, () => ctx.store.commit({ checks: [], writes: [] }, { durability }));
    }
    return;
  }
  const added = slices.map(({ chunk, pos, sliceId, size, checksums }) =>
    [chunk, { pos, sliceId, size, off: 0, len: size, checksums }] as const
  );
  const end = slices.reduce(
    (end, slice) => Math.max(end, slice.chunk * CHUNK_BYTES + slice.pos + slice.size),
    0,
  );
  const appends: Write[] = [];
  for (const { chunk, pos, sliceId, size, checksums } of slices) {
    appends.push(
      append("slices", [ino, chunk], { pos, sliceId, size, off: 0, len: size }, sliceCounter(ino)),
      put("sliceObjects", [sliceId], { size, refs: 1, checksums }),
    );
  }
  await transact(ctx, async (view) => {
    const row = await view.inode(ino);
    const length = Math.max(row.length, end);
    const bytes = accountedBytes(row.mode, length) - accountedBytes(row.mode, row.length);
    const raise = mtime === null ? raiseCtime(ctx.env.now()) : raiseTimes(mtime);
    if (length > row.length) raise.push({ columns: ["length"], to: [length] });
    // The usage row is updated even by 0: its absence stops a session that others ended (stale.ts).
    const writes = [...appends, update("inodes", [ino], { raise }), usageChange(ctx, bytes, 0)];
    return {
      checks: [checkColumns("inodes", [ino], { length: row.length })],
      writes,
      done: (assigned) => {
        const first = assigned[0] as number;
        const last = assigned.at(-1) as number;
        noteSliceSeq(ctx, ino, last);
        ctx.slices.appended(ino, first - 1, last, added);
        ctx.onAppend?.(ino, first - 1, last);
      },
    };
  }, durability);
  for (const slice of slices) ctx.sliceIds.settle(slice.sliceId);
}

/** The counter that gives slices their place in a file's lists. */
export const sliceCounter = (ino: number) => ({ table: "inodes", key: [ino], column: "sliceSeq" } as const);

/** Brings the counter that the store raised into the cached inode. */
export function noteSliceSeq(ctx: MetaContext, ino: number, seq: number): void {
  const cached = ctx.cache.inode(ino);
  if (cached !== undefined && cached.row.sliceSeq < seq) cached.row = { ...cached.row, sliceSeq: seq };
}

/**
 * Checks and writes that remove slice records and their references; the last reference puts the slice on the list of
 * deleted ones. `found` may name one slice several times.
 */
export function dropSlices(
  found: readonly FoundSlice[],
  time: Timespec,
): { checks: Check[]; writes: Write[] } {
  const checks: Check[] = [];
  const writes: Write[] = [];
  const dropped = new Map<number, { object: SliceObjectRow; count: number }>();
  for (const { row, ref } of found) {
    const { ino, chunk, seq, sliceId } = row as SliceRow;
    checks.push(checkColumns("slices", [ino, chunk, seq], { sliceId }));
    writes.push(remove("slices", [ino, chunk, seq]));
    if (sliceId === 0 || ref === null) continue;
    const known = dropped.get(sliceId);
    if (known === undefined) dropped.set(sliceId, { object: ref.row as SliceObjectRow, count: 1 });
    else known.count++;
  }
  for (const [sliceId, { object, count }] of dropped) {
    checks.push(checkColumns("sliceObjects", [sliceId], { refs: object.refs }));
    if (object.refs > count) writes.push(update("sliceObjects", [sliceId], { add: { refs: -count } }));
    else {
      writes.push(
        remove("sliceObjects", [sliceId]),
        put("deletedSlices", [sliceId], { size: object.size, deletedAt: time.sec }),
      );
    }
  }
  return { checks, writes };
}

/**
 * Checks and writes of a clearing. `raised`: by how much `sliceSeq` rises; every run of zeros raises it, and where there is
 * none it is raised for its own sake, so that other clients see that the lists changed.
 */
export function clearWrites(
  ino: number,
  cleared: Clearing,
  time: Timespec,
): { checks: Check[]; writes: Write[]; raised: number } {
  const { checks, writes } = dropSlices(cleared.dropped, time);
  for (const { chunk, pos, len } of cleared.zeros) {
    writes.push(
      append("slices", [ino, chunk], { pos, sliceId: 0, size: len, off: 0, len }, sliceCounter(ino)),
    );
  }
  if (cleared.zeros.length > 0) return { checks, writes, raised: cleared.zeros.length };
  if (cleared.dropped.length === 0) return { checks, writes, raised: 0 };
  writes.push(update("inodes", [ino], { add: { sliceSeq: 1 } }));
  return { checks, writes, raised: 1 };
}

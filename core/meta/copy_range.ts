/**
 * copy_file_range(2) without moving bytes: the target's slice lists get records that show parts of the source's slices.
 *
 * Invariant: the commit that adds a record for a slice adds to the slice's `refs`, and checks that the source's lists are
 * still those that were read: so no slice is shown that was deleted meanwhile.
 */
import type { SliceRecord } from "../chunk/slice_log.ts";
import { buildView } from "../chunk/slice_view.ts";
import { FsError } from "../errors.ts";
import { CHUNK_BYTES, FILE_BYTES_MAX } from "../limits.ts";
import { slicesOf } from "./allocate.ts";
import { accountedBytes, isDirectory, isRegular, raiseTimes } from "./attr.ts";
import type { MetaContext } from "./context.ts";
import { requireNotImmutable } from "./inode_flags.ts";
import { usageChange } from "./namespace.ts";
import type { InodeRow } from "./schema.ts";
import { noteSliceSeq, recordOf, sliceCounter } from "./slices.ts";
import { append, checkColumns, update, type Write } from "./store.ts";
import { transact } from "./transact.ts";

/** What one commit copies at most; the caller asks again for the rest. */
const BYTES_PER_COMMIT = 1 << 30;
const RECORDS_PER_COMMIT = 1000;

export interface CopyRange {
  readonly from: number;
  readonly fromOffset: number;
  readonly to: number;
  readonly toOffset: number;
  readonly length: number;
}

export interface Copied {
  readonly copiedBytes: number;
  readonly target: InodeRow;
}

/** A part of a file: what shows at [start, end), null for a hole. */
interface Extent {
  readonly start: number;
  readonly end: number;
  readonly record: { readonly sliceId: number; readonly size: number; readonly off: number } | null;
}

/** Copies up to `length` bytes of the source up to its end; both files' data was flushed before. 0 at the source's end. */
export function copyRange(
  ctx: MetaContext,
  range: CopyRange,
  permit: (row: InodeRow) => void = () => {},
): Promise<Copied> {
  const { from, fromOffset, to, toOffset } = range;
  return transact(ctx, async (view) => {
    const source = await view.inode(from);
    const target = await view.inode(to);
    for (const row of [source, target]) {
      if (isDirectory(row.mode)) throw new FsError("EISDIR");
      if (!isRegular(row.mode)) throw new FsError("EINVAL");
    }
    permit(target);
    requireNotImmutable(target);
    const wanted = Math.min(range.length, source.length - fromOffset, BYTES_PER_COMMIT);
    if (wanted <= 0) return { checks: [], writes: [], done: () => ({ copiedBytes: 0, target }) };
    if (toOffset + wanted > FILE_BYTES_MAX) throw new FsError("EFBIG");
    const found = source.sliceSeq === 0 ? [] : await slicesOf(ctx, from, fromOffset, fromOffset + wanted);
    const pieces = extentsOf(
      found.map((slice) => [slice.row.chunk, recordOf(slice)]),
      fromOffset,
      fromOffset + wanted,
    )
      .flatMap((extent) => shifted(extent, toOffset - fromOffset))
      .slice(0, RECORDS_PER_COMMIT);
    const end = pieces.at(-1)?.end as number;
    const length = Math.max(target.length, end);
    const time = ctx.env.now();
    const references = new Map<number, number>();
    const writes: Write[] = pieces.map(({ start, end, record }) => {
      const chunk = Math.floor(start / CHUNK_BYTES);
      const place = { pos: start - chunk * CHUNK_BYTES, len: end - start };
      if (record === null) {
        return append(
          "slices",
          [to, chunk],
          { ...place, sliceId: 0, size: place.len, off: 0 },
          sliceCounter(to),
        );
      }
      references.set(record.sliceId, (references.get(record.sliceId) ?? 0) + 1);
      return append("slices", [to, chunk], { ...place, ...record }, sliceCounter(to));
    });
    for (const [sliceId, refs] of references) {
      writes.push(update("sliceObjects", [sliceId], { add: { refs } }));
    }
    writes.push(
      update("inodes", [to], { set: { length }, raise: raiseTimes(time) }),
      usageChange(ctx, accountedBytes(target.mode, length) - accountedBytes(target.mode, target.length), 0),
    );
    return {
      checks: [
        checkColumns("inodes", [from], { sliceSeq: source.sliceSeq, length: source.length }),
        checkColumns("inodes", [to], { length: target.length, flags: target.flags }),
      ],
      writes,
      done: (assigned) => {
        const last = assigned.at(-1) as number;
        ctx.slices.drop(to);
        noteSliceSeq(ctx, to, last);
        ctx.onAppend?.(to, (assigned[0] as number) - 1, last);
        return { copiedBytes: end - toOffset, target: ctx.cache.inode(to)?.row ?? { ...target, length } };
      },
    };
  });
}

/** What shows in [start, end) of a file with these records (chunk, record) in key order, holes included, without gaps. */
function extentsOf(
  records: readonly (readonly [number, SliceRecord])[],
  start: number,
  end: number,
): Extent[] {
  const lists = new Map<number, SliceRecord[]>();
  for (const [chunk, record] of records) {
    const list = lists.get(chunk);
    if (list === undefined) lists.set(chunk, [record]);
    else list.push(record);
  }
  const extents: Extent[] = [];
  let at = start;
  const push = (to: number, record: Extent["record"]) => {
    if (to > at) extents.push({ start: at, end: to, record });
    at = Math.max(at, to);
  };
  for (const [chunk, list] of lists) {
    const base = chunk * CHUNK_BYTES;
    const view = buildView(list);
    for (let i = 0; i < view.count; i++) {
      const record = view.records[i] as SliceRecord;
      const from = Math.max(start, base + (view.starts[i] as number));
      const to = Math.min(end, base + (view.ends[i] as number));
      if (from >= to || record.sliceId === 0) continue;
      push(from, null);
      push(to, { sliceId: record.sliceId, size: record.size, off: record.off + (from - base - record.pos) });
    }
  }
  push(end, null);
  return extents;
}

/** The extent moved by `by` bytes and cut at the chunks' ends. */
function shifted(extent: Extent, by: number): Extent[] {
  const pieces: Extent[] = [];
  const end = extent.end + by;
  for (let start = extent.start + by; start < end;) {
    const pieceEnd = Math.min(end, (Math.floor(start / CHUNK_BYTES) + 1) * CHUNK_BYTES);
    const skipped = start - (extent.start + by);
    const record = extent.record === null ? null : { ...extent.record, off: extent.record.off + skipped };
    pieces.push({ start, end: pieceEnd, record });
    start = pieceEnd;
  }
  return pieces;
}

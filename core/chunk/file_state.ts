/**
 * FileState: all that the data path knows about one inode. It exists while the file has dirty data, waits for a sync,
 * or was read lately.
 *
 * Invariants:
 * - `slices` holds every uncommitted slice in write order: of two that overlap, the later wins. `chunks` has the same
 *   slices by chunk, in the same order; `end` is the largest end of them as a file offset, 0 without any.
 * - `generation` changes whenever a slice leaves `slices`. A slice list fetched while `generation` stood still, laid under
 *   the slices of that moment, is the file: a slice leaves only after its commit resolved, from when on lists have it.
 */
import type { Timer, Timespec } from "../env.ts";
import type { FsError } from "../errors.ts";
import { CHUNK_BYTES } from "../limits.ts";
import type { DirtySlice } from "./dirty_slice.ts";
import type { SliceRecord } from "./slice_log.ts";
import type { SliceView, ViewedList } from "./slice_view.ts";

/** One block on its way to the object store. `firstFailureMs` is NaN until an attempt failed. */
export interface UploadJob {
  readonly file: FileState;
  readonly slice: DirtySlice;
  readonly index: number;
  state: "queued" | "running" | "parked";
  attempts: number;
  firstFailureMs: number;
  /** The failure is one that the user is told of. */
  isFailing: boolean;
  timer: Timer | null;
}

/** A flush that waits for all slices up to `target`. */
export interface FlushWaiter {
  readonly target: number;
  readonly synced: boolean;
  readonly resolve: () => void;
  readonly reject: (error: FsError) => void;
}

/** A slice that was committed, but whose objects are not known to survive power loss. */
export interface UnsyncedSlice {
  readonly sliceId: number;
  readonly size: number;
  readonly checksums: Uint8Array;
}

/** A place in the file where somebody reads sequentially. */
export interface ReadStream {
  /** Where the next read is expected. */
  next: number;
  /** How far ahead of `next` to fetch; 0 until the second read in sequence. */
  windowBytes: number;
  /** Fetched ahead up to here. */
  ahead: number;
}

const NONE: readonly DirtySlice[] = [];
/** Views kept per file for lists that grow: the chunks in use. */
const VIEWS_MAX = 8;

export class FileState {
  slices: DirtySlice[] = [];
  readonly chunks = new Map<number, DirtySlice[]>();
  end = 0;
  /** Time of the last write whose time counts; meaningful while there are slices. */
  mtime: Timespec | null = null;
  openSlices = 0;
  nextSeq = 1;
  generation = 0;

  /** The last of the writes that wait; writes after it queue behind it. */
  writeTail: Promise<void> | null = null;
  /** Bytes of the budget taken for a waiting write and not used yet; those that the last attempt lacked. */
  creditBytes = 0;
  lackingBytes = 0;
  /** Called when slices were committed or failed: writes wait there for a place in `slices`. */
  onRoom: (() => void)[] = [];

  readonly jobs = new Set<UploadJob>();
  failingJobs = 0;
  /** Why the data is not durable; null while there is hope. */
  error: FsError | null = null;
  /** When an upload or a commit of this file last succeeded, or a flush began to wait. */
  progressAtMs = 0;

  waiters: FlushWaiter[] = [];
  /** Slices up to this one were frozen together: they are committed together. */
  groupSeq = 0;
  isPumping = false;
  /** Slices in the commit under way: whether they are garbage is not known before it ends. */
  committing: readonly DirtySlice[] = [];
  commitAttempts = 0;
  commitFirstFailureMs = NaN;
  isCommitFailing = false;
  commitTimer: Timer | null = null;
  /** Readers that saw too many commits in a row: no new commit starts while there are any. */
  commitHolds = 0;
  isDiscarded = false;

  unsynced: UnsyncedSlice[] = [];
  unsyncedSinceMs = 0;
  /** Slices whose sync failed: the disk may have lost what it had accepted, so they are stored again first. */
  readonly suspectSlices = new Set<number>();
  syncFailures = 0;

  /** Reads that wait for a slice list: the state must stay while there are any. */
  readers = 0;
  streams: ReadStream[] = [];
  private views = new Map<number, ViewedList>();

  constructor(readonly ino: number) {}

  get isIdle(): boolean {
    return this.slices.length === 0 && this.unsynced.length === 0 && this.waiters.length === 0 &&
      this.jobs.size === 0 && this.readers === 0 && this.writeTail === null && !this.isPumping;
  }

  get lastSeq(): number {
    return this.nextSeq - 1;
  }

  add(slice: DirtySlice): void {
    this.slices.push(slice);
    const list = this.chunks.get(slice.chunk);
    if (list === undefined) this.chunks.set(slice.chunk, [slice]);
    else list.push(slice);
    this.openSlices++;
  }

  /** Puts new open slices with the same bytes in the place of open ones of one chunk, as the newest. */
  replaceOpen(old: ReadonlySet<DirtySlice>, joined: readonly DirtySlice[]): void {
    const chunk = joined[0]?.chunk ?? 0;
    this.slices = this.slices.filter((slice) => !old.has(slice));
    this.chunks.set(chunk, this.ofChunk(chunk).filter((slice) => !old.has(slice)));
    this.openSlices -= old.size;
    for (const slice of joined) this.add(slice);
  }

  /** Notes that bytes up to chunk position `end` were written. */
  extend(chunk: number, end: number): void {
    const offset = chunk * CHUNK_BYTES + end;
    if (offset > this.end) this.end = offset;
  }

  ofChunk(chunk: number): readonly DirtySlice[] {
    return this.chunks.get(chunk) ?? NONE;
  }

  /** The chunk's slices that have bytes in [from, to), oldest first. */
  overlapping(chunk: number, from: number, to: number): readonly DirtySlice[] {
    const list = this.chunks.get(chunk);
    if (list === undefined) return NONE;
    let found: DirtySlice[] | null = null;
    for (const slice of list) {
      if (slice.start >= to || slice.start + slice.length <= from) continue;
      if (found === null) found = [slice];
      else found.push(slice);
    }
    return found ?? NONE;
  }

  /** Takes the first `count` slices out: they are committed, or the file is gone. */
  removeFirst(count: number): void {
    const removed = this.slices.splice(0, count);
    const touched = new Set<number>();
    for (const slice of removed) {
      touched.add(slice.chunk);
      if (!slice.isFrozen) this.openSlices--;
    }
    const lastRemoved = removed.at(-1)?.seq ?? 0;
    for (const chunk of touched) {
      const left = this.ofChunk(chunk).filter((slice) => slice.seq > lastRemoved);
      if (left.length === 0) this.chunks.delete(chunk);
      else this.chunks.set(chunk, left);
    }
    this.end = 0;
    for (const slice of this.slices) this.extend(slice.chunk, slice.end);
    this.generation++;
  }

  /** The newest time among the first `count` slices; null if the user has set mtime after all of them. */
  mtimeOfFirst(count: number): Timespec | null {
    let newest: Timespec | null = null;
    for (let i = 0; i < count; i++) {
      const mtime = this.slices[i]?.mtime ?? null;
      if (mtime !== null && (newest === null || isLater(mtime, newest))) newest = mtime;
    }
    return newest;
  }

  viewOf(
    chunk: number,
    list: readonly SliceRecord[],
    build: (previous: ViewedList | null) => SliceView,
  ): SliceView {
    const known = this.views.get(chunk);
    if (known !== undefined && known.list === list) return known.view;
    const view = build(known ?? null);
    this.views.delete(chunk);
    this.views.set(chunk, { list, view });
    if (this.views.size > VIEWS_MAX) {
      for (const oldest of this.views.keys()) {
        this.views.delete(oldest);
        break;
      }
    }
    return view;
  }

  forgetReads(): void {
    this.views.clear();
    this.streams = [];
  }
}

function isLater(a: Timespec, b: Timespec): boolean {
  return a.sec !== b.sec ? a.sec > b.sec : a.nsec > b.nsec;
}

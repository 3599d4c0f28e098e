/**
 * A SliceLog without a database: slice lists in memory, with the promises of core/chunk/slice_log.ts, a record of every
 * commit, and switches for what can go wrong. It also checks what the data path promises: objects before commits.
 */
import { equal, ok } from "node:assert/strict";
import type { Env, Timespec } from "../../core/env.ts";
import { FsError } from "../../core/errors.ts";
import { checksumsLength } from "../../core/chunk/checksum.ts";
import { sliceKeys } from "../../core/chunk/layout.ts";
import type { ObjectStore } from "../../core/chunk/object_store.ts";
import type { NewSlice, SliceLog, SliceRecord } from "../../core/chunk/slice_log.ts";
import { CHUNK_BYTES } from "../../core/limits.ts";
import type { Durability } from "../../core/meta/store.ts";

export interface LoggedCommit {
  readonly ino: number;
  readonly slices: readonly NewSlice[];
  readonly mtime: Timespec | null;
  readonly durability: Durability;
}

export interface FakeSliceLog extends SliceLog {
  readonly commits: LoggedCommit[];
  readonly droppedIds: number[];
  /** Called before each commit applies; may wait or throw. */
  beforeCommit: (commit: LoggedCommit) => void | Promise<void>;
  /** Called for each list before it is answered: a promise makes the answer, taken at once, come late. */
  beforeAnswer: (ino: number, chunk: number) => void | Promise<void>;
  /** Called for each new id; a promise makes it come late. */
  beforeId: () => void | Promise<void>;
  /** The file is gone: its commits fail with ENOENT. */
  remove(ino: number): void;
  /** Length of the file by its commits. */
  length(ino: number): number;
  /** Appends a record as another client or an operation of the metadata would. */
  append(ino: number, chunk: number, record: SliceRecord): void;
}

export interface FakeSliceLogOptions {
  /** The store in which every committed slice's objects must be; null: not looked at. */
  readonly objects: ObjectStore | null;
  readonly prefix: string;
  readonly blockBytes: number;
  readonly env?: Env;
}

export function createFakeSliceLog(options: FakeSliceLogOptions): FakeSliceLog {
  const lists = new Map<string, readonly SliceRecord[]>();
  const lengths = new Map<number, number>();
  const gone = new Set<number>();
  const idsGiven = new Set<number>();
  let nextId = 1;

  const keyOf = (ino: number, chunk: number) => `${ino}/${chunk}`;

  async function checkObjects(slice: NewSlice): Promise<void> {
    ok(
      idsGiven.has(slice.sliceId),
      `slice ${slice.sliceId} has an id that was given out, and is committed once`,
    );
    idsGiven.delete(slice.sliceId);
    ok(
      slice.size > 0 && slice.pos >= 0 && slice.pos + slice.size <= CHUNK_BYTES,
      "slices lie within a chunk",
    );
    equal(slice.checksums.length, checksumsLength(slice.size, options.blockBytes));
    if (options.objects === null) return;
    for (const key of sliceKeys(options, slice.sliceId, slice.size)) {
      const info = await options.objects.head(key);
      ok(info !== null, `object ${key} is stored before its slice is committed`);
      equal(info.size, Number(key.split("_")[2]));
    }
  }

  const log: FakeSliceLog = {
    commits: [],
    droppedIds: [],
    beforeCommit: () => {},
    beforeAnswer: () => {},
    beforeId: () => {},

    readSlices(ino, chunk) {
      const list = lists.get(keyOf(ino, chunk)) ?? [];
      const wait = log.beforeAnswer(ino, chunk);
      return wait instanceof Promise ? wait.then(() => list) : list;
    },

    newSliceId() {
      const give = () => {
        idsGiven.add(nextId);
        return nextId++;
      };
      const wait = log.beforeId();
      return wait instanceof Promise ? wait.then(give) : give();
    },

    dropSliceId(sliceId) {
      ok(idsGiven.delete(sliceId), `slice id ${sliceId} is dropped once, and never committed`);
      log.droppedIds.push(sliceId);
    },

    async commitSlices(ino, slices, mtime, durability) {
      const commit = { ino, slices: [...slices], mtime, durability };
      await log.beforeCommit(commit);
      if (gone.has(ino)) throw new FsError("ENOENT", `inode ${ino}`);
      for (const slice of slices) await checkObjects(slice);
      // From here on nothing waits: the commit is atomic.
      const changed = new Map<string, SliceRecord[]>();
      for (const { chunk, pos, sliceId, size, checksums } of slices) {
        const key = keyOf(ino, chunk);
        const list = changed.get(key) ?? [...(lists.get(key) ?? [])];
        list.push({ pos, sliceId, size, off: 0, len: size, checksums });
        changed.set(key, list);
        lengths.set(ino, Math.max(log.length(ino), chunk * CHUNK_BYTES + pos + size));
      }
      for (const [key, list] of changed) lists.set(key, list);
      log.commits.push(commit);
    },

    remove: (ino) => void gone.add(ino),
    length: (ino) => lengths.get(ino) ?? 0,
    append(ino, chunk, record) {
      const key = keyOf(ino, chunk);
      lists.set(key, [...(lists.get(key) ?? []), record]);
    },
  };
  return log;
}

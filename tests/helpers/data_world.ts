/** A data path in a virtual world, and a shadow of what its files must contain. */
import { equal, ok } from "node:assert/strict";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { createDataPath, type DataPath, type DataPathOptions } from "../../core/chunk/data_path.ts";
import { FsError } from "../../core/errors.ts";
import type { ObjectStore } from "../../core/chunk/object_store.ts";
import { createFakeSliceLog, type FakeSliceLog } from "./fake_slice_log.ts";
import { createFaultyObjectStore, type FaultyObjectStore } from "./faulty_object_store.ts";
import { createVirtualEnv, type VirtualEnv } from "./virtual_env.ts";

export const PREFIX = "vol/";

export interface DataWorld {
  readonly env: VirtualEnv;
  /** What is behind the faulty store. */
  readonly memory: ObjectStore;
  readonly store: FaultyObjectStore;
  readonly log: FakeSliceLog;
  readonly data: DataPath;
  readonly blockBytes: number;
  /** Another client's data path over the same store and log: nothing cached, nothing dirty. */
  cold(): DataPath;
}

/** Small enough that everything that is bounded reaches its bounds. */
export const SMALL: Partial<DataPathOptions> = {
  bufferBytes: 1 << 20,
  cacheBytes: 1 << 20,
  readAheadBytes: 512 << 10,
};

export function createDataWorld(
  seed: number,
  options: Partial<DataPathOptions> = {},
  blockBytes = 64 << 10,
): DataWorld {
  const env = createVirtualEnv(seed);
  const memory = createMemoryObjectStore();
  const store = createFaultyObjectStore(memory, env);
  const log = createFakeSliceLog({ objects: memory, prefix: PREFIX, blockBytes });
  const create = () => createDataPath({ objects: store, log, env, prefix: PREFIX, blockBytes, options });
  return { env, memory, store, log, data: create(), blockBytes, cold: create };
}

/** The inode of tests that need one file. */
export const INO = 7;

/** Reads bytes of that file, with as much virtual time as it takes. */
export async function readBack(
  world: DataWorld,
  offset: number,
  length: number,
  data = world.data,
): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xaa);
  equal(await world.env.run(Promise.resolve(data.read(INO, offset, length, into))), length);
  return into;
}

/** True if the promise has not settled once everything ran that needs no time. */
export async function isWaiting(world: DataWorld, promise: Promise<unknown> | void): Promise<boolean> {
  let isSettled = promise === undefined;
  const done = () => void (isSettled = true);
  promise?.then(done, done);
  await world.env.settle();
  return !isSettled;
}

export const isErrno = (code: string) => (error: unknown) => error instanceof FsError && error.code === code;

interface PendingWrite {
  readonly offset: number;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

interface ActiveRead {
  readonly candidates: PendingWrite[];
}

/**
 * What one file must contain: bytes [base, base + length). Reads that overlap writes in time may see each byte before
 * or after; all others must see exactly what was written last.
 */
export class ShadowFile {
  readonly bytes: Uint8Array;
  private readonly pending = new Set<PendingWrite>();
  private readonly reads = new Set<ActiveRead>();

  constructor(readonly data: DataPath, readonly ino: number, readonly base: number, length: number) {
    this.bytes = new Uint8Array(length);
  }

  write(at: number, body: Uint8Array): void | Promise<void> {
    const write = { offset: at, before: this.bytes.slice(at, at + body.length), after: body.slice() };
    for (const read of this.reads) read.candidates.push(write);
    const waiting = this.data.write(this.ino, this.base + at, body);
    this.bytes.set(body, at);
    if (waiting === undefined) {
      body.fill(0xdb); // it is the caller's again
      return;
    }
    this.pending.add(write);
    return waiting.then(() => {
      this.pending.delete(write);
      body.fill(0xdb);
    });
  }

  async read(at: number, length: number): Promise<void> {
    const active = { candidates: [...this.pending] };
    const expected = this.bytes.slice(at, at + length);
    const into = new Uint8Array(length + 2).fill(0xcd);
    this.reads.add(active);
    const answer = this.data.read(this.ino, this.base + at, length, into.subarray(1, 1 + length));
    if (typeof answer !== "number") await answer;
    this.reads.delete(active);
    ok(into[0] === 0xcd && into[length + 1] === 0xcd, "nothing is written beside the reader's buffer");
    for (let i = 0; i < length; i++) {
      const seen = into[i + 1];
      if (seen === expected[i]) continue;
      const mayBe = active.candidates.some(({ offset, before, after }) => {
        const j = at + i - offset;
        return j >= 0 && j < after.length && (seen === before[j] || seen === after[j]);
      });
      ok(mayBe, `inode ${this.ino}: byte ${at + i} is ${seen}, written was ${expected[i]}`);
    }
  }

  /** Everything, through a data path of the caller's choice. */
  async check(data: DataPath, pieceBytes = 128 << 10): Promise<void> {
    const into = new Uint8Array(pieceBytes);
    for (let at = 0; at < this.bytes.length; at += pieceBytes) {
      const length = Math.min(pieceBytes, this.bytes.length - at);
      await data.read(this.ino, this.base + at, length, into);
      for (let i = 0; i < length; i++) {
        if (into[i] !== this.bytes[at + i]) {
          ok(false, `inode ${this.ino}: byte ${at + i} is ${into[i]}, written was ${this.bytes[at + i]}`);
        }
      }
    }
  }
}

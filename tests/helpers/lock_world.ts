/** Clients of one volume in virtual time, every call to the store delayed by a seeded number of turns, and their locks. */
import { FsError } from "../../core/errors.ts";
import { FILE_BYTES_MAX, ROOT_INO } from "../../core/limits.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import type { MetaEngine } from "../../core/meta/engine.ts";
import type { LockRequest } from "../../core/meta/lock_state.ts";
import type { LockTable } from "../../core/meta/lock_table.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import { delayedMetaStore, seededRandom } from "./delayed_meta_store.ts";
import { bytes, formattedMemoryStore, newFile, openClient } from "./memory_world.ts";
import { createVirtualEnv, type VirtualEnv } from "./virtual_env.ts";

export type LockType = LockRequest["type"];

/** Asks for the whole file, not to wait, unless said otherwise. */
export function lock(
  table: LockTable,
  ino: number,
  owner: string,
  type: LockType,
  options: {
    start?: number;
    end?: number;
    wait?: boolean;
    caller?: { interrupted?: boolean; onInterrupt?: () => void };
  } = {},
): Promise<boolean> {
  const { start = 0, end = FILE_BYTES_MAX, wait = false, caller } = options;
  return table.set(ino, { owner, pid: 1, start, end, type, wait }, caller);
}

/** "ok", or the errno that the promise is rejected with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "ok";
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

/** Whether a promise has settled, once everything has run that needs no time. */
export async function isSettled(env: VirtualEnv, promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const done = () => void (settled = true);
  promise.then(done, done);
  await env.settle();
  return settled;
}

export interface World {
  readonly env: VirtualEnv;
  readonly store: MetaStore;
  readonly clients: readonly MetaEngine[];
  readonly ino: number;
}

/** A file in a volume that so many clients have open. */
export async function world(clientCount: number, seed = 1, delayed = true): Promise<World> {
  const env = createVirtualEnv(seed);
  const store = await formattedMemoryStore();
  const random = seededRandom(seed);
  const clients = [];
  for (let i = 0; i < clientCount; i++) {
    clients.push(await openClient(delayed ? delayedMetaStore(store, random) : store, env));
  }
  const file = await (clients[0] as MetaEngine).create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  return { env, store, clients, ino: file.ino };
}

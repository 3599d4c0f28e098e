/** A formatted volume's metadata in memory, and clients of it, for tests of the engine. */
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { type Env, systemEnv } from "../../core/env.ts";
import type { EngineOptions } from "../../core/meta/context.ts";
import { type MetaEngine, openEngine } from "../../core/meta/engine.ts";
import { formatVolume } from "../../core/meta/format.ts";
import type { MetaStore } from "../../core/meta/store.ts";

export const quietEnv = systemEnv("error");
export const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
export const newFile = (mode: number) => ({ mode, uid: 0, gid: 0 });

export async function formattedMemoryStore(): Promise<MetaStore> {
  const store = createMemoryMetaStore();
  await formatVolume(store, { name: "test", storage: "memory", bucket: "memory:" }, quietEnv);
  return store;
}

export function openClient(
  store: MetaStore,
  env: Env = quietEnv,
  options?: Partial<EngineOptions>,
): Promise<MetaEngine> {
  return openEngine({ store, env, session: { host: "test", pid: 1, version: "0" }, options });
}

/** Commits one slice of `size` bytes at `pos` of a chunk, without any object. */
export async function commitSlice(engine: MetaEngine, ino: number, chunk: number, pos: number, size: number) {
  const sliceId = await engine.sliceLog.newSliceId();
  const slice = { chunk, pos, sliceId, size, checksums: new Uint8Array(4) };
  await engine.sliceLog.commitSlices(ino, [slice], quietEnv.now(), "ordered");
  return sliceId;
}

/** What every operation of the metadata engine works with. */
import type { Env } from "../env.ts";
import type { MetaCache } from "./cache.ts";
import type { IdBatch, SliceIds } from "./ids.ts";
import type { SliceCache } from "./slice_cache.ts";
import type { DefaultAcls } from "./special_xattrs.ts";
import type { MetaStore } from "./store.ts";

export interface EngineOptions {
  /** How long a cached record may answer a question, ms; 0 asks the store every time. */
  readonly attrTtlMs: number;
  readonly entryTtlMs: number;
  /** Cached inodes, and as many entries. */
  readonly cacheRecordsMax: number;
  /** How long an operation goes on retrying a store that cannot be reached, ms. Then EIO. */
  readonly retryDeadlineMs: number;
  /** Limits of the volume, 0 for none. */
  readonly capacityBytes: number;
  readonly inodesMax: number;
}

export const engineDefaults: EngineOptions = {
  attrTtlMs: 1000,
  entryTtlMs: 1000,
  cacheRecordsMax: 50_000,
  retryDeadlineMs: 30_000,
  capacityBytes: 0,
  inodesMax: 0,
};

export interface MetaContext {
  readonly store: MetaStore;
  readonly env: Env;
  readonly options: EngineOptions;
  readonly cache: MetaCache;
  readonly slices: SliceCache;
  readonly defaultAcls: DefaultAcls;
  /** This client's session: owner of its usage row, sustained files and slice ranges. */
  readonly session: number;
  readonly inodeIds: IdBatch;
  readonly sliceIds: SliceIds;
  /** Told of this client's own commits of slices. */
  onAppend?: (ino: number, before: number, after: number) => void;
}

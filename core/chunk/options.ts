/** What the data path can be told, what it counts, and how it waits before it tries again. */
import type { Env } from "../env.ts";
import { type Errno, errnoOf, FsError } from "../errors.ts";

export interface DataPathOptions {
  /** Most bytes of written data in memory that are not stored yet, over all files; writers wait beyond. */
  readonly bufferBytes: number;
  /** Most bytes of read blocks kept in memory. */
  readonly cacheBytes: number;
  /** Uploads, and fetches, at the same time. */
  readonly uploads: number;
  readonly fetches: number;
  /** How far a sequential reader is read ahead of. */
  readonly readAheadBytes: number;
  /** A slice is finished when its first byte is this old, or its last. */
  readonly sliceAgeMs: number;
  readonly sliceIdleMs: number;
  /** Slices of one file that still grow, and that are not committed. */
  readonly openSlicesMax: number;
  readonly uncommittedSlicesMax: number;
  /** For how long passing trouble of a store is hidden by trying again. */
  readonly retryDeadlineMs: number;
  /** For how long a write waits for buffers while nothing moves. */
  readonly writeDeadlineMs: number;
  /** For how long a flush waits while nothing moves. */
  readonly stallMs: number;
  /** Objects not asked to be synced by anybody are synced when they are this old. */
  readonly lazySyncMs: number;
}

export const DATA_PATH_DEFAULTS: DataPathOptions = {
  bufferBytes: 96 << 20,
  cacheBytes: 96 << 20,
  uploads: 8,
  fetches: 8,
  readAheadBytes: 32 << 20,
  sliceAgeMs: 5_000,
  sliceIdleMs: 1_000,
  openSlicesMax: 1_000,
  uncommittedSlicesMax: 4_000,
  retryDeadlineMs: 10_000,
  writeDeadlineMs: 30_000,
  stallMs: 60_000,
  lazySyncMs: 60_000,
};

/** Totals since the start, for metrics. */
export interface DataCounters {
  uploads: number;
  bytesUploaded: number;
  uploadFailures: number;
  commits: number;
  slicesCommitted: number;
  commitFailures: number;
  slicesSynced: number;
  syncFailures: number;
  /** Fetches of blocks and of single pages from the store, and their bytes. */
  blocksRead: number;
  pagesRead: number;
  bytesRead: number;
  prefetches: number;
  cacheHits: number;
  cacheMisses: number;
  /** Failed fetches that were tried again, and reads that failed for good. */
  readRetries: number;
  readFailures: number;
  checksumErrors: number;
}

export function createCounters(): DataCounters {
  return {
    uploads: 0,
    bytesUploaded: 0,
    uploadFailures: 0,
    commits: 0,
    slicesCommitted: 0,
    commitFailures: 0,
    slicesSynced: 0,
    syncFailures: 0,
    blocksRead: 0,
    pagesRead: 0,
    bytesRead: 0,
    prefetches: 0,
    cacheHits: 0,
    cacheMisses: 0,
    readRetries: 0,
    readFailures: 0,
    checksumErrors: 0,
  };
}

const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 5_000;

/** How long to wait before attempt `attempt` (1: the first repetition). Jittered, so that clients do not march in step. */
export function backoffMs(env: Env, attempt: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt - 1, 20));
  return full * (0.5 + env.random() / 2);
}

/** What a user of the file is told: the few errors that write(2) and fsync(2) have for a failing disk. */
export function asFsError(error: unknown, what: string): FsError {
  if (error instanceof FsError) return error;
  const errno = errnoOf(error);
  const code: Errno = errno === "ENOSPC" || errno === "EDQUOT" ? errno : "EIO";
  return new FsError(code, `${what}: ${messageOf(error)}`, { cause: error });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

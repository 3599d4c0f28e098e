/**
 * ObjectStore: the contract between the data path and a bucket. Bodies are whole byte arrays of up to one block.
 *
 * Promises of every store, checked by tests/contract/object_store.ts:
 * - `put` is atomic: a reader sees the old object, the new one, or none; never a part. After it returns, `get`, `head`
 *   and `list` of any client see it.
 * - After `put` returns the object survives the death of the process; it survives power loss after `sync` of its key
 *   (a store whose puts are durable, like S3, does nothing there).
 * - Failures are StoreError. A missing object is kind `caller` with errno ENOENT (`isNoSuchObject`), a full bucket kind
 *   `fatal` with errno ENOSPC, a passing trouble kind `retry`. Stores do not retry for long themselves: the data path does.
 * - Every call settles: a store whose server may fall silent has timeouts of its own.
 * - The store keeps no reference to a body after the promise settles; until then the caller does not change it.
 */
import type { Env } from "../env.ts";

export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  /** Milliseconds since the epoch, by the store's clock. */
  readonly modifiedAtMs: number;
}

/** Bytes [start, end) of an object. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface ObjectStore {
  /** Creates or replaces. Keys are relative paths of [A-Za-z0-9._/-]; one with an empty, `.` or `..` part is refused. */
  put(key: string, body: Uint8Array): Promise<void>;
  /**
   * The object's bytes, or those of the range that exist: shorter at the object's end, empty past it. A store may place
   * them at the start of `into` and answer a view of it (saves an allocation of a block); it may also ignore `into`.
   * Until the promise settles the store owns `into`. If the bytes do not fit there, it is not used.
   */
  get(key: string, range?: ByteRange, into?: Uint8Array): Promise<Uint8Array>;
  /** Removes all; what is not there is not an error. */
  delete(keys: readonly string[]): Promise<void>;
  head(key: string): Promise<ObjectInfo | null>;
  /** Objects whose key starts with `prefix` and sorts after `after`, in key order (by code unit), at most `limit`. */
  list(prefix: string, options: { readonly after?: string; readonly limit: number }): Promise<ObjectInfo[]>;
  /** Returns when earlier puts of these keys survive power loss. Keys that are gone are ignored. */
  sync(keys: readonly string[]): Promise<void>;
  /** Free and total bytes where the store has such limits. */
  capacity?(): Promise<{ readonly totalBytes: number; readonly freeBytes: number }>;
  close(): Promise<void>;
}

export interface ObjectOpenOptions {
  /** `create`: make the bucket if it is missing, and prove that it can be written. */
  readonly mode: "create" | "open";
  readonly env: Env;
}

/** What an object store module exports. */
export interface ObjectPlugin {
  readonly apiVersion: 1;
  readonly kind: "object";
  readonly schemes: readonly string[];
  open(url: string, options: ObjectOpenOptions): Promise<ObjectStore>;
  redact(url: string): string;
}

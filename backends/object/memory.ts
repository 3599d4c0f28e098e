/**
 * Objects in this process's memory. `memory:` is a bucket of its own at every open; `memory:NAME` is shared by all that
 * open NAME in this process and lives until the process ends.
 *
 * Bodies are copied in and out: callers may change what they gave and what they got.
 */
import type { Env } from "../../core/env.ts";
import { StoreError } from "../../core/errors.ts";
import { checkObjectKey } from "../../core/chunk/object_key.ts";
import type { ByteRange, ObjectInfo, ObjectPlugin, ObjectStore } from "../../core/chunk/object_store.ts";

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modifiedAtMs: number;
}

/** What several stores of one name share. `sortedKeys` is null when it must be built again. */
interface Bucket {
  readonly objects: Map<string, StoredObject>;
  sortedKeys: string[] | null;
}

const namedBuckets = new Map<string, Bucket>();

function createBucket(): Bucket {
  return { objects: new Map(), sortedKeys: null };
}

/** A private bucket. `env` gives the modification times; without it they are all 0. */
export function createMemoryObjectStore(env?: Pick<Env, "now">): ObjectStore {
  return openBucket(createBucket(), env);
}

function openBucket(bucket: Bucket, env: Pick<Env, "now"> | undefined): ObjectStore {
  let closed = false;

  function check(key: string): void {
    if (closed) throw new StoreError("caller", "the object store is closed");
    checkObjectKey(key);
  }

  function info(key: string, object: StoredObject): ObjectInfo {
    return { key, size: object.bytes.length, modifiedAtMs: object.modifiedAtMs };
  }

  function keysInOrder(): string[] {
    return bucket.sortedKeys ??= [...bucket.objects.keys()].sort();
  }

  return {
    async put(key, body) {
      check(key);
      const now = env?.now();
      const modifiedAtMs = now === undefined ? 0 : now.sec * 1000 + Math.floor(now.nsec / 1e6);
      if (!bucket.objects.has(key)) bucket.sortedKeys = null;
      bucket.objects.set(key, { bytes: body.slice(), modifiedAtMs });
    },

    async get(key, range, into) {
      check(key);
      const object = bucket.objects.get(key);
      if (object === undefined) throw noSuchObject(key);
      const bytes = clip(object.bytes, range);
      if (into === undefined || bytes.length > into.length) return bytes.slice();
      into.set(bytes);
      return into.subarray(0, bytes.length);
    },

    async delete(keys) {
      for (const key of keys) check(key);
      for (const key of keys) {
        if (bucket.objects.delete(key)) bucket.sortedKeys = null;
      }
    },

    async head(key) {
      check(key);
      const object = bucket.objects.get(key);
      return object === undefined ? null : info(key, object);
    },

    async list(prefix, { after, limit }) {
      if (closed) throw new StoreError("caller", "the object store is closed");
      const keys = keysInOrder();
      const found: ObjectInfo[] = [];
      let i = firstAtOrAfter(keys, after !== undefined && after > prefix ? after : prefix);
      for (; i < keys.length && found.length < limit; i++) {
        const key = keys[i] as string;
        if (!key.startsWith(prefix)) break;
        const object = bucket.objects.get(key);
        if (object !== undefined && (after === undefined || key > after)) found.push(info(key, object));
      }
      return found;
    },

    async sync(keys) {
      for (const key of keys) check(key);
    },

    async close() {
      closed = true;
    },
  };
}

function noSuchObject(key: string): StoreError {
  return new StoreError("caller", `no such object: ${key}`, { errno: "ENOENT" });
}

function clip(bytes: Uint8Array, range: ByteRange | undefined): Uint8Array {
  return range === undefined ? bytes : bytes.subarray(range.start, Math.max(range.start, range.end));
}

/** Index of the first key that is not smaller than `key`. */
function firstAtOrAfter(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const plugin: ObjectPlugin = {
  apiVersion: 1,
  kind: "object",
  schemes: ["memory"],
  async open(url, { mode, env }) {
    const name = url.replace(/^memory:(\/\/)?/, "");
    if (name === "") return createMemoryObjectStore(env);
    let bucket = namedBuckets.get(name);
    if (bucket === undefined) {
      if (mode === "open") {
        throw new StoreError("caller", `there is no bucket ${url} in this process`, { errno: "ENOENT" });
      }
      bucket = createBucket();
      namedBuckets.set(name, bucket);
    }
    return openBucket(bucket, env);
  },
  redact: (url) => url,
};

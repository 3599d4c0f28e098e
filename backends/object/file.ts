/**
 * Objects as files of a local directory: `file:PATH` (relative or absolute) or `file:///PATH` (percent-encoded).
 *
 * An object is the file ROOT/KEY. Invariants:
 * - A file with a key's name is always whole: bodies are written to ROOT/~tmp/ and renamed. `~` is not in the alphabet
 *   of keys, so temporary files can neither be listed nor named by a key.
 * - Directories are made when a rename misses them and are never removed, so a put cannot lose its parent for good.
 * - `sync` flushes the files, their directories, and (once per directory and process) the directories above.
 *
 * Small bodies go by synchronous calls: one trip to Deno's thread pool costs more than writing 64 KiB to the page cache.
 * Large ones are written in pieces, because Deno copies what it is given and a fresh 4 MiB copy costs page faults.
 * What interleaves at the awaits: other puts of the same key (the last rename wins) and deletes; both are harmless.
 */
import { statfs } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Env } from "../../core/env.ts";
import { StoreError } from "../../core/errors.ts";
import { checkObjectKey } from "../../core/chunk/object_key.ts";
import type { ObjectInfo, ObjectPlugin, ObjectStore } from "../../core/chunk/object_store.ts";
import { listTree } from "./file_list.ts";
import { asStoreError, codeOf, yieldToOthers } from "./file_errors.ts";

const SYNCHRONOUS_BYTES_MAX = 64 << 10;
const WRITE_PIECE_BYTES = 1 << 20;
const DELETES_BEFORE_YIELD = 32;
const SYNCS_IN_PARALLEL = 8;
const TEMPORARY_DIRECTORY = "~tmp";
/** A temporary file older than this belongs to a process that died. */
const TEMPORARY_AGE_MS_MAX = 60 * 60 * 1000;
/** Renames that find no parent directory because somebody removes it all the time. */
const RENAME_ATTEMPTS_MAX = 5;
/** Directories remembered as synced; forgetting them costs some fsyncs. */
const SYNCED_DIRECTORIES_MAX = 100_000;

function createFileObjectStore(root: string, uniquePart: string): ObjectStore {
  const temporaryRoot = `${root}/${TEMPORARY_DIRECTORY}`;
  /** Directories whose own names are known to survive power loss. */
  const syncedDirectories = new Set<string>();
  let counter = 0;
  let closed = false;

  function pathOf(key: string): string {
    if (closed) throw new StoreError("caller", "the object store is closed");
    checkObjectKey(key);
    return `${root}/${key}`;
  }

  function openTemporary(path: string): Deno.FsFile {
    try {
      return Deno.openSync(path, { write: true, createNew: true });
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
      // The bucket itself must be there: one whose disk is not mounted is not silently made anew below it.
      try {
        Deno.mkdirSync(temporaryRoot);
      } catch (mkdirError) {
        if (codeOf(mkdirError) !== "EEXIST") throw mkdirError;
      }
      return Deno.openSync(path, { write: true, createNew: true });
    }
  }

  function renameIntoPlace(temporary: string, path: string): void {
    for (let attempt = 1;; attempt++) {
      try {
        return Deno.renameSync(temporary, path);
      } catch (error) {
        if (codeOf(error) !== "ENOENT" || attempt === RENAME_ATTEMPTS_MAX) throw error;
        Deno.mkdirSync(parentOf(path), { recursive: true });
      }
    }
  }

  async function put(key: string, body: Uint8Array): Promise<void> {
    const path = pathOf(key);
    const temporary = `${temporaryRoot}/${uniquePart}-${counter++}`;
    let made = false;
    try {
      const file = openTemporary(temporary);
      made = true;
      try {
        if (body.length <= SYNCHRONOUS_BYTES_MAX) {
          for (let done = 0; done < body.length;) done += file.writeSync(body.subarray(done));
        } else {
          for (let done = 0; done < body.length;) {
            done += await file.write(body.subarray(done, done + WRITE_PIECE_BYTES));
          }
        }
      } finally {
        file.close();
      }
      renameIntoPlace(temporary, path);
    } catch (error) {
      if (made) removeQuietly(temporary);
      throw asStoreError(error, `cannot store object ${key} in ${root}`);
    }
  }

  async function get(key: string, range?: { start: number; end: number }, into?: Uint8Array) {
    const path = pathOf(key);
    let file: Deno.FsFile | null = null;
    try {
      file = Deno.openSync(path, { read: true });
      const start = range?.start ?? 0;
      const wantedBytes = range === undefined ? file.statSync().size : Math.max(0, range.end - start);
      const buffer = into !== undefined && wantedBytes <= into.length
        ? into.subarray(0, wantedBytes)
        : new Uint8Array(wantedBytes);
      if (start > 0) file.seekSync(start, Deno.SeekMode.Start);
      let done = 0;
      while (done < wantedBytes) {
        const piece = done === 0 ? buffer : buffer.subarray(done);
        const count = wantedBytes <= SYNCHRONOUS_BYTES_MAX ? file.readSync(piece) : await file.read(piece);
        if (count === null || count === 0) break;
        done += count;
      }
      return done === wantedBytes ? buffer : buffer.subarray(0, done);
    } catch (error) {
      // A directory of that name is not an object.
      if (isMissing(error) || codeOf(error) === "EISDIR") {
        throw new StoreError("caller", `no such object: ${key}`, { errno: "ENOENT" });
      }
      throw asStoreError(error, `cannot read object ${key} in ${root}`);
    } finally {
      file?.close();
    }
  }

  async function syncPath(path: string): Promise<void> {
    let file: Deno.FsFile;
    try {
      file = Deno.openSync(path, { read: true });
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    try {
      await file.sync();
    } finally {
      file.close();
    }
  }

  async function syncAll(paths: readonly string[]): Promise<void> {
    let next = 0;
    const worker = async () => {
      while (next < paths.length) await syncPath(paths[next++] as string);
    };
    await Promise.all(Array.from({ length: Math.min(SYNCS_IN_PARALLEL, paths.length) }, worker));
  }

  return {
    put,
    get,

    async delete(keys) {
      const paths = keys.map(pathOf);
      let sinceYield = 0;
      for (const path of paths) {
        try {
          Deno.removeSync(path);
        } catch (error) {
          // EISDIR, ENOTEMPTY: a directory of that name is not an object.
          if (!isMissing(error) && codeOf(error) !== "EISDIR" && codeOf(error) !== "ENOTEMPTY") {
            throw asStoreError(error, `cannot delete objects in ${root}`);
          }
        }
        if (++sinceYield === DELETES_BEFORE_YIELD) {
          sinceYield = 0;
          await yieldToOthers();
        }
      }
    },

    async head(key) {
      const path = pathOf(key);
      try {
        const stat = Deno.statSync(path);
        return stat.isFile ? infoOf(key, stat) : null;
      } catch (error) {
        if (isMissing(error)) return null;
        throw asStoreError(error, `cannot look up object ${key} in ${root}`);
      }
    },

    async list(prefix, { after, limit }) {
      if (closed) throw new StoreError("caller", "the object store is closed");
      const found: ObjectInfo[] = [];
      try {
        for await (const key of listTree(root, prefix, after)) {
          if (found.length >= limit) break;
          try {
            found.push(infoOf(key, Deno.statSync(`${root}/${key}`)));
          } catch (error) {
            if (!isMissing(error)) throw error; // otherwise: deleted since the directory was read
          }
        }
      } catch (error) {
        throw asStoreError(error, `cannot list ${root}`);
      }
      return found;
    },

    async sync(keys) {
      const paths = keys.map(pathOf);
      const parents = new Set<string>();
      const above = new Set<string>();
      for (const path of paths) {
        const parent = parentOf(path);
        if (parents.has(parent)) continue;
        parents.add(parent);
        let directory = parent;
        while (directory.length > root.length && !syncedDirectories.has(directory)) {
          above.add(directory);
          directory = parentOf(directory);
        }
      }
      try {
        await syncAll(paths);
        // A directory's own name is kept by the one above it.
        const directories = new Set(parents);
        for (const directory of above) directories.add(parentOf(directory));
        await syncAll([...directories]);
      } catch (error) {
        throw asStoreError(error, `cannot sync objects in ${root}`);
      }
      if (syncedDirectories.size > SYNCED_DIRECTORIES_MAX) syncedDirectories.clear();
      for (const directory of above) syncedDirectories.add(directory);
    },

    async capacity() {
      return await new Promise((resolvePromise, reject) => {
        statfs(root, (error, stats) => {
          if (error !== null) return reject(asStoreError(error, `cannot ask ${root} for its free space`));
          resolvePromise({ totalBytes: stats.blocks * stats.bsize, freeBytes: stats.bavail * stats.bsize });
        });
      });
    },

    async close() {
      closed = true;
    },
  };
}

function infoOf(key: string, stat: Deno.FileInfo): ObjectInfo {
  return { key, size: stat.size, modifiedAtMs: stat.mtime?.getTime() ?? 0 };
}

function isMissing(error: unknown): boolean {
  // ENOTDIR: a part of the path is an object, so there is nothing below it.
  return codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It is swept when it is old.
  }
}

/** The directory that a `file:` URL names. */
export function directoryOf(url: string): string {
  const rest = url.replace(/^file:/, "");
  if (rest === "" || rest.includes("\0")) {
    throw new StoreError("caller", "file: needs a directory, for example file:/var/lib/slayerfs", {
      errno: "EINVAL",
    });
  }
  if (!rest.startsWith("//")) return resolve(rest);
  try {
    return resolve(fileURLToPath(url));
  } catch (error) {
    throw new StoreError("caller", `not a local directory: ${url} (write file:/PATH or file:///PATH)`, {
      errno: "EINVAL",
      cause: error,
    });
  }
}

/** Removes what processes that died have left behind; a bucket that cannot be written keeps it. */
function sweepTemporaryFiles(root: string, env: Env): void {
  const now = env.now();
  const oldestMs = now.sec * 1000 - TEMPORARY_AGE_MS_MAX;
  try {
    for (const entry of Deno.readDirSync(`${root}/${TEMPORARY_DIRECTORY}`)) {
      const path = `${root}/${TEMPORARY_DIRECTORY}/${entry.name}`;
      const modifiedAt = Deno.lstatSync(path).mtime;
      if (modifiedAt !== null && modifiedAt.getTime() < oldestMs) removeQuietly(path);
    }
  } catch (error) {
    if (!isMissing(error)) env.log("warn", `left-over temporary files in ${root} were not removed`);
  }
}

/** Proves that objects can be written, read and deleted. */
async function probe(store: ObjectStore, root: string, uniquePart: string): Promise<void> {
  const key = `probe-${uniquePart}`;
  const body = new TextEncoder().encode(uniquePart);
  await store.put(key, body);
  const seen = await store.get(key);
  await store.delete([key]);
  if (new TextDecoder().decode(seen) !== uniquePart) {
    throw new StoreError("fatal", `${root} does not give back what was written to it`);
  }
}

export const plugin: ObjectPlugin = {
  apiVersion: 1,
  kind: "object",
  schemes: ["file"],
  async open(url, { mode, env }) {
    const root = directoryOf(url);
    if (root === "/") {
      throw new StoreError("caller", "the root directory is not a bucket: name a directory of its own", {
        errno: "EINVAL",
      });
    }
    try {
      if (mode === "create") Deno.mkdirSync(root, { recursive: true });
      if (!Deno.statSync(root).isDirectory) {
        throw new StoreError("caller", `the bucket ${root} is not a directory`, { errno: "ENOTDIR" });
      }
    } catch (error) {
      if (codeOf(error) === "ENOENT") {
        throw new StoreError("caller", `the bucket directory ${root} does not exist`, { errno: "ENOENT" });
      }
      throw asStoreError(error, `cannot open the bucket ${root}`);
    }
    const uniquePart = `${Deno.pid}-${
      [...env.randomBytes(6)].map((b) => b.toString(16).padStart(2, "0")).join("")
    }`;
    const store = createFileObjectStore(root, uniquePart);
    if (mode === "create") await probe(store, root, uniquePart);
    sweepTemporaryFiles(root, env);
    return store;
  },
  redact: (url) => url,
};

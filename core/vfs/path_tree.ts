/** Whole directories for the library: listing them in bounded pieces, removing a tree. */
import { assert } from "../assert.ts";
import { errnoOf, FsError } from "../errors.ts";
import type { Target, Walk } from "./path_walk.ts";
import { type Caller, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Vfs } from "./types.ts";

/** An entry of a directory, as Deno.DirEntry has it. */
export interface DirEntry {
  /** The name as UTF-8; bytes that are none became U+FFFD, then only `nameBytes` leads to the file. */
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
  readonly isSymlink: boolean;
  readonly ino: number;
}

interface RawEntry {
  readonly name: Uint8Array;
  readonly ino: number;
  readonly mode: number;
}

/** Entries asked for at once: what bounds the memory of a listing. */
const BATCH_ENTRIES = 512;

/** Lists a directory. `withDirectory` walks to it and runs a function there; `explain` tells errors with the path. */
export async function* listDirectory(
  vfs: Vfs,
  caller: Caller,
  withDirectory: <T>(run: (walk: Walk, target: Target) => Promise<T>) => Promise<T>,
  explain: (error: unknown) => unknown,
): AsyncGenerator<DirEntry, void, undefined> {
  const opened = await withDirectory(async (walk, { ino, attr }) => {
    if ((attr.mode & S_IFMT) !== S_IFDIR) throw new FsError("ENOTDIR");
    const { handle } = await vfs.opendir(caller, ino);
    // The directory may be removed while it is listed: our reference lasts as long as the handle.
    return { ino, handle, referenced: walk.keep(ino) };
  });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  try {
    let cookie = 0;
    for (;;) {
      const batch = await readBatch(vfs, caller, opened.ino, opened.handle, cookie)
        .catch((error) => {
          throw explain(error);
        });
      for (const { name, ino, mode } of batch.entries) {
        const kind = mode & S_IFMT;
        yield {
          name: decoder.decode(name),
          nameBytes: name,
          isFile: kind === S_IFREG,
          isDirectory: kind === S_IFDIR,
          isSymlink: kind === S_IFLNK,
          ino,
        };
      }
      if (batch.cookie === cookie) return;
      cookie = batch.cookie;
    }
  } finally {
    await vfs.releasedir(opened.ino, opened.handle);
    if (opened.referenced) vfs.forget(opened.ino, 1);
  }
}

/** The next entries but `.` and `..`, and where to go on; the same cookie again at the end. */
async function readBatch(
  vfs: Vfs,
  caller: Caller,
  ino: number,
  handle: number,
  from: number,
): Promise<{ entries: RawEntry[]; cookie: number }> {
  const entries: RawEntry[] = [];
  let last = from;
  await vfs.readdir(caller, ino, handle, from, false, (name, entryIno, mode, cookie) => {
    if (entries.length === BATCH_ENTRIES) return false;
    last = cookie;
    const isDots = name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
    if (!isDots) entries.push({ name: name.slice(), ino: entryIno, mode });
    return true;
  });
  return { entries, cookie: last };
}

interface Level {
  readonly parent: number;
  readonly name: Uint8Array;
  readonly ino: number;
}

/**
 * Removes a directory with everything in it, depth first. Entries that others remove meanwhile are not errors; entries
 * that others add meanwhile are removed too, or rmdir says ENOTEMPTY in the end. The caller holds the reference to `ino`.
 */
export async function removeTree(
  vfs: Vfs,
  caller: Caller,
  parent: number,
  name: Uint8Array,
  ino: number,
): Promise<void> {
  // The way down. Each level but the first holds a reference of ours.
  const levels: Level[] = [{ parent, name, ino }];
  try {
    while (levels.length > 0) {
      const level = levels[levels.length - 1];
      assert(level !== undefined, "the way down is not empty");
      const child = await removeFiles(vfs, caller, level.ino);
      if (child !== null) {
        levels.push(child);
        continue;
      }
      await tolerateGone(() => vfs.rmdir(caller, level.parent, level.name));
      levels.pop();
      if (levels.length > 0) vfs.forget(level.ino, 1);
    }
  } finally {
    for (const level of levels.slice(1)) vfs.forget(level.ino, 1);
  }
}

/** Removes the files of a directory up to its first sub-directory, which it returns with a reference; null if none. */
async function removeFiles(vfs: Vfs, caller: Caller, ino: number): Promise<Level | null> {
  for (;;) {
    // Opened anew for each batch: what a listing shows after its entries were removed is unspecified.
    const { handle } = await vfs.opendir(caller, ino);
    let batch: RawEntry[];
    try {
      // The first batch may have had nothing but `.` and `..`, so go on until entries come or the end.
      let cookie = 0;
      for (;;) {
        const next = await readBatch(vfs, caller, ino, handle, cookie);
        batch = next.entries;
        if (batch.length > 0 || next.cookie === cookie) break;
        cookie = next.cookie;
      }
    } finally {
      await vfs.releasedir(ino, handle);
    }
    if (batch.length === 0) return null;
    for (const entry of batch) {
      if ((entry.mode & S_IFMT) !== S_IFDIR) {
        await tolerateGone(() => vfs.unlink(caller, ino, entry.name));
        continue;
      }
      try {
        const { attr } = await vfs.lookup(caller, ino, entry.name);
        return { parent: ino, name: entry.name, ino: attr.ino };
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
  }
}

async function tolerateGone(run: () => unknown): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

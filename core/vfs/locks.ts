/**
 * flock(2) and record locks on open files. Who owns what: a flock belongs to the open handle it was taken through, a record
 * lock to the owner that the kernel names (a process; for F_OFD_SETLK an open file description).
 *
 * - What an owner wrote under a lock is stored before the lock is given back or becomes a lock to read: who gets the lock
 *   next, on any client, sees it. A store that fails does not keep the lock: fsync and close report the data.
 * - A close gives back the closing owner's record locks on the file (POSIX); the end of a handle its flock and those record
 *   locks that were last taken through it, which are an open file description's.
 * - Without dirty data an unlock is under way when the call returns: requests that come later are decided after it.
 */
import { FsError } from "../errors.ts";
import { FILE_BYTES_MAX } from "../limits.ts";
import type { LockTable } from "../meta/lock_table.ts";
import type { VfsContext } from "./context.ts";
import {
  type Caller,
  type FileLock,
  type LockKind,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
  type Outdated,
} from "./types.ts";

export function locksOf(ctx: VfsContext) {
  const { engine, data, nodes, handles, env } = ctx;
  const { flocks, records } = engine.locks;
  /** Inode -> owner of record locks -> the handle they were last taken through. */
  const handleOf = new Map<number, Map<string, number>>();

  /** Runs an unlock or downgrade after what was written under the lock is stored. */
  function afterWrites(
    table: LockTable,
    ino: number,
    owner: string,
    change: () => Promise<boolean>,
  ): Promise<boolean> {
    if (!data.hasDirty(ino) || !table.mayWrite(ino, owner)) return change();
    return data.flush(ino, "ordered").catch((error) => {
      env.log("warn", `inode ${ino}: unlocked before its data could be stored: ${error.message}`);
    }).then(change);
  }

  async function set(
    table: LockTable,
    caller: Caller,
    ino: number,
    { owner, pid, start, end, type }: FileLock,
    wait: boolean,
  ): Promise<Outdated> {
    const change = () =>
      table.set(ino, { owner, pid, start, end, type, wait: wait && type !== "unlock" }, caller);
    const hasNews = await (type === "write" ? change() : afterWrites(table, ino, owner, change));
    return type === "unlock" || !hasNews ? "nothing" : outdated(ino);
  }

  /** The inode was read with the lock: what the kernel keeps may be from before. */
  function outdated(ino: number): Outdated {
    const node = nodes.get(ino);
    const sliceSeq = engine.cached(ino)?.sliceSeq ?? -1;
    if (node === undefined || (sliceSeq !== -1 && node.contentSeq === sliceSeq)) return "attributes";
    node.contentSeq = sliceSeq;
    return "contents";
  }

  function report(ino: number, error: Error): void {
    // The lock table goes on trying.
    env.log("error", `inode ${ino}: giving locks back failed: ${error.message}`);
  }

  return {
    async getlk(_caller: Caller, ino: number, handle: number, lock: FileLock): Promise<FileLock> {
      handles.file(handle);
      checkRange(lock);
      const { owner, start, end, type } = lock;
      if (type === "unlock") throw new FsError("EINVAL");
      const found = await records.test(ino, { owner, start, end, type });
      return found === null ? { ...lock, type: "unlock" } : { ...found, owner: "" };
    },

    async setlk(
      caller: Caller,
      ino: number,
      handle: number,
      lock: FileLock,
      { wait }: { readonly wait: boolean },
    ): Promise<Outdated> {
      const mode = handles.file(handle).flags & O_ACCMODE;
      checkRange(lock);
      if (lock.type === "read" && mode === O_WRONLY) throw new FsError("EBADF");
      if (lock.type === "write" && mode === O_RDONLY) throw new FsError("EBADF");
      if (lock.type !== "unlock") {
        let owners = handleOf.get(ino);
        if (owners === undefined) handleOf.set(ino, owners = new Map());
        owners.set(lock.owner, handle);
      }
      return await set(records, caller, ino, lock, wait);
    },

    async flock(
      caller: Caller,
      ino: number,
      handle: number,
      type: LockKind,
      { wait }: { readonly wait: boolean },
    ): Promise<Outdated> {
      handles.file(handle);
      const lock = { owner: String(handle), pid: caller.pid, start: 0, end: FILE_BYTES_MAX, type };
      return await set(flocks, caller, ino, lock, wait);
    },

    /** A descriptor is closed: undefined if its owner has no record locks on the file. Never rejects. */
    endOwner(ino: number, owner: string): Promise<void> | undefined {
      const owners = handleOf.get(ino);
      if (owners?.delete(owner) && owners.size === 0) handleOf.delete(ino);
      if (!records.mayHold(ino, owner)) return undefined;
      return records.endOwner(ino, owner).catch((error) => report(ino, error));
    },

    /** A handle is gone: undefined if nothing was locked through it. Never rejects. */
    endHandle(ino: number, handle: number): Promise<unknown> | undefined {
      const ends: Promise<void>[] = [];
      const owner = String(handle);
      if (flocks.mayHold(ino, owner)) ends.push(flocks.endOwner(ino, owner));
      const owners = handleOf.get(ino);
      if (owners !== undefined) {
        for (const [name, last] of owners) {
          if (last !== handle) continue;
          owners.delete(name);
          if (records.mayHold(ino, name)) ends.push(records.endOwner(ino, name));
        }
        if (owners.size === 0) handleOf.delete(ino);
      }
      return ends.length === 0 ? undefined : Promise.all(ends).catch((error) => report(ino, error));
    },
  };
}

function checkRange({ start, end }: FileLock): void {
  if (start < 0 || end < start) throw new FsError("EINVAL");
  // fcntl(2): an offset that cannot be represented. No file is that long.
  if (end > FILE_BYTES_MAX) throw new FsError("EOVERFLOW");
}

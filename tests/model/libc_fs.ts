/** A directory of the host (its own file system, or a mount of ours) that runs the model's commands by system calls. */
import * as libc from "../helpers/libc.ts";
import { type Command, fillBytes, type ModelFs, OK, type OpenHow, type Outcome, SLOTS } from "./commands.ts";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

/** `reopen` takes the file system away and brings it back, where it can. */
export function libcFs(root: string, reopen: () => Promise<void> = async () => {}): ModelFs {
  const slots: (number | null)[] = Array.from({ length: SLOTS }, () => null);
  /** Absolute paths of the model start at the directory under test; so do the targets of links. */
  const at = (path: string) => `${root}/${path}`;

  function closeSlot(slot: number): void {
    const fd = slots[slot] ?? null;
    slots[slot] = null;
    if (fd !== null) libc.close(fd);
  }

  function fd(slot: number): number {
    const found = slots[slot] ?? null;
    if (found === null) throw new libc.ErrnoError("EBADF", "slot", null);
    return found;
  }

  async function run(command: Command): Promise<Outcome> {
    switch (command.op) {
      case "open":
        closeSlot(command.slot);
        slots[command.slot] = openFile(at(command.path), command.how, command.mode);
        return OK;
      case "close":
        fd(command.slot);
        closeSlot(command.slot);
        return OK;
      case "read": {
        const into = new Uint8Array(command.length);
        return bytes(into, libc.read(fd(command.slot), into));
      }
      case "readAt": {
        const into = new Uint8Array(command.length);
        return bytes(into, libc.pread(fd(command.slot), into, command.offset));
      }
      case "write":
        return { value: libc.write(fd(command.slot), fillBytes(command.length, command.fill)) };
      case "writeAt":
        return {
          value: libc.pwrite(fd(command.slot), fillBytes(command.length, command.fill), command.offset),
        };
      case "seek":
        return { value: libc.lseek(fd(command.slot), command.offset, command.whence) };
      case "fstat":
        return statOutcome(libc.fstat(fd(command.slot)), 0);
      case "ftruncate":
        libc.ftruncate(fd(command.slot), command.length);
        return OK;
      case "fsync":
        libc.fsync(fd(command.slot));
        return OK;
      case "truncate":
        libc.truncate(at(command.path), command.length);
        return OK;
      case "stat":
        return statOutcome(libc.stat(at(command.path)), 0);
      case "lstat": {
        const stat = libc.lstat(at(command.path));
        const isLink = (stat.mode & S_IFMT) === S_IFLNK;
        return statOutcome(stat, isLink ? stat.size - readlink(command.path).length : 0);
      }
      case "readdir": {
        const kinds: Record<number, string> = { 4: "directory", 8: "file", 10: "symlink" };
        const names = libc.readdir(at(command.path)).map(({ name, type }) =>
          `${new TextDecoder().decode(name)} ${kinds[type] ?? type}`
        );
        return { names: names.sort() };
      }
      case "readlink":
        return { value: readlink(command.path) };
      case "mkdir":
        libc.mkdir(at(command.path), command.mode);
        return OK;
      case "remove":
        remove(at(command.path), false);
        return OK;
      case "removeTree":
        remove(at(command.path), true);
        return OK;
      case "rename": {
        const flags = { "": 0, noReplace: RENAME_NOREPLACE, exchange: RENAME_EXCHANGE }[command.flag];
        libc.rename(at(command.from), at(command.to), flags);
        return OK;
      }
      case "link":
        libc.link(at(command.from), at(command.to));
        return OK;
      case "symlink":
        libc.symlink(command.target.startsWith("/") ? at(command.target) : command.target, at(command.path));
        return OK;
      case "chmod":
        libc.chmod(at(command.path), command.mode);
        return OK;
      case "chown":
        libc.chown(at(command.path), command.uid, command.gid);
        return OK;
      case "utime": {
        const [atimeSec, mtimeSec] = [command.atimeMs, command.mtimeMs].map((ms) => Math.floor(ms / 1000));
        libc.utimes(at(command.path), {
          atimeSec: atimeSec ?? 0,
          atimeNsec: (command.atimeMs - (atimeSec ?? 0) * 1000) * 1e6,
          mtimeSec: mtimeSec ?? 0,
          mtimeNsec: (command.mtimeMs - (mtimeSec ?? 0) * 1000) * 1e6,
        });
        return OK;
      }
      case "reopen":
        for (let slot = 0; slot < SLOTS; slot++) closeSlot(slot);
        await reopen();
        return OK;
    }
  }

  function readlink(path: string): string {
    const target = new TextDecoder().decode(libc.readlink(at(path)));
    return target.startsWith(`${root}/`) ? target.slice(root.length + 1) : target;
  }

  return {
    async run(command) {
      try {
        return await run(command);
      } catch (error) {
        if (error instanceof libc.ErrnoError) return { error: error.code };
        throw error;
      }
    },
    close() {
      for (let slot = 0; slot < SLOTS; slot++) closeSlot(slot);
    },
  };
}

function openFile(path: string, how: OpenHow, mode: number): number {
  let flags: number = libc.O.RDONLY;
  if (how.write) flags = how.read ? libc.O.RDWR : libc.O.WRONLY;
  if (how.append) flags |= libc.O.APPEND;
  if (how.truncate) flags |= libc.O.TRUNC;
  if (how.create || how.createNew) flags |= libc.O.CREAT;
  if (how.createNew) flags |= libc.O.EXCL;
  const fd = libc.open(path, flags, mode);
  if ((libc.fstat(fd).mode & S_IFMT) !== S_IFDIR) return fd;
  // The model opens files only; Linux opens directories for reading too.
  libc.close(fd);
  throw new libc.ErrnoError("EISDIR", "open", libc.bytesOf(path));
}

function remove(path: string, recursive: boolean): void {
  try {
    libc.unlink(path);
  } catch (error) {
    if (!(error instanceof libc.ErrnoError) || error.code !== "EISDIR") throw error;
    // What rmdir refuses whatever is in it (`.`, `..`) keeps its contents.
    const isRemovable = !/(^|\/)\.{0,2}\/*$/.test(path.replace(/\/+$/, ""));
    if (recursive && isRemovable) {
      for (const { name } of libc.readdir(path)) remove(`${path}/${new TextDecoder().decode(name)}`, true);
    }
    libc.rmdir(path);
  }
}

function bytes(into: Uint8Array, count: number): Outcome {
  return { bytes: count === 0 ? null : into.subarray(0, count) };
}

/** `excess`: bytes of a link's target that only this host's prefix adds. */
function statOutcome(stat: libc.Stat, excess: number): Outcome {
  const isDirectory = (stat.mode & S_IFMT) === S_IFDIR;
  return {
    stat: {
      kind: isDirectory ? "directory" : (stat.mode & S_IFMT) === S_IFLNK ? "symlink" : "file",
      mode: stat.mode & 0o7777,
      nlink: stat.nlink,
      uid: stat.uid,
      gid: stat.gid,
      size: isDirectory ? 0 : stat.size - excess,
      atimeMs: stat.atimeSec * 1000 + stat.atimeNsec / 1e6,
      mtimeMs: stat.mtimeSec * 1000 + stat.mtimeNsec / 1e6,
    },
  };
}

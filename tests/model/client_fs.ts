/** The library API as a file system that runs the model's commands. */
import { FsError } from "../../core/errors.ts";
import { type FileInfo } from "../../core/vfs/file_info.ts";
import type { PathClient } from "../../core/vfs/path_api.ts";
import type { VolumeFile } from "../../core/vfs/path_file.ts";
import { type Command, fillBytes, type ModelFs, OK, type Outcome, SLOTS } from "./commands.ts";

/** `reopen` closes the volume, checks what should be checked then, and opens it again. */
export function clientFs(
  opened: PathClient,
  reopen: (current: PathClient) => Promise<PathClient>,
  end: (current: PathClient) => Promise<void>,
): ModelFs {
  let client = opened;
  const slots: (VolumeFile | null)[] = Array.from({ length: SLOTS }, () => null);

  async function closeSlot(slot: number): Promise<void> {
    const file = slots[slot];
    slots[slot] = null;
    await file?.close();
  }

  function file(slot: number): VolumeFile {
    const found = slots[slot];
    if (found === null || found === undefined) throw new FsError("EBADF");
    return found;
  }

  async function run(command: Command): Promise<Outcome> {
    switch (command.op) {
      case "open":
        await closeSlot(command.slot);
        slots[command.slot] = await client.open(command.path, { ...command.how, mode: command.mode });
        return OK;
      case "close":
        file(command.slot);
        await closeSlot(command.slot);
        return OK;
      case "read": {
        const into = new Uint8Array(command.length);
        return { bytes: filled(into, await file(command.slot).read(into)) };
      }
      case "readAt": {
        const into = new Uint8Array(command.length);
        return { bytes: filled(into, await file(command.slot).readAt(into, command.offset)) };
      }
      case "write":
        return { value: await file(command.slot).write(fillBytes(command.length, command.fill)) };
      case "writeAt": {
        const data = fillBytes(command.length, command.fill);
        return { value: await file(command.slot).writeAt(data, command.offset) };
      }
      case "seek":
        return { value: await file(command.slot).seek(command.offset, command.whence) };
      case "fstat":
        return statOutcome(await file(command.slot).stat());
      case "ftruncate":
        await file(command.slot).truncate(command.length);
        return OK;
      case "fsync":
        await file(command.slot).sync();
        return OK;
      case "truncate":
        await client.truncate(command.path, command.length);
        return OK;
      case "stat":
        return statOutcome(await client.stat(command.path));
      case "lstat":
        return statOutcome(await client.lstat(command.path));
      case "readdir": {
        const names: string[] = [];
        for await (const entry of client.readDir(command.path)) names.push(`${entry.name} ${kindOf(entry)}`);
        return { names: names.sort() };
      }
      case "readlink":
        return { value: await client.readLink(command.path) };
      case "mkdir":
        await client.mkdir(command.path, { mode: command.mode });
        return OK;
      case "remove":
        await client.remove(command.path);
        return OK;
      case "removeTree":
        await client.remove(command.path, { recursive: true });
        return OK;
      case "rename": {
        const { from, to, flag } = command;
        await client.rename(from, to, { noReplace: flag === "noReplace", exchange: flag === "exchange" });
        return OK;
      }
      case "link":
        await client.link(command.from, command.to);
        return OK;
      case "symlink":
        await client.symlink(command.target, command.path);
        return OK;
      case "chmod":
        await client.chmod(command.path, command.mode);
        return OK;
      case "chown":
        await client.chown(command.path, command.uid, command.gid);
        return OK;
      case "utime":
        await client.utime(command.path, new Date(command.atimeMs), new Date(command.mtimeMs));
        return OK;
      case "reopen":
        slots.fill(null);
        client = await reopen(client);
        return OK;
    }
  }

  return {
    async run(command) {
      try {
        return await run(command);
      } catch (error) {
        if (error instanceof FsError) return { error: error.code };
        throw error;
      }
    },
    close: () => end(client),
  };
}

function filled(into: Uint8Array, count: number | null): Uint8Array | null {
  return count === null ? null : into.subarray(0, count);
}

function kindOf(info: { isDirectory: boolean; isSymlink: boolean }): "file" | "directory" | "symlink" {
  if (info.isDirectory) return "directory";
  return info.isSymlink ? "symlink" : "file";
}

function statOutcome(info: FileInfo): Outcome {
  return {
    stat: {
      kind: kindOf(info),
      mode: info.mode & 0o7777,
      nlink: info.nlink,
      uid: info.uid,
      gid: info.gid,
      size: info.isDirectory ? 0 : info.size,
      atimeMs: info.atimeSpec.sec * 1000 + info.atimeSpec.nsec / 1e6,
      mtimeMs: info.mtimeSpec.sec * 1000 + info.mtimeSpec.nsec / 1e6,
    },
  };
}

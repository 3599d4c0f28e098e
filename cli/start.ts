/** `slayerfs start`: a working file system with one command and no decisions. */
import type { Command } from "commander";
import { UserError } from "../core/errors.ts";
import { backgroundHandshake } from "./background.ts";
import { ExitCode } from "./exit_code.ts";
import { makeVolume } from "./format.ts";
import { runMount } from "./mount.ts";
import { addMountFlags, givenMount, type MountFlags } from "./mount_flags.ts";
import { printLine } from "./output.ts";
import { defaultVolumeHome } from "./paths.ts";
import { selfCommand } from "./self.ts";

export function addStart(program: Command): void {
  const command = program.command("start")
    .summary("mount the default volume, made on first use")
    .description(
      "Mounts the default volume of this user at a directory, which is made if it is missing. The first time it " +
        "makes the volume: metadata in a libSQL file, data in a directory, both in SLAYERFS_HOME (or in " +
        "slayerfs/default of the user's data directory). Ctrl-C unmounts; the data stays for the next time.",
    )
    .argument("[MOUNTPOINT]", "an empty directory", "./mnt");
  addMountFlags(command)
    .addHelpText("after", () => {
      const self = selfCommand();
      return `
Examples:
  ${self} start ./mnt
  ${self} start -d ./mnt`;
    })
    .action(start);
}

async function start(mountPoint: string, _flags: MountFlags, command: Command): Promise<void> {
  const home = defaultVolumeHome();
  const metaUrl = `libsql:${home}/meta.db`;
  const { settings, flags } = givenMount(command, metaUrl, mountPoint);
  makeDirectory(home, 0o700);
  makeDirectory(settings.mountPoint, 0o755);
  const { created } = await makeVolume(metaUrl, "default", `file:${home}/objects`);
  // The one who waits for a child in the background has said this.
  if (backgroundHandshake() === null) printLine(`${created ? "Made" : "Using"} the volume in ${home}.`);
  await runMount(settings, flags);
}

function makeDirectory(path: string, mode: number): void {
  try {
    Deno.mkdirSync(path, { recursive: true, mode });
  } catch (error) {
    // Something is there, for example a dead mount: the checks of the mount point say what.
    if (error instanceof Deno.errors.AlreadyExists) return;
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`cannot make the directory ${path}: ${reason}`, ExitCode.mountPoint);
  }
}

/** `slayerfs mount`: makes a volume a directory of this machine. */
import type { Command } from "commander";
import { systemEnv } from "../core/env.ts";
import { backgroundHandshake, startInBackground } from "./background.ts";
import { addMountFlags, givenMount, type MountFlags } from "./mount_flags.ts";
import { printLine } from "./output.ts";
import { defaultLogPath, resolve } from "./paths.ts";
import { selfCommand } from "./self.ts";
import { type MountSettings, serveMount } from "./serve.ts";

export function addMount(program: Command): void {
  const command = program.command("mount")
    .summary("mount a volume")
    .description(
      "Mounts a volume at a directory. Stays in the foreground until Ctrl-C, SIGTERM or an unmount; with -d it " +
        "goes on in the background and returns when the mount answers.",
    )
    .argument("<META-URL>", "where the volume's metadata lives")
    .argument("<MOUNTPOINT>", "an empty directory");
  addMountFlags(command)
    .addHelpText("after", () => {
      const self = selfCommand();
      return `
Examples:
  ${self} mount libsql:/var/lib/slayerfs/photos.db /mnt/photos
  ${self} mount -d --log /var/log/photos.log libsql:/var/lib/slayerfs/photos.db /mnt/photos
  ${self} mount -o ro,noatime libsql:photos.db /mnt/photos
  ${self} mount --subdir 2024/june --all-squash 1000:1000 libsql:photos.db /mnt/june`;
    })
    .action(mount);
}

async function mount(
  metaUrl: string,
  mountPoint: string,
  _flags: MountFlags,
  command: Command,
): Promise<void> {
  const { settings, flags } = givenMount(command, metaUrl, mountPoint);
  await runMount(settings, flags);
}

/** How a mount in the background is started, and what is said about it. */
export interface BackgroundStart {
  /** The arguments of this program that start it. */
  readonly args: readonly string[];
  readonly quiet: boolean;
}

/** Serves a mount until it ends; with `background` in a process of its own, and this one returns once it answers. */
export async function runMount(
  settings: MountSettings,
  flags: MountFlags,
  { args, quiet }: BackgroundStart = { args: Deno.args, quiet: false },
): Promise<void> {
  const env = systemEnv(flags.verbose === true ? "debug" : "info");
  const handshake = backgroundHandshake();
  if (handshake !== null) {
    return await serveMount(settings, env, {
      ready: (volumeName) => {
        env.log("info", `mounted ${volumeName} at ${settings.mountPoint}`);
        handshake.ready();
      },
      note: (line) => env.log("info", line),
    });
  }
  if (flags.background !== true) {
    return await serveMount(settings, env, {
      ready: (volumeName) => {
        printLine(`Mounted ${volumeName} at ${settings.mountPoint}.`);
        printLine(`Ctrl-C unmounts it; from elsewhere: ${selfCommand()} umount ${settings.mountPoint}`);
      },
      note: printLine,
    });
  }
  const logPath = resolve(flags.log ?? defaultLogPath());
  const pid = await startInBackground(args, logPath);
  await Deno.stat(settings.mountPoint);
  if (quiet) return;
  printLine(`Mounted at ${settings.mountPoint} (process ${pid}, log ${logPath}).`);
  printLine(`Unmount it with: ${selfCommand()} umount ${settings.mountPoint}`);
}

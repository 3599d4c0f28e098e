/** `slayerfs umount`: ends a mount from another process. */
import type { Command } from "commander";
import { canonicalOf } from "../fuse/mount_point.ts";
import { unmountPath } from "../fuse/unmount.ts";
import { FsError, UserError } from "../core/errors.ts";
import { ExitCode, failingAs } from "./exit_code.ts";
import { switchFlag } from "./flags.ts";
import { describeHolders } from "./holders.ts";
import { isRunning, servingProcess } from "./mount_record.ts";
import { printLine } from "./output.ts";
import { resolve } from "./paths.ts";
import { selfCommand } from "./self.ts";

/** The kernel tells only a parent when a process ends. */
const WAIT_STEP_MS = 20;

interface UmountFlags {
  readonly lazy?: true;
}

export function addUmount(program: Command): void {
  program.command("umount")
    .summary("unmount a volume")
    .description("Unmounts a volume, and waits until its process has stored what is left and ended.")
    .argument("<MOUNTPOINT>", "where it is mounted")
    .addOption(switchFlag("-l, --lazy", "detach a mount that is in use; it ends with its last user"))
    .addHelpText("after", () => {
      const self = selfCommand();
      return `
Examples:
  ${self} umount /mnt/photos
  ${self} umount --lazy /mnt/photos`;
    })
    .action(umount);
}

async function umount(path: string, flags: UmountFlags): Promise<void> {
  const mountPoint = await failingAs(ExitCode.mountPoint, () => canonicalOf(resolve(path)));
  const server = servingProcess(mountPoint);
  try {
    await failingAs(ExitCode.mountPoint, () => unmountPath(mountPoint, { lazy: flags.lazy === true }));
  } catch (error) {
    if (!(error instanceof FsError && error.code === "EBUSY")) throw error;
    throw new UserError(
      `${mountPoint} is in use${describeHolders(mountPoint)}; stop that, or use --lazy`,
      ExitCode.busy,
    );
  }
  // A detached mount ends with its last user, whenever that is.
  if (server !== null && flags.lazy !== true) {
    while (isRunning(server)) await new Promise((resolve) => setTimeout(resolve, WAIT_STEP_MS));
  }
  printLine(`Unmounted ${mountPoint}.`);
}

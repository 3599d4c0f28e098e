/** `slayerfs umount`: ends a mount from another process. */
import type { Command } from "commander";
import { unmountPath } from "../fuse/mount.ts";
import { FsError, UserError } from "../core/errors.ts";
import { ExitCode, failingAs } from "./exit_code.ts";
import { switchFlag } from "./flags.ts";
import { describeHolders } from "./holders.ts";
import { printLine } from "./output.ts";
import { resolve } from "./paths.ts";
import { selfCommand } from "./self.ts";

export function addUmount(program: Command): void {
  program.command("umount")
    .summary("unmount a volume")
    .description("Unmounts a volume. Its process stores what is left and ends.")
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

async function umount(path: string, flags: { readonly lazy?: true }): Promise<void> {
  const mountPoint = resolve(path);
  try {
    await failingAs(ExitCode.mountPoint, () => unmountPath(mountPoint, { lazy: flags.lazy === true }));
  } catch (error) {
    if (!(error instanceof FsError && error.code === "EBUSY")) throw error;
    throw new UserError(
      `${mountPoint} is in use${describeHolders(mountPoint)}; stop that, or use --lazy`,
      ExitCode.busy,
    );
  }
  printLine(`Unmounted ${mountPoint}.`);
}

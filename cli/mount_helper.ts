/**
 * `mount.slayerfs`: how mount(8) starts the program for a file system of type slayerfs, with the words of a line in fstab.
 * A link /sbin/mount.slayerfs to the executable is enough (it is known by the name that it was started with); a script there
 * may run `slayerfs mount.slayerfs "$@"`. Source: mount(8), external helpers.
 */
import { type Command, Option } from "commander";
import { ExitCode } from "./exit_code.ts";
import { runMount } from "./mount.ts";
import { addMountFlags, givenMount } from "./mount_flags.ts";
import { printError } from "./report.ts";

export const HELPER_COMMAND = "mount.slayerfs";

interface HelperFlags {
  readonly o: readonly string[];
  readonly fake?: true;
  readonly sloppy?: true;
  readonly verbose?: true;
}

/** The arguments with the command that the program's own name stands for. */
export function withHelperCommand(args: readonly string[]): readonly string[] {
  return isHelperName(nameStartedWith()) ? [HELPER_COMMAND, ...args] : args;
}

/** mount(8) hands the code on: 1 is a wrong call, 32 a mount that failed. */
export function helperExitCode(code: number): number {
  return code === ExitCode.ok ? 0 : code === ExitCode.usage ? 1 : 32;
}

export function isHelperName(path: string): boolean {
  return /^(?:.*\/)?mount\.(?:fuse\.)?slayerfs$/.test(path);
}

/** argv[0], which Deno does not show. */
function nameStartedWith(): string {
  try {
    return Deno.readTextFileSync("/proc/self/cmdline").split("\0")[0] ?? "";
  } catch {
    return "";
  }
}

export function addMountHelper(program: Command): void {
  program.command(HELPER_COMMAND, { hidden: true })
    .description("What mount(8) runs for file systems of type slayerfs: mounts in the background.")
    .argument("<META-URL>")
    .argument("<MOUNTPOINT>")
    .addOption(
      new Option("-o <OPTIONS>").default([]).argParser((value: string, previous: string[]) => [
        ...previous,
        value,
      ]),
    )
    .addOption(new Option("-f, --fake", "check the options and mount nothing"))
    .addOption(new Option("-s, --sloppy", "pass over options that nobody knows"))
    .addOption(new Option("-n, --no-mtab", "means nothing: the kernel keeps the list of mounts"))
    .addOption(new Option("-v, --verbose", "say what was done"))
    .addOption(new Option("-t, --types <TYPE>", "means nothing: there is one type"))
    .action(mountHelper);
}

async function mountHelper(
  metaUrl: string,
  mountPoint: string,
  flags: HelperFlags,
  command: Command,
): Promise<void> {
  // All other flags of a mount stand among the options; the switches here are mount(8)'s.
  const asMount = addMountFlags(command.createCommand("mount")).exitOverride();
  asMount.parse(flags.o.flatMap((list) => ["-o", list]), { from: "user" });
  const given = givenMount(asMount, metaUrl, mountPoint, { tolerant: flags.sloppy === true });
  for (const word of given.unknown) printError(`-o ${word} is not known and passed over`);
  if (flags.fake === true) return;
  const args = [
    ...[HELPER_COMMAND, metaUrl, mountPoint],
    ...flags.o.flatMap((list) => ["-o", list]),
    ...(flags.sloppy === true ? ["-s"] : []),
  ];
  await runMount(
    { ...given.settings, showsUrl: true },
    { ...given.flags, background: true },
    { args, quiet: flags.verbose !== true },
  );
}

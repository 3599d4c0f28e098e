/** Assembles the command line and maps whatever happens to an exit code. */
import { Command, CommanderError } from "commander";
import { backgroundHandshake } from "./background.ts";
import { addFormat } from "./format.ts";
import { addMount } from "./mount.ts";
import { addMountHelper, HELPER_COMMAND, helperExitCode, withHelperCommand } from "./mount_helper.ts";
import { addStart } from "./start.ts";
import { addStatus } from "./status.ts";
import { addUmount } from "./umount.ts";
import { addVersion } from "./version_command.ts";
import { ExitCode } from "./exit_code.ts";
import { writeAll } from "./output.ts";
import { failureOf, reportFailure } from "./report.ts";
import { version } from "./version.ts";

/** Runs the program; the process should exit with the number that comes back. */
export async function main(given: readonly string[]): Promise<number> {
  const args = withHelperCommand(given);
  const code = await run(args);
  return args[0] === HELPER_COMMAND ? helperExitCode(code) : code;
}

async function run(args: readonly string[]): Promise<number> {
  try {
    const program = buildProgram();
    if (args.length === 0) {
      program.outputHelp({ error: true });
      return ExitCode.usage;
    }
    await program.parseAsync(args, { from: "user" });
    return ExitCode.ok;
  } catch (error) {
    // --help and --version end the parsing with an exception of exit code 0; their text is already out.
    if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.ok;
    backgroundHandshake()?.failed(failureOf(error));
    return reportFailure(error);
  }
}

/** All commands with their flags. */
export function buildProgram(): Command {
  const program = new Command("slayerfs")
    .description("A distributed POSIX file system: data in object storage, metadata in a database.")
    .version(version, "-V, --version", "print the version number")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [COMMAND]", "print help for a command")
    .exitOverride()
    // Errors are printed in one place, as one line.
    .configureOutput({ outputError: () => {}, writeOut: writeAll })
    .configureHelp({ helpWidth: 100 })
    .addHelpText(
      "after",
      `
Every flag can be given in the environment: --buffer-size is SLAYERFS_BUFFER_SIZE.
SLAYERFS_DEBUG=1 shows where an unexpected failure came from.`,
    );
  addStart(program);
  addFormat(program);
  addMount(program);
  addMountHelper(program);
  addUmount(program);
  addStatus(program);
  addVersion(program);
  return program;
}

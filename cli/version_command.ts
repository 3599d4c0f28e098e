/** `slayerfs version`. */
import type { Command } from "commander";
import { switchFlag } from "./flags.ts";
import { printJson, printLine } from "./output.ts";
import { build } from "./version.ts";

export function addVersion(program: Command): void {
  program.command("version")
    .summary("print the version")
    .description("Prints the version of slayerfs, its commit where known, and the Deno that runs it.")
    .addOption(switchFlag("--json", "print as JSON"))
    .action(async (flags: { json?: true }) => {
      const { version, commit } = await build();
      if (flags.json === true) {
        return printJson({ version, commit, deno: Deno.version.deno, target: Deno.build.target });
      }
      const source = commit === "" ? "" : ` (${commit})`;
      printLine(`slayerfs ${version}${source}, Deno ${Deno.version.deno}, ${Deno.build.target}`);
    });
}

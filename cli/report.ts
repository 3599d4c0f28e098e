/** Turns whatever a command threw into one line on stderr and an exit code. */
import { CommanderError } from "commander";
import { FsError, StoreError, UserError } from "../core/errors.ts";
import { ExitCode } from "./exit_code.ts";
import { printable } from "./output.ts";

export interface Failure {
  /** One line, without the leading `slayerfs: `. */
  readonly line: string;
  readonly exitCode: number;
}

/** What to tell the person about `error`. */
export function failureOf(error: unknown): Failure {
  if (error instanceof CommanderError) {
    return { line: oneLine(commanderMessage(error)), exitCode: error.exitCode === 0 ? 0 : ExitCode.usage };
  }
  if (error instanceof UserError) return { line: oneLine(error.message), exitCode: error.exitCode };
  if (error instanceof StoreError) return { line: oneLine(error.message), exitCode: ExitCode.store };
  const message = error instanceof Error ? error.message || error.name : String(error);
  const line = oneLine(error instanceof FsError ? message : `unexpected failure: ${message}`);
  return {
    line: debugging() ? line : `${line} (set SLAYERFS_DEBUG=1 to see where)`,
    exitCode: ExitCode.failure,
  };
}

/** Prints the failure as `slayerfs: ...` on stderr, with the stack when SLAYERFS_DEBUG is set, and returns its exit code. */
export function reportFailure(error: unknown): number {
  const failure = failureOf(error);
  printError(failure.line);
  if (debugging()) console.error(error);
  return failure.exitCode;
}

/** Prints one line `slayerfs: ...` on stderr. */
export function printError(line: string): void {
  console.error(`slayerfs: ${printable(line)}`);
}

function debugging(): boolean {
  return !["", "0", "false", "no"].includes(Deno.env.get("SLAYERFS_DEBUG") ?? "");
}

function commanderMessage(error: CommanderError): string {
  const message = error.message.replace(/^error: /, "");
  return `${message}; see --help`;
}

/** Also cuts a message that a driver made long. */
function oneLine(text: string): string {
  const line = text.replace(/\s*\n\s*/g, " ").trim();
  return line.length > 1000 ? `${line.slice(0, 1000)}...` : line;
}

/**
 * Flags that can also be given in the environment: `--buffer-size` is SLAYERFS_BUFFER_SIZE. Flags win over the
 * environment, the environment over defaults.
 */
import { Option } from "commander";
import { UserError } from "../core/errors.ts";
import { ExitCode } from "./exit_code.ts";

export interface ValueFlag<T> {
  /** As commander writes it: `--buffer-size <MiB>`. */
  readonly flags: string;
  readonly description: string;
  readonly parse: (text: string) => T;
  readonly defaultValue?: T;
  /** How the default is written in the help. */
  readonly defaultText?: string;
}

/** A flag with a value. */
export function valueFlag<T>(flag: ValueFlag<T>): Option {
  const option = new Option(flag.flags, flag.description);
  option.env(environmentName(option));
  option.argParser((text) => {
    try {
      return flag.parse(text);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`${option.long}: ${error.message}`, error.exitCode);
    }
  });
  if (flag.defaultValue !== undefined) option.default(flag.defaultValue, flag.defaultText);
  return option;
}

/** A flag that is on or off. In the environment 1, true, yes and on switch it on; 0, false, no, off and "" leave it off. */
export function switchFlag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  const name = environmentName(option);
  const value = Deno.env.get(name)?.toLowerCase();
  if (value === undefined || ["1", "true", "yes", "on"].includes(value)) return option.env(name);
  if (!["", "0", "false", "no", "off"].includes(value)) {
    throw new UserError(`${name} is neither on nor off; write 1 or 0`, ExitCode.usage);
  }
  return option;
}

/** A parser for flags whose value is a plain word. */
export function text(value: string): string {
  if (value === "") throw new UserError("the value is empty", ExitCode.usage);
  return value;
}

/** A parser for one of a few words. */
export function oneOf<const T extends string>(...choices: readonly T[]): (text: string) => T {
  return (value) => {
    const choice = choices.find((each) => each === value);
    if (choice === undefined) {
      throw new UserError(`${JSON.stringify(value)} is not one of ${choices.join(", ")}`, ExitCode.usage);
    }
    return choice;
  };
}

function environmentName(option: Option): string {
  return `SLAYERFS_${option.name().replaceAll("-", "_").toUpperCase()}`;
}

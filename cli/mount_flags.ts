/** The flags of a mount: on the command line, in the environment, among the options of -o. */
import { type Command, Option } from "commander";
import { DATA_PATH_DEFAULTS } from "../core/chunk/options.ts";
import { UserError } from "../core/errors.ts";
import { engineDefaults } from "../core/meta/context.ts";
import { ANONYMOUS_ID, type SquashOptions } from "../core/vfs/squash.ts";
import { ExitCode } from "./exit_code.ts";
import { switchFlag, text, valueFlag } from "./flags.ts";
import { type MountOptions, parseIds, parseMountOptions } from "./mount_options.ts";
import { defaultLogPath, resolve } from "./paths.ts";
import type { MountSettings } from "./serve.ts";
import { parseDurationMs, parseSizeBytes } from "./units.ts";

type Ids = ReturnType<typeof parseIds>;

/** What `mount` and `start` take. */
export interface MountFlags {
  readonly background?: boolean;
  readonly readOnly?: boolean;
  readonly o: readonly string[];
  readonly bufferSize: number;
  readonly cacheMemory: number;
  readonly attrCache: number;
  readonly entryCache: number;
  readonly log?: string;
  readonly subdir?: string;
  readonly rootSquash?: Ids;
  readonly allSquash?: Ids;
  readonly verbose?: boolean;
}

/** The flags that `mount` and `start` share. */
export function addMountFlags(command: Command): Command {
  return command
    .addOption(switchFlag("-d, --background", "run in the background; return once the mount answers"))
    .addOption(switchFlag("--read-only", "refuse every change"))
    .addOption(
      new Option(
        "-o <OPTIONS>",
        "options of mount(8) and long flags, as in fstab: ro, noatime, buffer-size=300 (can be repeated)",
      )
        .default([], "none")
        .argParser((value: string, previous: readonly string[]) => [...previous, value]),
    )
    .addOption(valueFlag({
      flags: "--buffer-size <MiB>",
      description: "most memory for written data that is not stored yet",
      parse: (value) => parseSizeBytes(value, "M"),
      defaultValue: DATA_PATH_DEFAULTS.bufferBytes,
      defaultText: String(DATA_PATH_DEFAULTS.bufferBytes >> 20),
    }))
    .addOption(valueFlag({
      flags: "--cache-memory <MiB>",
      description: "most memory for blocks that were read",
      parse: (value) => parseSizeBytes(value, "M"),
      defaultValue: DATA_PATH_DEFAULTS.cacheBytes,
      defaultText: String(DATA_PATH_DEFAULTS.cacheBytes >> 20),
    }))
    .addOption(valueFlag({
      flags: "--attr-cache <SECONDS>",
      description: "how long attributes may be kept",
      parse: parseDurationMs,
      defaultValue: engineDefaults.attrTtlMs,
      defaultText: String(engineDefaults.attrTtlMs / 1000),
    }))
    .addOption(valueFlag({
      flags: "--entry-cache <SECONDS>",
      description: "how long names may be kept",
      parse: parseDurationMs,
      defaultValue: engineDefaults.entryTtlMs,
      defaultText: String(engineDefaults.entryTtlMs / 1000),
    }))
    .addOption(valueFlag({
      flags: "--subdir <PATH>",
      description: "mount this directory of the volume instead of its root",
      parse: text,
    }))
    .addOption(valueFlag({
      flags: "--root-squash <UID:GID>",
      description: "root is this user on the mount, and may what that one may",
      parse: parseIds,
    }))
    .addOption(valueFlag({
      flags: "--all-squash <UID:GID>",
      description: "everybody is this user on the mount, and may what that one may",
      parse: parseIds,
    }))
    .addOption(valueFlag({
      flags: "--log <FILE>",
      description: `log of a mount in the background (default: ${defaultLogPath()})`,
      parse: text,
    }))
    .addOption(switchFlag("-v, --verbose", "log more"));
}

/** What was given, and what of -o nobody knows; it is empty unless `tolerant`. */
export interface GivenMount {
  readonly settings: MountSettings;
  readonly flags: MountFlags;
  readonly unknown: readonly string[];
}

/** Puts together what was given to a command with the flags of a mount. A flag on the command line wins over -o, that over
 *  the environment. */
export function givenMount(
  command: Command,
  metaUrl: string,
  mountPoint: string,
  { tolerant = false } = {},
): GivenMount {
  const { o: lists } = command.opts<MountFlags>();
  const flagNames = command.options.flatMap((option) => option.long?.slice(2) ?? []);
  const { options, flags: among, unknown } = parseMountOptions(lists, { flagNames, tolerant });
  for (const { name, value } of among) setFlag(command, name, value);
  const flags = command.opts<MountFlags>();
  const { fsName, atime, nodiratime, nodev, nosuid, noexec, allowOther, defaultPermissions } = options;
  const settings: MountSettings = {
    metaUrl,
    mountPoint: resolve(mountPoint),
    readOnly: flags.readOnly === true || options.readOnly === true,
    ...{ fsName, atime, nodiratime, nodev, nosuid, noexec, allowOther, defaultPermissions },
    subdir: flags.subdir,
    squash: squashOf(flags, options),
    bufferBytes: flags.bufferSize,
    cacheBytes: flags.cacheMemory,
    attrTtlMs: flags.attrCache,
    entryTtlMs: flags.entryCache,
  };
  return { settings, flags, unknown };
}

function setFlag(command: Command, name: string, value: string | undefined): void {
  const option = command.options.find((each) => each.long === `--${name}`);
  if (option === undefined) throw new Error(`no flag --${name}`);
  const key = option.attributeName();
  if (command.getOptionValueSource(key) === "cli") return;
  if (option.isBoolean() !== (value === undefined)) {
    const shape = option.isBoolean() ? "stands alone" : "needs a value";
    throw new UserError(`-o ${name} ${shape}`, ExitCode.usage);
  }
  const parsed = value === undefined ? true : option.parseArg?.(value, undefined) ?? value;
  command.setOptionValueWithSource(key, parsed, "config");
}

function squashOf(flags: MountFlags, options: MountOptions): SquashOptions {
  const all = flags.allSquash !== undefined || options.allSquash === true;
  const root = flags.rootSquash !== undefined || options.rootSquash === true;
  const { uid, gid, anonUid, anonGid } = options;
  if (!all && !root && (anonUid !== undefined || anonGid !== undefined)) {
    throw new UserError("-o anonuid= and anongid= need root_squash or all_squash", ExitCode.usage);
  }
  const ids = all ? flags.allSquash : flags.rootSquash;
  return {
    squash: all ? "all" : root ? "root" : "none",
    anonymous: {
      uid: ids?.uid ?? anonUid ?? ANONYMOUS_ID,
      gid: ids?.gid ?? anonGid ?? ANONYMOUS_ID,
    },
    owner: { uid, gid },
  };
}

/** `slayerfs mount`: makes a volume a directory of this machine. */
import { type Command, Option } from "commander";
import { DATA_PATH_DEFAULTS } from "../core/chunk/options.ts";
import { systemEnv } from "../core/env.ts";
import { engineDefaults } from "../core/meta/context.ts";
import { backgroundHandshake, startInBackground } from "./background.ts";
import { switchFlag, text, valueFlag } from "./flags.ts";
import { parseMountOptions } from "./mount_options.ts";
import { printLine } from "./output.ts";
import { defaultLogPath, resolve } from "./paths.ts";
import { selfCommand } from "./self.ts";
import { type MountSettings, serveMount } from "./serve.ts";
import { parseDurationMs, parseSizeBytes } from "./units.ts";

/** What `mount` and `start` take. */
export interface MountFlags {
  readonly background?: true;
  readonly readOnly?: true;
  readonly o: readonly string[];
  readonly bufferSize: number;
  readonly cacheMemory: number;
  readonly attrCache: number;
  readonly entryCache: number;
  readonly log?: string;
  readonly verbose?: true;
}

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
  ${self} mount --read-only libsql:photos.db /mnt/photos`;
    })
    .action(mount);
}

/** The flags that `mount` and `start` share. */
export function addMountFlags(command: Command): Command {
  return command
    .addOption(switchFlag("-d, --background", "run in the background; return once the mount answers"))
    .addOption(switchFlag("--read-only", "refuse every change"))
    .addOption(
      new Option("-o <OPTIONS>", "mount(8) options: ro, fsname=NAME (can be repeated)")
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
      flags: "--log <FILE>",
      description: `log of a mount in the background (default: ${defaultLogPath()})`,
      parse: text,
    }))
    .addOption(switchFlag("-v, --verbose", "log more"));
}

async function mount(metaUrl: string, mountPoint: string, flags: MountFlags): Promise<void> {
  await runMount(settingsOf(metaUrl, mountPoint, flags), flags);
}

/** Serves a mount until it ends; with `background` in a process of its own, and this one returns once it answers. */
export async function runMount(settings: MountSettings, flags: MountFlags): Promise<void> {
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
  const pid = await startInBackground(Deno.args, logPath);
  await Deno.stat(settings.mountPoint);
  printLine(`Mounted at ${settings.mountPoint} (process ${pid}, log ${logPath}).`);
  printLine(`Unmount it with: ${selfCommand()} umount ${settings.mountPoint}`);
}

export function settingsOf(metaUrl: string, mountPoint: string, flags: MountFlags): MountSettings {
  const options = parseMountOptions(flags.o);
  return {
    metaUrl,
    mountPoint: resolve(mountPoint),
    readOnly: flags.readOnly === true || options.readOnly === true,
    fsName: options.fsName,
    bufferBytes: flags.bufferSize,
    cacheBytes: flags.cacheMemory,
    attrTtlMs: flags.attrCache,
    entryTtlMs: flags.entryCache,
  };
}

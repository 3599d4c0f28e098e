/** `slayerfs format`: writes the settings of a new volume. Never touches a volume that is there. */
import type { Command } from "commander";
import { type Env, systemEnv } from "../core/env.ts";
import { UserError } from "../core/errors.ts";
import { BLOCK_BYTES_DEFAULT, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN } from "../core/limits.ts";
import { type FormatSettings, formatVolume, type VolumeFormat } from "../core/volume.ts";
import { ExitCode, failingAs } from "./exit_code.ts";
import { oneOf, switchFlag, text, valueFlag } from "./flags.ts";
import { printJson, printLine, printTable } from "./output.ts";
import { dirname, resolve } from "./paths.ts";
import { selfCommand } from "./self.ts";
import { type OpenMeta, openMeta, openMetaIfFormatted, openObjects } from "./stores.ts";
import { formatBytes, parseCount, parseSizeBytes } from "./units.ts";

const storages = ["file", "memory"] as const;
type Storage = typeof storages[number];

interface FormatFlags {
  readonly storage?: Storage;
  readonly bucket?: string;
  readonly blockSize: number;
  readonly capacity: number;
  readonly inodes: number;
  readonly acl: boolean;
  readonly json?: true;
}

export function addFormat(program: Command): void {
  program.command("format")
    .summary("make a new volume")
    .description(
      "Makes a new volume: its settings in the metadata store, its bucket for the data. " +
        "A volume that is already there is never changed: the same settings again are fine, others are refused.",
    )
    .argument("<META-URL>", "where the metadata lives, for example libsql:/var/lib/slayerfs/photos.db")
    .argument("<NAME>", "name of the volume: 3 to 63 of a-z, 0-9 and -")
    .addOption(valueFlag({
      flags: "--storage <KIND>",
      description: `kind of object storage: ${storages.join(", ")} (default: what --bucket says, or file)`,
      parse: oneOf(...storages),
    }))
    .addOption(valueFlag({
      flags: "--bucket <URL>",
      description: "where the data lives: file:PATH or a path (default: a directory beside a libsql: file)",
      parse: text,
    }))
    .addOption(valueFlag({
      flags: "--block-size <KiB>",
      description: "size of the blocks that files are cut into, a power of two",
      parse: parseBlockBytes,
      defaultValue: BLOCK_BYTES_DEFAULT,
      defaultText: "4096",
    }))
    .addOption(valueFlag({
      flags: "--capacity <GiB>",
      description: "most data that the volume may hold",
      parse: (value) => parseSizeBytes(value, "G"),
      defaultValue: 0,
      defaultText: "0: no limit",
    }))
    .addOption(valueFlag({
      flags: "--inodes <N>",
      description: "most files that the volume may hold",
      parse: parseCount,
      defaultValue: 0,
      defaultText: "0: no limit",
    }))
    .addOption(switchFlag("--no-acl", "without POSIX access control lists"))
    .addOption(switchFlag("--json", "print the settings as JSON"))
    .addHelpText("after", () => {
      const self = selfCommand();
      return `
Examples:
  ${self} format libsql:/var/lib/slayerfs/photos.db photos
  ${self} format libsql:photos.db photos --bucket /mnt/disk/photos --capacity 100`;
    })
    .action(format);
}

async function format(metaUrl: string, name: string, flags: FormatFlags): Promise<void> {
  const made = await makeVolume(metaUrl, name, bucketUrlOf(metaUrl, flags), {
    blockBytes: flags.blockSize,
    capacityBytes: flags.capacity,
    inodesMax: flags.inodes,
    acl: flags.acl,
  });
  if (flags.json === true) printJson({ created: made.created, format: made.format });
  else printFormatted(made.format, made.created, made.shownUrl);
}

export interface MadeVolume {
  readonly format: VolumeFormat;
  /** False if it was there already, with these settings. */
  readonly created: boolean;
  /** The META-URL as it may be shown. */
  readonly shownUrl: string;
}

/**
 * Makes a volume unless it is there. The order leaves nothing behind that looks like a volume when a step fails: settings are
 * compared before anything is made, and the bucket is proved writable before the volume is recorded.
 */
export async function makeVolume(
  metaUrl: string,
  name: string,
  bucket: string,
  limits: Pick<FormatSettings, "blockBytes" | "capacityBytes" | "inodesMax" | "acl"> = {},
): Promise<MadeVolume> {
  const env = systemEnv("warn");
  // The volume is whose who makes it.
  const root = { rootUid: Deno.uid() ?? 0, rootGid: Deno.gid() ?? 0 };
  const settings = { name, storage: schemeOf(bucket) ?? "file", bucket, ...limits, ...root };
  const record = async (meta: OpenMeta): Promise<MadeVolume> => {
    const { format, created } = await failingAs(
      ExitCode.alreadyFormatted,
      () => formatVolume(meta.store, settings, env),
    );
    return { format, created, shownUrl: meta.shownUrl };
  };
  const existing = await openMetaIfFormatted(metaUrl, env);
  if (existing !== null) {
    try {
      return await record(existing);
    } finally {
      await existing.store.close();
    }
  }
  await proveValid(settings, env);
  const metaPath = localPathOf(metaUrl);
  // Or else making the bucket beside it would make the directory, too: a typing error in the path should be told.
  if (metaPath !== undefined && !isDirectory(dirname(metaPath))) {
    throw new UserError(`the directory ${dirname(metaPath)} does not exist: create it first`, ExitCode.store);
  }
  const objects = await openObjects(bucket, "create", env);
  await objects.close();
  const meta = await openMeta(metaUrl, "create", env);
  try {
    return await record(meta);
  } finally {
    await meta.store.close();
  }
}

/** Refuses what no volume can have, by making one that nobody sees: the rules stay in one place. */
async function proveValid(settings: FormatSettings, env: Env): Promise<void> {
  const trial = await openMeta("memory:", "create", env);
  try {
    await failingAs(ExitCode.usage, () => formatVolume(trial.store, settings, env));
  } finally {
    await trial.store.close();
  }
}

function printFormatted(format: VolumeFormat, created: boolean, shownUrl: string): void {
  printLine(
    created
      ? `Formatted volume ${format.name}.`
      : `Volume ${format.name} is already formatted so; nothing changed.`,
  );
  printTable([
    ["metadata", shownUrl],
    ["data", format.bucket],
    ["block size", formatBytes(format.blockBytes)],
  ], "  ");
  if (format.storage === "memory") {
    printLine(
      "Its data lives in the memory of the process that opens it, and is gone with it: for tests only.",
    );
  }
  printLine(`Mount it with: ${selfCommand()} mount ${shownUrl} MOUNTPOINT`);
}

function parseBlockBytes(value: string): number {
  const blockBytes = parseSizeBytes(value, "K");
  if (blockBytes < BLOCK_BYTES_MIN || blockBytes > BLOCK_BYTES_MAX || (blockBytes & (blockBytes - 1)) !== 0) {
    const range = `${formatBytes(BLOCK_BYTES_MIN)} to ${formatBytes(BLOCK_BYTES_MAX)}`;
    throw new UserError(`a block is a power of two from ${range}`, ExitCode.usage);
  }
  return blockBytes;
}

/** The bucket as it is recorded: absolute, so that it means the same from every directory. */
export function bucketUrlOf(metaUrl: string, flags: Pick<FormatFlags, "bucket" | "storage">): string {
  const given = flags.bucket;
  const scheme = given === undefined ? undefined : schemeOf(given);
  const storage = flags.storage ?? scheme ?? "file";
  if (scheme !== undefined && scheme !== storage) {
    throw new UserError(`--storage ${storage} does not fit --bucket ${scheme}:...`, ExitCode.usage);
  }
  if (storage === "memory") return "memory:";
  if (storage !== "file") return given ?? "";
  if (given !== undefined) return `file:${resolve(given.replace(/^file:/i, ""))}`;
  const metaPath = localPathOf(metaUrl);
  if (metaPath === undefined) {
    throw new UserError("say where the data lives: --bucket file:PATH", ExitCode.usage);
  }
  return `file:${metaPath}.objects`;
}

/** The absolute path of metadata in a local file; undefined for any other store. */
function localPathOf(metaUrl: string): string | undefined {
  const path = /^(?:libsql|sqlite):(?!\/\/[^/])(?:\/\/)?(.+)$/i.exec(metaUrl)?.[1];
  return path === undefined ? undefined : resolve(path);
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function schemeOf(url: string): string | undefined {
  return /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
}

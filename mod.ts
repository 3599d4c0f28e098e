/**
 * slayerfs as a library: open a volume in a program and use its files, without a mount and without FUSE.
 *
 * ```ts
 * import { createMemoryVolume } from "./mod.ts";
 *
 * await using volume = await createMemoryVolume();
 * await volume.mkdir("/notes");
 * await volume.writeTextFile("/notes/today.txt", "hello\n");
 * console.log(await volume.readTextFile("/notes/today.txt"));
 * ```
 *
 * docs/library.md has more. What is exported here is the public interface; everything else may change.
 *
 * @module
 */
import { resolve } from "node:path";
import { metaPluginFor, objectPluginFor } from "./backends/registry.ts";
import type { ObjectStore } from "./core/chunk/object_store.ts";
import { type Env, systemEnv } from "./core/env.ts";
import { StoreError, UserError } from "./core/errors.ts";
import type { MetaStore } from "./core/meta/store.ts";
import type { ClientOptions, PathClient } from "./core/vfs/path_api.ts";
import { pathClient } from "./core/vfs/path_client.ts";
import {
  EXIT_NOT_FORMATTED,
  formatVolume as recordFormat,
  openVolume as openParts,
  readFormat,
  type VolumeFormat,
} from "./core/volume.ts";
import project from "./deno.json" with { type: "json" };

export { type Errno, FsError, UserError } from "./core/errors.ts";
export type { Timespec } from "./core/env.ts";
export type { FileInfo, TimeInput } from "./core/vfs/file_info.ts";
export type { ClientOptions, Path, PathClient, WriteOptions } from "./core/vfs/path_api.ts";
export { SeekMode, type VolumeFile } from "./core/vfs/path_file.ts";
export type { OpenOptions } from "./core/vfs/path_open.ts";
export type { DirEntry } from "./core/vfs/path_tree.ts";
export type { StatFs } from "./core/vfs/types.ts";
export type { VolumeFormat } from "./core/volume.ts";

/** An open volume. Close it, or bind it with `await using`: closing stores what was written and ends the session. */
export interface Volume extends PathClient {
  /** The settings it was formatted with. */
  readonly format: VolumeFormat;
  /** When it returns, everything written so far by this program survives power loss. */
  sync(): Promise<void>;
}

/** Options of {@link openVolume}. */
export interface OpenVolumeOptions extends ClientOptions {
  /** Refuse every change with EROFS. */
  readonly readOnly?: boolean;
}

/** Options of {@link formatVolume}: what cannot be changed later. */
export interface FormatOptions {
  /** Where the data lives: `file:PATH` or `memory:`. Default: a directory beside a `libsql:` file. */
  readonly bucket?: string;
  /** Files are cut into blocks of this size, one object each: a power of two. Default: 4 MiB. */
  readonly blockBytes?: number;
  /** Most data and files that the volume may hold, 0 for no limit. */
  readonly capacityBytes?: number;
  readonly inodesMax?: number;
}

/**
 * Makes a volume and returns its settings. A volume that is there already is never changed: the same settings are fine,
 * others are a {@link UserError}.
 *
 * @param metaUrl Where the metadata lives: `libsql:PATH`.
 * @param name Name of the volume, the first part of every object's key: 3 to 63 of a-z, 0-9 and -.
 */
export async function formatVolume(
  metaUrl: string,
  name: string,
  options: FormatOptions = {},
): Promise<VolumeFormat> {
  const env = systemEnv("warn");
  const bucket = bucketOf(metaUrl, options.bucket);
  // First the bucket, which proves that it can be written: without it there is to be no volume.
  await (await openObjects(bucket, "create", env)).close();
  const meta = await openMeta(metaUrl, "create", env);
  try {
    const { format } = await recordFormat(meta, formatSettings(name, bucket, options), env);
    return format;
  } finally {
    await meta.close();
  }
}

/**
 * Opens a volume. {@link UserError} if nothing is formatted there or a store cannot be opened.
 *
 * @param metaUrl Where the metadata lives: `libsql:PATH`. The bucket is found in the volume's settings.
 */
export async function openVolume(metaUrl: string, options: OpenVolumeOptions = {}): Promise<Volume> {
  const env = systemEnv("warn");
  const meta = await openMeta(metaUrl, "open", env);
  try {
    const format = await readFormat(meta);
    if (format === null) {
      const plugin = await metaPluginFor(metaUrl);
      throw new UserError(`there is no volume at ${plugin.redact(metaUrl)}`, EXIT_NOT_FORMATTED);
    }
    const objects = await openObjects(format.bucket, "open", env);
    try {
      return await assembled(meta, objects, format, env, options);
    } catch (error) {
      await objects.close();
      throw error;
    }
  } catch (error) {
    await meta.close();
    throw error;
  }
}

/** Makes a volume in this process's memory and opens it: for tests. It is gone when it is closed. */
export async function createMemoryVolume(
  options: OpenVolumeOptions & Omit<FormatOptions, "bucket"> = {},
): Promise<Volume> {
  const env = systemEnv("warn");
  const [meta, objects] = await Promise.all([
    openMeta("memory:", "create", env),
    openObjects("memory:", "create", env),
  ]);
  const { format } = await recordFormat(meta, formatSettings("memory", "memory:", options), env);
  return await assembled(meta, objects, format, env, options);
}

async function assembled(
  meta: MetaStore,
  objects: ObjectStore,
  format: VolumeFormat,
  env: Env,
  options: OpenVolumeOptions,
): Promise<Volume> {
  const volume = await openParts({
    meta,
    objects,
    format,
    env,
    options: {
      client: { host: Deno.hostname(), pid: Deno.pid, version: project.version },
      readOnly: options.readOnly,
      // No kernel stands before us.
      checkPermissions: true,
    },
  });
  const files = pathClient(volume.vfs, options);
  let closed: Promise<void> | undefined;
  const close = () =>
    closed ??= closeAll([files.close, volume.close, () => objects.close(), () => meta.close()]);
  return {
    ...files,
    format,
    async sync() {
      await volume.flush("synced");
      // Names and attributes too, if there was no data to store.
      await files.syncDir("/");
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Takes every step, whatever became of the one before; then throws the first failure. */
async function closeAll(steps: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) await step().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

function formatSettings(name: string, bucket: string, options: FormatOptions) {
  const { blockBytes, capacityBytes, inodesMax } = options;
  return { name, storage: schemeOf(bucket), bucket, blockBytes, capacityBytes, inodesMax };
}

/** The bucket as it is recorded: absolute, so that it means the same from every directory. */
function bucketOf(metaUrl: string, bucket: string | undefined): string {
  if (bucket === undefined) {
    const metaPath = /^libsql:(?!\/\/)(.+)$/.exec(metaUrl)?.[1];
    if (metaPath === undefined) throw new UserError("say where the data lives: bucket: file:PATH");
    return `file:${resolve(metaPath)}.objects`;
  }
  if (schemeOf(bucket) !== "file") return bucket;
  return `file:${resolve(bucket.replace(/^file:/i, ""))}`;
}

function schemeOf(url: string): string {
  return /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase() ?? "file";
}

async function openMeta(url: string, mode: "create" | "open", env: Env): Promise<MetaStore> {
  const plugin = await metaPluginFor(url);
  try {
    return await plugin.open(url, { mode, env });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const exitCode = error.kind === "caller" && error.errno === "ENOENT" ? EXIT_NOT_FORMATTED : 1;
    const message = `cannot open the metadata at ${plugin.redact(url)}: ${error.message}`;
    throw new UserError(message, exitCode, { cause: error });
  }
}

async function openObjects(url: string, mode: "create" | "open", env: Env): Promise<ObjectStore> {
  const plugin = await objectPluginFor(url);
  try {
    return await plugin.open(url, { mode, env });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`cannot open the bucket ${plugin.redact(url)}: ${error.message}`, 1, {
      cause: error,
    });
  }
}

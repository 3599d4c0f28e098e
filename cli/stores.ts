/** Opens the stores that URLs name, with errors that say which URL (secrets taken out) and what to do. */
import { metaPluginFor, objectPluginFor } from "../backends/registry.ts";
import type { ObjectStore } from "../core/chunk/object_store.ts";
import type { Env } from "../core/env.ts";
import { StoreError, UserError } from "../core/errors.ts";
import type { MetaStore } from "../core/meta/store.ts";
import { readFormat, type VolumeFormat } from "../core/volume.ts";
import { ExitCode, failingAs } from "./exit_code.ts";
import { selfCommand } from "./self.ts";

export interface OpenMeta {
  readonly store: MetaStore;
  /** The URL as it may be shown. */
  readonly shownUrl: string;
}

/** Opens the metadata store; `open` mode refuses a place where nothing is formatted. */
export async function openMeta(url: string, mode: "create" | "open", env: Env): Promise<OpenMeta> {
  const plugin = await failingAs(ExitCode.usage, () => metaPluginFor(url));
  const shownUrl = plugin.redact(url);
  try {
    return { store: await plugin.open(url, { mode, env }), shownUrl };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (mode === "open" && error.kind === "caller" && error.errno === "ENOENT") throw notFormatted(shownUrl);
    throw new UserError(`cannot open the metadata at ${shownUrl}: ${error.message}`, ExitCode.store, {
      cause: error,
    });
  }
}

/** Opens the metadata store if a volume is there; null if there is none. */
export async function openMetaIfFormatted(url: string, env: Env): Promise<OpenMeta | null> {
  let meta: OpenMeta;
  try {
    meta = await openMeta(url, "open", env);
  } catch (error) {
    if (error instanceof UserError && error.exitCode === ExitCode.notFormatted) return null;
    throw error;
  }
  if (await readFormat(meta.store) !== null) return meta;
  await meta.store.close();
  return null;
}

/** The volume's settings; a UserError when there are none. */
export async function formatOf(meta: OpenMeta): Promise<VolumeFormat> {
  const format = await readFormat(meta.store);
  if (format === null) throw notFormatted(meta.shownUrl);
  return format;
}

/** Opens the object store of a volume. `create` makes the bucket and proves that it can be written. */
export async function openObjects(url: string, mode: "create" | "open", env: Env): Promise<ObjectStore> {
  const plugin = await failingAs(ExitCode.usage, () => objectPluginFor(url));
  try {
    return await plugin.open(url, { mode, env });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`cannot open the bucket ${plugin.redact(url)}: ${error.message}`, ExitCode.store, {
      cause: error,
    });
  }
}

function notFormatted(shownUrl: string): UserError {
  return new UserError(
    `there is no volume at ${shownUrl}; make one with: ${selfCommand()} format ${shownUrl} NAME`,
    ExitCode.notFormatted,
  );
}

/**
 * Serves one mount from its first check to its end. What was opened is closed in reverse order whatever happens, and
 * nothing is mounted when anything before it failed.
 *
 * A first stop signal unmounts; if the mount is in use it says by whom and goes on serving, a second one detaches the
 * mount (its users keep what they have open), a third does not wait for them any longer. Data is stored in every case.
 */
import { type FuseMount, mountFuse } from "../fuse/mount.ts";
import { checkMountPoint } from "../fuse/mount_point.ts";
import type { Env } from "../core/env.ts";
import { FsError, NotStoredError, UserError } from "../core/errors.ts";
import { findPaths } from "../core/meta/find_paths.ts";
import type { MetaStore } from "../core/meta/store.ts";
import { openVolume, type Volume, type VolumeOptions } from "../core/volume.ts";
import { ExitCode, failingAs } from "./exit_code.ts";
import { describeHolders } from "./holders.ts";
import { recordMount } from "./mount_record.ts";
import { type StopSignals, takeStopSignals } from "./stop_signals.ts";
import { formatOf, openMeta, openObjects } from "./stores.ts";
import { version } from "./version.ts";

export interface MountSettings {
  readonly metaUrl: string;
  /** Absolute. */
  readonly mountPoint: string;
  readonly readOnly: boolean;
  readonly fsName?: string;
  readonly bufferBytes: number;
  readonly cacheBytes: number;
  readonly attrTtlMs: number;
  readonly entryTtlMs: number;
}

export interface MountEvents {
  /** The mount answers. */
  ready(volumeName: string): void;
  /** One line for the person who watches. */
  note(line: string): void;
}

/** Files that a message names. */
const FILES_NAMED_MAX = 20;

/** Mounts, serves until the mount ends, and stores what is left. */
export async function serveMount(settings: MountSettings, env: Env, events: MountEvents): Promise<void> {
  const signals = takeStopSignals();
  try {
    await failingAs(ExitCode.mountPoint, () => checkMountPoint(settings.mountPoint, env));
    const meta = await openMeta(settings.metaUrl, "open", env);
    try {
      const format = await formatOf(meta);
      const objects = await openObjects(format.bucket, "open", env);
      try {
        const options = volumeOptionsOf(settings);
        const volume = await openVolume({ meta: meta.store, objects, format, env, options });
        try {
          await serveVolume(volume, settings, env, events, signals);
        } catch (error) {
          // Closing may fail, too, and only the last error is reported.
          await closeVolume(
            volume,
            meta.store,
            `after ${error instanceof Error ? error.message : String(error)}: `,
          );
          throw error;
        }
        await closeVolume(volume, meta.store);
      } finally {
        await objects.close();
      }
    } finally {
      await meta.store.close();
    }
  } finally {
    signals.release();
  }
}

function volumeOptionsOf(settings: MountSettings): VolumeOptions {
  const { bufferBytes, cacheBytes, attrTtlMs, entryTtlMs } = settings;
  return {
    client: { host: Deno.hostname(), pid: Deno.pid, mountPoint: settings.mountPoint, version },
    readOnly: settings.readOnly,
    data: { bufferBytes, cacheBytes },
    engine: { attrTtlMs, entryTtlMs },
  };
}

/** Stores what is left. What cannot be stored is lost with this process, so it is said by name. */
async function closeVolume(volume: Volume, meta: MetaStore, context = ""): Promise<void> {
  try {
    await volume.close();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const what = error instanceof NotStoredError
      ? `data of these files could not be stored and is lost: ${await describeFiles(meta, error.inodes)}`
      : "not everything could be stored";
    throw new UserError(`${context}${what} (${reason})`, ExitCode.dataNotStored, { cause: error });
  }
}

async function describeFiles(meta: MetaStore, inodes: readonly number[]): Promise<string> {
  const shown = inodes.slice(0, FILES_NAMED_MAX);
  // The metadata may be out of reach as well.
  const paths = await findPaths(meta, shown).catch(() => new Map<number, string>());
  const more = inodes.length > shown.length ? ` and ${inodes.length - shown.length} more` : "";
  return shown.map((ino) => paths.get(ino) ?? `inode ${ino}`).join(", ") + more;
}

async function serveVolume(
  volume: Volume,
  settings: MountSettings,
  env: Env,
  events: MountEvents,
  signals: StopSignals,
): Promise<void> {
  if (signals.stopping) throw new UserError("stopped before the mount was made");
  const mount = await failingAs(ExitCode.mountPoint, () =>
    mountFuse(
      {
        mountPoint: settings.mountPoint,
        fsName: settings.fsName ?? `slayerfs:${volume.format.name}`,
        readOnly: settings.readOnly,
        posixAcl: volume.format.acl,
      },
      volume.vfs,
      env,
    ));
  const forgetRecord = recordMount(mount.mountPoint);
  try {
    events.ready(volume.format.name);
    await Promise.race([mount.done, unmountOnSignals(mount, volume, events, signals)]);
    events.note("Unmounted; storing what is left.");
  } finally {
    forgetRecord();
  }
}

/** Returns when the mount need not be waited for any longer. */
async function unmountOnSignals(
  mount: FuseMount,
  volume: Volume,
  events: MountEvents,
  signals: StopSignals,
): Promise<void> {
  await signals.next();
  try {
    await mount.unmount({ lazy: false });
    return await mount.done;
  } catch (error) {
    if (!isBusy(error)) throw error;
    const holders = describeHolders(mount.mountPoint);
    events.note(`${mount.mountPoint} is in use${holders}. Stop again to detach it all the same.`);
    // Whoever stops it the hard way now loses nothing that was written.
    await volume.flush("synced");
  }
  await signals.next();
  await mount.unmount({ lazy: true });
  events.note("Detached; waiting for those who still use it. Stop again not to wait.");
  await Promise.race([mount.done, signals.next()]);
}

function isBusy(error: unknown): boolean {
  return error instanceof FsError && error.code === "EBUSY";
}

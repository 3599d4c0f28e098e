/**
 * Serves one mount from its first check to its end. What was opened is closed in reverse order whatever happens, and
 * nothing is mounted when anything before it failed.
 *
 * A first stop signal unmounts; if the mount is in use it says by whom and goes on serving, a second one detaches the
 * mount (its users keep what they have open), a third does not wait for them any longer. Data is stored in every case.
 */
import { type FuseMount, type FuseMountOptions, mountFuse } from "../fuse/mount.ts";
import { checkMountPoint } from "../fuse/mount_point.ts";
import type { Env } from "../core/env.ts";
import { FsError, NotStoredError, UserError } from "../core/errors.ts";
import { findPaths } from "../core/meta/find_paths.ts";
import type { MetaStore } from "../core/meta/store.ts";
import type { AtimeMode } from "../core/vfs/atime.ts";
import { squashed, type SquashOptions } from "../core/vfs/squash.ts";
import { openSubdir } from "../core/vfs/subdir.ts";
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
  /** What mount(8) and df(1) show as the source; default: the volume's name. */
  readonly fsName?: string;
  /** The default is the META-URL instead, as in fstab: mount(8) knows by it that the line is mounted. */
  readonly showsUrl?: boolean;
  readonly atime?: AtimeMode;
  readonly nodiratime?: boolean;
  readonly nodev?: boolean;
  readonly nosuid?: boolean;
  readonly noexec?: boolean;
  readonly allowOther?: boolean;
  readonly defaultPermissions?: boolean;
  /** A directory of the volume that is mounted instead of its root. */
  readonly subdir?: string;
  readonly squash: SquashOptions;
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
          const source = settings.fsName ?? (settings.showsUrl ? meta.shownUrl : `slayerfs:${format.name}`);
          await serveVolume(volume, { ...settings, fsName: source }, env, events, signals);
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
  const { readOnly, atime, nodiratime, bufferBytes, cacheBytes, attrTtlMs, squash } = settings;
  const checkPermissions = !kernelChecks(settings);
  // A name that the kernel keeps lets everybody pass who comes while it does, whatever the directory says to him; that
  // matters unless all are the same user.
  const entryTtlMs = checkPermissions && squash.squash !== "all" ? 0 : settings.entryTtlMs;
  return {
    client: { host: Deno.hostname(), pid: Deno.pid, mountPoint: settings.mountPoint, version },
    ...{ readOnly, checkPermissions, atime, nodiratime },
    data: { bufferBytes, cacheBytes },
    engine: { attrTtlMs, entryTtlMs },
  };
}

/** The kernel knows everybody by the real name: it cannot check what the squashed may. */
function kernelChecks({ squash, defaultPermissions = true }: MountSettings): boolean {
  return defaultPermissions && squash.squash !== "all";
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
  const shown = settings.subdir === undefined ? volume.vfs : await openSubdir(volume.vfs, settings.subdir);
  const vfs = squashed(shown, settings.squash);
  const { mountPoint, readOnly, atime, nodiratime, nodev, nosuid, noexec, allowOther } = settings;
  const defaultPermissions = kernelChecks(settings);
  const options: FuseMountOptions = {
    ...{ mountPoint, readOnly, atime, nodiratime, nodev, nosuid, noexec, allowOther, defaultPermissions },
    fsName: settings.fsName ?? `slayerfs:${volume.format.name}`,
    posixAcl: volume.format.acl && defaultPermissions,
  };
  const mount = await failingAs(ExitCode.mountPoint, () => mountFuse(options, vfs, env));
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

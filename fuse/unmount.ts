/**
 * Takes mounts out of the tree: umount2(2) for root, fusermount3 for everybody else. Neither may run on the thread that
 * serves the mount, which has to answer requests meanwhile: the one is called on another thread, the other is a process.
 */
import { FsError, UserError } from "../core/errors.ts";
import { cString, libc, MNT_DETACH, UMOUNT_NOFOLLOW } from "./ffi.ts";
import { unmountByHelper } from "./fusermount.ts";
import { canonicalOf } from "./mount_point.ts";
import { FS_TYPE, mountAt, parseMountInfo } from "./mountinfo.ts";

export interface UnmountOptions {
  /** Detach a mount that is in use: it vanishes from the tree now and ends with its last user. */
  readonly lazy?: boolean;
}

/** Unmounts a mount of slayerfs from outside of its process. Throws UserError if there is none, FsError EBUSY if it is in
 *  use and not `lazy`. Returns when it is out of the tree; its process may still be storing data. */
export async function unmountPath(path: string, { lazy = false }: UnmountOptions = {}): Promise<void> {
  let mountPoint = await canonicalOf(path);
  let mount = mountAt(mountPoint);
  if (mount === undefined) {
    // Not a mount, so it can be looked at; it may be a symlink to one.
    mountPoint = await Deno.realPath(mountPoint).catch(() => mountPoint);
    mount = mountAt(mountPoint);
  }
  if (mount === undefined) throw new UserError(`nothing is mounted on ${path}`);
  if (mount.type !== FS_TYPE) {
    throw new UserError(`${path} is a mount of ${mount.type} (${mount.source}), not of slayerfs`);
  }
  await detach(mountPoint, mount.device, lazy);
}

/** Unmounts `mountPoint`, which is canonical, if it is the mount with this device number. Only this mount: what someone
 *  mounted on top of it stays, and what someone mounted elsewhere. */
export async function detach(mountPoint: string, deviceId: string | undefined, lazy: boolean): Promise<void> {
  const seen = mountAt(mountPoint);
  if (seen === undefined || (deviceId !== undefined && seen.device !== deviceId)) {
    if (!isMounted(deviceId)) return;
    throw new FsError("EBUSY", `something else is mounted on top of ${mountPoint}: unmount that first`);
  }
  if (Deno.uid() !== 0) return await unmountByHelper(mountPoint, lazy);
  const flags = (lazy ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW;
  if (await libc().symbols.umount2Async(cString(mountPoint), flags) === 0) return;
  // errno stayed on the other thread, but there are only so many reasons.
  if (mountAt(mountPoint)?.device !== seen.device) return;
  throw new FsError("EBUSY", `${mountPoint} is in use`);
}

function isMounted(deviceId: string | undefined): boolean {
  const mounts = parseMountInfo(Deno.readTextFileSync("/proc/self/mountinfo"));
  return mounts.some((mount) => mount.device === deviceId);
}

/**
 * Mounts a Vfs, serves it, unmounts it.
 *
 * The process must never touch its own mount synchronously: the call would wait for an answer that this very thread has to
 * give. So unmounting runs on another thread (it may have to wait for requests), and everything else about the mount is
 * read from /proc and /sys.
 */
import { FsError, UserError } from "../core/errors.ts";
import type { Env } from "../core/env.ts";
import type { Vfs } from "../core/vfs/types.ts";
import { serverDefaults, type ServerOptions } from "./context.ts";
import { type Device, openDevice } from "./device.ts";
import { errnoName, errnoNumbers } from "./errno.ts";
import {
  cString,
  libc,
  MNT_DETACH,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  UMOUNT_NOFOLLOW,
} from "./ffi.ts";
import { type RequestLoop, runLoop } from "./loop.ts";
import { canonicalOf, checkMountPoint } from "./mount_point.ts";
import { FS_TYPE, mountAt, parseMountInfo } from "./mountinfo.ts";
import { createFuseServer } from "./server.ts";

export interface FuseMountOptions extends Partial<ServerOptions> {
  readonly mountPoint: string;
  /** What mount(8) and df(1) show as the source. */
  readonly fsName: string;
  readonly readOnly?: boolean;
  /** Other users may use the mount. Default true: only root can mount so far. */
  readonly allowOther?: boolean;
  /** The kernel checks permissions by mode and owner. Default true. */
  readonly defaultPermissions?: boolean;
  /** Device files mean nothing here. */
  readonly nodev?: boolean;
  /** Set-user-id bits mean nothing here. */
  readonly nosuid?: boolean;
  readonly noexec?: boolean;
}

export interface UnmountOptions {
  /** Detach a mount that is in use: it vanishes from the tree now and ends with its last user. */
  readonly lazy?: boolean;
}

export interface FuseMount {
  /** Canonical. */
  readonly mountPoint: string;
  /** Resolves when the mount is gone, whoever unmounted it, and every request has been answered. Rejects if the device
   *  failed; the mount is detached then. */
  readonly done: Promise<void>;
  /** Resolves when the mount is out of the tree; `done` follows. Throws FsError EBUSY if it is in use and not `lazy`. */
  unmount(options?: UnmountOptions): Promise<void>;
}

const INIT_DEADLINE_MS = 10_000;

/** Resolves when the mount answers. Throws UserError, and has mounted nothing then. */
export async function mountFuse(options: FuseMountOptions, vfs: Vfs, env: Env): Promise<FuseMount> {
  if (Deno.uid() !== 0) throw new UserError("mounting needs root: run it with sudo");
  const mountPoint = await checkMountPoint(options.mountPoint, env);
  const settings: ServerOptions = { ...serverDefaults, ...definedOf(options) };
  const device = openDevice();
  try {
    attach(device, mountPoint, options, settings);
  } catch (error) {
    device.close();
    throw error;
  }
  const deviceId = mountAt(mountPoint)?.device;
  let loop: RequestLoop | undefined = undefined as RequestLoop | undefined;
  const server = createFuseServer({
    vfs,
    env,
    options: settings,
    reply: (bytes, length) => deliver(device, bytes, length, env),
    // It is no matter if the kernel does not know the file.
    notify: (message, waits) =>
      waits ? device.writeAsync(message) : void device.write(message, message.length),
    onSettled: () => loop?.wake(),
  });
  loop = runLoop({ device, server, env, payloadBytesMax: settings.maxWriteBytes });
  const done = serve(loop, device, mountPoint, deviceId, env);

  try {
    await within(
      INIT_DEADLINE_MS,
      env,
      Promise.race([
        server.negotiated,
        done.then(() => {
          throw new UserError(`${options.mountPoint} was unmounted before it was ready`);
        }),
      ]),
    );
  } catch (error) {
    await detach(mountPoint, deviceId, true).catch(() => {});
    loop.stop();
    await done.catch(() => {});
    throw error instanceof UserError ? error : new UserError(
      `cannot mount ${options.mountPoint}: ${error instanceof Error ? error.message : String(error)}`,
      1,
      { cause: error },
    );
  }
  await raiseReadAhead(deviceId, settings.maxReadAheadBytes, env);
  return {
    mountPoint,
    done,
    unmount: ({ lazy = false } = {}) => detach(mountPoint, deviceId, lazy),
  };
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

/** mount(2): the device becomes a file system at `mountPoint`. The kernel's INIT waits in the device then. */
function attach(
  device: Device,
  mountPoint: string,
  options: FuseMountOptions,
  settings: ServerOptions,
): void {
  const { readOnly = false, allowOther = true, defaultPermissions = true } = options;
  const { nodev = false, nosuid = false, noexec = false } = options;
  const flags = (readOnly ? MS_RDONLY : 0) | (nodev ? MS_NODEV : 0) | (nosuid ? MS_NOSUID : 0) |
    (noexec ? MS_NOEXEC : 0);
  const data = [
    `fd=${device.fd}`,
    "rootmode=40000",
    `user_id=${Deno.uid()}`,
    `group_id=${Deno.gid()}`,
    `max_read=${settings.maxWriteBytes}`,
    ...(allowOther ? ["allow_other"] : []),
    ...(defaultPermissions ? ["default_permissions"] : []),
  ].join(",");
  const { symbols, errno } = libc();
  const result = symbols.mount(
    cString(options.fsName),
    cString(mountPoint),
    cString(FS_TYPE),
    BigInt(flags),
    cString(data),
  );
  if (result !== 0) throw mountError(errno(), options.mountPoint);
}

function mountError(number: number, path: string): UserError {
  switch (number) {
    case errnoNumbers.EPERM:
    case errnoNumbers.EACCES:
      return new UserError(`no permission to mount: run as root, or give the container --cap-add SYS_ADMIN`);
    case errnoNumbers.ENODEV:
      return new UserError("the kernel has no FUSE: load its module (modprobe fuse)");
    default:
      return new UserError(`cannot mount on ${path}: ${errnoName(number)}`);
  }
}

/** Runs the loop to its end and closes the device, which ends the connection whatever else happens. */
async function serve(
  loop: RequestLoop,
  device: Device,
  mountPoint: string,
  deviceId: string | undefined,
  env: Env,
): Promise<void> {
  try {
    const end = await loop.done;
    if (end === "aborted") {
      env.log("warn", `the connection of ${mountPoint} was aborted by the administrator`);
      await detach(mountPoint, deviceId, true).catch(() => {});
    }
  } catch (error) {
    await detach(mountPoint, deviceId, true).catch(() => {});
    throw error;
  } finally {
    device.close();
  }
}

/** False if the kernel does not want the answer. */
function deliver(device: Device, bytes: Uint8Array, length: number, env: Env): boolean {
  const result = device.write(bytes as Uint8Array<ArrayBuffer>, length);
  if (result === 0) return true;
  // ENOENT: the request was aborted. ENODEV, ECONNABORTED: so was the mount; the loop will see it.
  const expected = [-errnoNumbers.ENOENT, -errnoNumbers.ENODEV, -103].includes(result);
  if (!expected) {
    env.log("error", `fuse: the kernel refused an answer of ${length} bytes: ${errnoName(-result)}`);
  }
  return false;
}

/** umount2(2) on another thread. Only this mount: what someone mounted on top of it stays. */
async function detach(mountPoint: string, deviceId: string | undefined, lazy: boolean): Promise<void> {
  const seen = mountAt(mountPoint);
  if (seen === undefined || (deviceId !== undefined && seen.device !== deviceId)) {
    if (!isMounted(deviceId)) return;
    throw new FsError("EBUSY", `something else is mounted on top of ${mountPoint}: unmount that first`);
  }
  const flags = (lazy ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW;
  if (await libc().symbols.umount2Async(cString(mountPoint), flags) === 0) return;
  // errno stayed on the other thread, but there are only so many reasons.
  if (mountAt(mountPoint)?.device !== seen.device) return;
  if (Deno.uid() !== 0) throw new UserError(`no permission to unmount ${mountPoint}: run it as root`);
  throw new FsError("EBUSY", `${mountPoint} is in use`);
}

function isMounted(deviceId: string | undefined): boolean {
  const mounts = parseMountInfo(Deno.readTextFileSync("/proc/self/mountinfo"));
  return mounts.some((mount) => mount.device === deviceId);
}

/** The kernel reads ahead 128 KiB unless told otherwise; INIT can only lower that. */
async function raiseReadAhead(deviceId: string | undefined, bytes: number, env: Env): Promise<void> {
  if (deviceId === undefined) return;
  try {
    await Deno.writeTextFile(`/sys/class/bdi/${deviceId}/read_ahead_kb`, String(Math.floor(bytes / 1024)));
  } catch (error) {
    // A container may have /sys read-only: sequential reads are slower then.
    env.log(
      "debug",
      `cannot set the read-ahead of the mount: ${error instanceof Error ? error.message : error}`,
    );
  }
}

function within<T>(ms: number, env: Env, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = env.timer(
    ms,
    () => late.reject(new UserError(`the kernel did not begin within ${ms / 1000} s`)),
  );
  return Promise.race([promise, late.promise]).finally(() => timer.cancel());
}

/** Without the options that are undefined, which would hide the defaults. */
function definedOf(options: FuseMountOptions): Partial<ServerOptions> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

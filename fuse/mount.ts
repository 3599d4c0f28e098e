/**
 * Mounts a Vfs, serves it, unmounts it.
 *
 * The process must never touch its own mount synchronously: the call would wait for an answer that this very thread has to
 * give. So mounting and unmounting are attach.ts and unmount.ts, which run elsewhere what could wait for requests, and
 * everything else about the mount is read from /proc and /sys.
 */
import { UserError } from "../core/errors.ts";
import type { Env } from "../core/env.ts";
import type { Vfs } from "../core/vfs/types.ts";
import { serverDefaults, type ServerOptions } from "./context.ts";
import { attach, type KernelMountOptions } from "./attach.ts";
import type { Device } from "./device.ts";
import { errnoName, errnoNumbers } from "./errno.ts";
import { type RequestLoop, runLoop } from "./loop.ts";
import { checkMountPoint } from "./mount_point.ts";
import { mountAt } from "./mountinfo.ts";
import { createFuseServer } from "./server.ts";
import { detach, type UnmountOptions } from "./unmount.ts";

export interface FuseMountOptions extends Partial<ServerOptions>, KernelMountOptions {
  readonly mountPoint: string;
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
  const mountPoint = await checkMountPoint(options.mountPoint, env);
  const settings: ServerOptions = { ...serverDefaults, ...definedOf(options) };
  const device = await attach(mountPoint, options, settings.maxWriteBytes);
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

/** Makes a connection a file system: mount(2) for root, fusermount3 for everybody else. The kernel's INIT waits in it then. */
import { UserError } from "../core/errors.ts";
import { type Device, deviceOf, openDevice } from "./device.ts";
import { errnoName, errnoNumbers } from "./errno.ts";
import {
  cString,
  libc,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_RELATIME,
  MS_STRICTATIME,
} from "./ffi.ts";
import { mountByHelper, othersMayBeAllowed } from "./fusermount.ts";
import { FS_TYPE } from "./mountinfo.ts";

/** What the kernel does about the mount; everything else is the file system's own. */
export interface KernelMountOptions {
  /** What mount(8) and df(1) show as the source. */
  readonly fsName: string;
  readonly readOnly?: boolean;
  /** Other users may use the mount. Default: yes if root mounts, no if somebody else does. */
  readonly allowOther?: boolean;
  /** The kernel checks permissions by mode and owner. Default true. */
  readonly defaultPermissions?: boolean;
  /** Device files mean nothing here. Always so if a user other than root mounts. */
  readonly nodev?: boolean;
  /** Set-user-id bits mean nothing here. Always so if a user other than root mounts. */
  readonly nosuid?: boolean;
  readonly noexec?: boolean;
  /** Which rule of access times the mount table names. The file system applies it, not the kernel. */
  readonly atime?: "relatime" | "strictatime" | "noatime";
  readonly nodiratime?: boolean;
}

/** `mountPoint` is canonical. Throws UserError, and has mounted nothing then. */
export async function attach(
  mountPoint: string,
  options: KernelMountOptions,
  maxReadBytes: number,
): Promise<Device> {
  if (Deno.uid() !== 0) return await attachByHelper(mountPoint, options, maxReadBytes);
  const device = openDevice();
  try {
    mount(device, mountPoint, options, maxReadBytes);
  } catch (error) {
    device.close();
    throw error;
  }
  return device;
}

function mount(device: Device, mountPoint: string, options: KernelMountOptions, maxReadBytes: number): void {
  const data = [
    `fd=${device.fd}`,
    "rootmode=40000",
    `user_id=${Deno.uid()}`,
    `group_id=${Deno.gid()}`,
    ...fuseOptions(options, maxReadBytes, options.allowOther ?? true),
  ].join(",");
  const { symbols, errno } = libc();
  const result = symbols.mount(
    cString(options.fsName),
    cString(mountPoint),
    cString(FS_TYPE),
    BigInt(flagsOf(options)),
    cString(data),
  );
  if (result !== 0) throw mountError(errno(), mountPoint);
}

async function attachByHelper(
  mountPoint: string,
  options: KernelMountOptions,
  maxReadBytes: number,
): Promise<Device> {
  const allowOther = options.allowOther ?? false;
  if (allowOther && !othersMayBeAllowed()) {
    throw new UserError(
      "-o allow_other is for root only here: root can permit it with a line user_allow_other in /etc/fuse.conf",
    );
  }
  return deviceOf(await mountByHelper(mountPoint, helperOptions(options, maxReadBytes, allowOther)));
}

/** What fusermount3 is told after -o. It adds nosuid and nodev itself, and has no words for relatime and strictatime. */
export function helperOptions(
  options: KernelMountOptions,
  maxReadBytes: number,
  allowOther: boolean,
): string {
  const [kind, subtype] = FS_TYPE.split(".");
  // Commas end an option unless they are escaped (do_mount in fusermount.c).
  const name = options.fsName.replace(/[\\,]/g, "\\$&");
  return [
    `fsname=${name}`,
    `subtype=${subtype ?? kind}`,
    "nosuid",
    "nodev",
    ...(options.readOnly ? ["ro"] : []),
    ...(options.noexec ? ["noexec"] : []),
    ...(options.atime === "noatime" ? ["noatime"] : []),
    ...(options.nodiratime ? ["nodiratime"] : []),
    ...fuseOptions(options, maxReadBytes, allowOther),
  ].join(",");
}

/** Options of the FUSE file system itself: fuse(4). */
function fuseOptions(
  { defaultPermissions = true }: KernelMountOptions,
  maxReadBytes: number,
  allowOther: boolean,
): string[] {
  return [
    `max_read=${maxReadBytes}`,
    ...(allowOther ? ["allow_other"] : []),
    ...(defaultPermissions ? ["default_permissions"] : []),
  ];
}

function flagsOf(options: KernelMountOptions): number {
  const atimeFlags = { relatime: MS_RELATIME, strictatime: MS_STRICTATIME, noatime: MS_NOATIME };
  return (options.readOnly ? MS_RDONLY : 0) | (options.nodev ? MS_NODEV : 0) |
    (options.nosuid ? MS_NOSUID : 0) | (options.noexec ? MS_NOEXEC : 0) |
    (options.nodiratime ? MS_NODIRATIME : 0) | (options.atime === undefined ? 0 : atimeFlags[options.atime]);
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

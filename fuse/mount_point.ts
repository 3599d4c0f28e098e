/**
 * What is checked before anything is mounted, each with one clear line. Nothing here can hang on a mount that does not
 * answer: /proc/self/mountinfo is asked first, and a probe of a mount has a deadline.
 */
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import type { Env } from "../core/env.ts";
import { cString, libc, MNT_DETACH, UMOUNT_NOFOLLOW } from "./ffi.ts";
import { unmountByHelper } from "./fusermount.ts";
import { FS_TYPE, mountAt, type MountInfo } from "./mountinfo.ts";

const PROBE_MS = 5000;
/** Dead mounts on top of each other that are cleaned up. */
const DEAD_MAX = 16;

/**
 * Makes sure that `path` can be mounted on and returns its canonical form. A dead mount of slayerfs that a killed process
 * left there is detached, and said so. Throws UserError.
 */
export async function checkMountPoint(path: string, env: Env): Promise<string> {
  let mountPoint = await canonicalOf(path);
  for (let i = 0;; i++) {
    const mount = mountAt(mountPoint);
    if (mount === undefined) break;
    if (i === DEAD_MAX || await probe(mountPoint, env) !== "dead") throw alreadyMounted(path, mount);
    if (mount.type !== FS_TYPE) {
      throw new UserError(
        `a dead ${mount.type} mount (${mount.source}) is on ${path}: remove it with umount -l ${path}`,
      );
    }
    if (!await removeDead(mountPoint)) {
      throw new UserError(`a dead mount is on ${path}, and it cannot be removed: umount -l ${path} as root`);
    }
    env.log(
      "warn",
      `removed a dead mount of ${mount.source} from ${path}: its process ended without unmounting`,
    );
  }
  const info = await lookAt(path, () => Deno.lstat(mountPoint));
  if (info.isSymlink) {
    mountPoint = await lookAt(path, () => Deno.realPath(mountPoint));
    return checkMountPoint(mountPoint, env);
  }
  if (!info.isDirectory) throw new UserError(`the mount point ${path} is not a directory`);
  await lookAt(path, async () => {
    for await (const _ of Deno.readDir(mountPoint)) {
      throw new UserError(`the mount point ${path} is not empty: mount on an empty directory`);
    }
  });
  return mountPoint;
}

async function removeDead(mountPoint: string): Promise<boolean> {
  if (Deno.uid() !== 0) return await unmountByHelper(mountPoint, true).then(() => true, () => false);
  return await libc().symbols.umount2Async(cString(mountPoint), MNT_DETACH | UMOUNT_NOFOLLOW) === 0;
}

/** The canonical path, found without touching what may be mounted on it; a symlink as last part stays. */
export function canonicalOf(path: string): Promise<string> {
  const absolute = resolve(path);
  if (absolute === "/") return Promise.resolve(absolute);
  return lookAt(path, async () => join(await Deno.realPath(dirname(absolute)), basename(absolute)));
}

function alreadyMounted(path: string, mount: MountInfo): UserError {
  return mount.type === FS_TYPE
    ? new UserError(
      `${path} is already mounted (${mount.source}): unmount it first (slayerfs umount ${path})`,
    )
    : new UserError(
      `${path} is already a mount point of ${mount.type} (${mount.source}): choose another directory`,
    );
}

/** Does the file system behind the mount answer? Asked on another thread, so it may be served by this process. */
async function probe(mountPoint: string, env: Env): Promise<"alive" | "dead" | "silent"> {
  const timeUp = Promise.withResolvers<"silent">();
  const timer = env.timer(PROBE_MS, () => timeUp.resolve("silent"));
  const answer = Deno.stat(mountPoint).then(
    () => "alive" as const,
    (error) => codeOf(error) === "ENOTCONN" ? "dead" as const : "alive" as const,
  );
  const result = await Promise.race([answer, timeUp.promise]);
  timer.cancel();
  return result;
}

/** Runs a look at the mount point; what it throws becomes one line. */
async function lookAt<T>(path: string, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(describe(path, codeOf(error), error), 1, { cause: error });
  }
}

function describe(path: string, code: string | undefined, error: unknown): string {
  switch (code) {
    case "ENOENT":
      return `the mount point ${path} does not exist: create it with mkdir -p ${path}`;
    case "ENOTDIR":
      return `the mount point ${path} is not a directory`;
    case "EACCES":
    case "EPERM":
      return `no permission to look at the mount point ${path}`;
    case "ENOTCONN":
      return `the mount point ${path} lies in a dead mount: unmount that first`;
    case "ELOOP":
      return `the mount point ${path} is a loop of symbolic links`;
    default:
      return `cannot use the mount point ${path}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

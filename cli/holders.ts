/** Who keeps a mount busy: looked up in /proc, which never asks the mount itself and so cannot hang on it. */
import { parseMountInfo } from "../fuse/mountinfo.ts";
import { printable } from "./output.ts";

export interface Holder {
  readonly pid: number;
  readonly name: string;
  /** What it holds, for example `current directory` or a path below the mount. */
  readonly what: string;
}

/** Processes with a working directory, a root, an executable, a mapping or an open file at or below `mountPoint`.
 *  One line each, at most `limit`. Processes that this user may not look into are not seen. */
export function holdersOf(mountPoint: string, limit = 5): Holder[] {
  const holders: Holder[] = [];
  for (const pid of processIds()) {
    if (holders.length >= limit) break;
    if (pid === Deno.pid) continue;
    const what = heldBy(pid, mountPoint);
    if (what !== null) holders.push({ pid, name: processName(pid), what });
  }
  return holders;
}

/** ` (held by bash 4711: current directory)`, or nothing when nobody is seen. */
export function describeHolders(mountPoint: string): string {
  const holders = [
    ...mountsBelow(mountPoint).map((path) => `the mount at ${printable(path)}`),
    ...holdersOf(mountPoint).map((each) => `${each.name} ${each.pid}: ${printable(each.what)}`),
  ];
  return holders.length === 0 ? "" : ` (held by ${holders.join("; ")})`;
}

/** A file system that carries another one stays, too. */
function mountsBelow(mountPoint: string, limit = 5): string[] {
  return parseMountInfo(Deno.readTextFileSync("/proc/self/mountinfo"))
    .map((mount) => mount.mountPoint)
    .filter((path) => path !== mountPoint && isBelow(path, mountPoint))
    .slice(0, limit);
}

function processIds(): number[] {
  try {
    return [...Deno.readDirSync("/proc")].map((entry) => Number(entry.name)).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function heldBy(pid: number, mountPoint: string): string | null {
  const links: readonly [link: string, what: string][] = [
    ["cwd", "current directory"],
    ["root", "root directory"],
    ["exe", "running program"],
  ];
  for (const [link, what] of links) {
    if (isBelow(linkTarget(`/proc/${pid}/${link}`), mountPoint)) return what;
  }
  try {
    for (const entry of Deno.readDirSync(`/proc/${pid}/fd`)) {
      const target = linkTarget(`/proc/${pid}/fd/${entry.name}`);
      if (isBelow(target, mountPoint)) return `open ${target}`;
    }
    for (const line of Deno.readTextFileSync(`/proc/${pid}/maps`).split("\n")) {
      const path = line.slice(line.indexOf("/"));
      if (line.includes("/") && isBelow(path, mountPoint)) return `mapped ${path}`;
    }
  } catch {
    // The process has ended, or it is another user's.
  }
  return null;
}

function processName(pid: number): string {
  try {
    return printable(Deno.readTextFileSync(`/proc/${pid}/comm`).trim());
  } catch {
    return "process";
  }
}

function linkTarget(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : directory + "/");
}

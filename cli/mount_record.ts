/**
 * A note about each running mount, so that `umount` can wait for its process: the kernel says only that the mount is out of
 * the tree, while the process may still be storing data. One file per mount, named by the mount's device number, in /run or
 * in the runtime directory of the user who mounts (XDG_RUNTIME_DIR); without one that can be written, nobody waits.
 */
import { mountAt } from "../fuse/mountinfo.ts";
import { dirname } from "./paths.ts";

interface ServingProcess {
  readonly pid: number;
  /** Clock ticks since boot at which the process started: tells it from a later one with its number. */
  readonly startTicks: string;
}

/** Notes that this process serves the mount; returns what takes the note away. */
export function recordMount(mountPoint: string): () => void {
  const path = recordPaths(mountPoint)[0];
  const startTicks = startTicksOf(Deno.pid);
  if (path === undefined || startTicks === null) return () => {};
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
    const temporary = `${path}.${Deno.pid}`;
    Deno.writeTextFileSync(temporary, JSON.stringify({ pid: Deno.pid, startTicks } satisfies ServingProcess));
    Deno.renameSync(temporary, path);
  } catch {
    return () => {};
  }
  return () => {
    try {
      Deno.removeSync(path);
    } catch {
      // Somebody cleaned /run.
    }
  };
}

/** The process that serves the mount at `mountPoint`, if it can be told. */
export function servingProcess(mountPoint: string): ServingProcess | null {
  for (const path of recordPaths(mountPoint)) {
    try {
      const record = JSON.parse(Deno.readTextFileSync(path)) as ServingProcess;
      if (isRunning(record)) return record;
    } catch {
      // There is none.
    }
  }
  return null;
}

export function isRunning(process: ServingProcess): boolean {
  return startTicksOf(process.pid) === process.startTicks;
}

/** Where the note of this mount is, one's own place first. Root also unmounts what others mounted. */
function recordPaths(mountPoint: string): string[] {
  const mount = mountAt(mountPoint);
  if (mount === undefined) return [];
  const own = Deno.uid() === 0 ? "/run" : Deno.env.get("XDG_RUNTIME_DIR");
  const places = own?.startsWith("/") ? [own] : [];
  if (Deno.uid() === 0 && mount.userId !== 0) places.push(`/run/user/${mount.userId}`);
  return places.map((place) => `${place}/slayerfs/${mount.device.replace(":", "-")}.json`);
}

/** Field 22 of /proc/PID/stat (proc(5)); null if there is no such process, or only its exit code is left of it. */
function startTicksOf(pid: number): string | null {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // The name, in parentheses, may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : fields[19] ?? null;
  } catch {
    return null;
  }
}

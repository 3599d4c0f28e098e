/**
 * A note about each running mount, so that `umount` can wait for its process: the kernel says only that the mount is out of
 * the tree, while the process may still be storing data. One file per mount in /run, named by the mount's device number;
 * without a /run that can be written, nobody waits.
 */
import { mountAt } from "../fuse/mountinfo.ts";

const DIRECTORY = "/run/slayerfs";

interface ServingProcess {
  readonly pid: number;
  /** Clock ticks since boot at which the process started: tells it from a later one with its number. */
  readonly startTicks: string;
}

/** Notes that this process serves the mount; returns what takes the note away. */
export function recordMount(mountPoint: string): () => void {
  const path = recordPath(mountPoint);
  const startTicks = startTicksOf(Deno.pid);
  if (path === null || startTicks === null) return () => {};
  try {
    Deno.mkdirSync(DIRECTORY, { recursive: true });
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
  const path = recordPath(mountPoint);
  if (path === null) return null;
  try {
    const record = JSON.parse(Deno.readTextFileSync(path)) as ServingProcess;
    return isRunning(record) ? record : null;
  } catch {
    return null;
  }
}

export function isRunning(process: ServingProcess): boolean {
  return startTicksOf(process.pid) === process.startTicks;
}

function recordPath(mountPoint: string): string | null {
  const device = mountAt(mountPoint)?.device;
  return device === undefined ? null : `${DIRECTORY}/${device.replace(":", "-")}.json`;
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

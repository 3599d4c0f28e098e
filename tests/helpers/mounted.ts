/**
 * A volume of its own on a real mount, served by the program itself in another process: libSQL and a directory under a
 * temporary directory. Everything is taken down at the end, whatever the test did.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkVolumeAt } from "./check_volume.ts";
import { mountSkipReason } from "./can_mount.ts";
import { slayerfs } from "./cli.ts";
import { outputOf } from "./shell.ts";

const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));
const READY_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 120_000;

export interface MountedOptions {
  /** More arguments of `format` and `mount`. */
  readonly formatArgs?: readonly string[];
  readonly mountArgs?: readonly string[];
  /** Bucket URL; default: a directory beside the database. */
  readonly bucket?: string;
}

export class Mounted {
  /** A temporary directory that is removed at the end; `mnt`, `meta.db` and `objects` are in it. */
  readonly directory: string;
  readonly mountPoint: string;
  readonly metaUrl: string;
  readonly logPath: string;
  readonly #options: MountedOptions;
  #child: Deno.ChildProcess | null = null;
  /** Reads the child's output to its end. */
  #output: Promise<string> = Promise.resolve("");

  private constructor(directory: string, options: MountedOptions) {
    this.directory = directory;
    this.mountPoint = join(directory, "mnt");
    this.metaUrl = `libsql:${join(directory, "meta.db")}`;
    this.logPath = join(directory, "log");
    this.#options = options;
  }

  /** Formats a volume and mounts it. */
  static async create(options: MountedOptions = {}): Promise<Mounted> {
    const mounted = new Mounted(await Deno.makeTempDir({ prefix: "slayerfs-e2e-" }), options);
    try {
      await Deno.mkdir(mounted.mountPoint);
      const bucket = options.bucket ?? `file:${join(mounted.directory, "objects")}`;
      const formatArgs = [...options.formatArgs ?? [], "--bucket", bucket, mounted.metaUrl, "test"];
      const made = await slayerfs(["format", ...formatArgs]);
      if (made.code !== 0) throw new Error(`format failed: ${made.stderr}`);
      await mounted.mount();
      return mounted;
    } catch (error) {
      await mounted.remove();
      throw error;
    }
  }

  get pid(): number {
    if (this.#child === null) throw new Error("not mounted");
    return this.#child.pid;
  }

  /** Starts the program and returns when the mount answers. */
  async mount(...extraArgs: string[]): Promise<void> {
    if (this.#child !== null) throw new Error("mounted already");
    // The shell opens the log and becomes the program: its messages never fill a pipe that nobody reads.
    const child = new Deno.Command("/bin/sh", {
      args: [
        "-c",
        'log=$1; shift; exec "$@" 2>>"$log"',
        "sh",
        this.logPath,
        Deno.execPath(),
        ...["run", "--no-check", "-A", MAIN, "mount", ...this.#options.mountArgs ?? [], ...extraArgs],
        this.metaUrl,
        this.mountPoint,
      ],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#child = child;
    const ready = Promise.withResolvers<boolean>();
    this.#output = readAll(child.stdout, (text) => {
      if (text.includes("Mounted ")) ready.resolve(true);
    }).finally(() => ready.resolve(false));
    const timeout = setTimeout(() => ready.reject(new Error("the mount does not answer")), READY_TIMEOUT_MS);
    try {
      if (await ready.promise) return;
      const { code } = await this.#ended(child);
      throw new Error(`mount ended with exit code ${code}: ${await this.#output}${await this.log()}`);
    } finally {
      clearTimeout(timeout);
    }
  }

  /** Asks the program to end, by SIGTERM; throws if it does not, or not with exit code 0. */
  async unmount(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.kill("SIGTERM");
    const status = await this.#ended(child);
    if (status.code !== 0) {
      throw new Error(
        `the mount ended with ${status.signal ?? `exit code ${status.code}`}: ${await this.log()}`,
      );
    }
  }

  /** SIGKILL: nothing is flushed. What is left of the mount answers ENOTCONN. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.kill("SIGKILL");
    await this.#ended(child);
  }

  async remount(...extraArgs: string[]): Promise<void> {
    await this.unmount();
    await this.mount(...extraArgs);
  }

  async log(): Promise<string> {
    return await Deno.readTextFile(this.logPath).catch(() => "");
  }

  /** Peak and present resident memory of the program. */
  async memory(): Promise<{ peakBytes: number; residentBytes: number }> {
    const status = await Deno.readTextFile(`/proc/${this.pid}/status`);
    const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? NaN);
    return { peakBytes: kib("VmHWM") * 1024, residentBytes: kib("VmRSS") * 1024 };
  }

  /** Processor time that the program has used so far. */
  async cpuSeconds(): Promise<number> {
    const stat = await Deno.readTextFile(`/proc/${this.pid}/stat`);
    // Fields 14 and 15 of proc(5), in ticks of 1/100 s; counted behind the name, which may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Unmounts and checks the whole volume. */
  async finish(options: { contents?: boolean } = {}): Promise<void> {
    await this.unmount();
    await checkVolumeAt(this.metaUrl, options);
  }

  /** Takes everything down. */
  async remove(): Promise<void> {
    const child = this.#child;
    if (child !== null) {
      // A test failed: nothing of this volume is needed any more.
      child.kill("SIGKILL");
      await this.#ended(child).catch(() => {});
    }
    if (await isMounted(this.mountPoint)) await outputOf("umount", ["-l", this.mountPoint]);
    // Never into a mount that is still there.
    if (await isMounted(this.mountPoint)) throw new Error(`${this.mountPoint} is still mounted`);
    await Deno.remove(this.directory, { recursive: true });
  }

  async #ended(child: Deno.ChildProcess): Promise<Deno.CommandStatus> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the mount does not end")), END_TIMEOUT_MS);
    });
    try {
      const status = await Promise.race([child.status, tooLong]);
      await this.#output;
      this.#child = null;
      return status;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A test on a mount; skipped, by name, where there is no FUSE. */
export function mountTest(
  name: string,
  body: (mounted: Mounted) => Promise<void>,
  options: MountedOptions & { readonly ignore?: boolean } = {},
): void {
  const reason = mountSkipReason();
  Deno.test({
    name: reason === undefined ? name : `${name} (skipped: ${reason})`,
    ignore: reason !== undefined || (options.ignore ?? false),
    async fn() {
      const mounted = await Mounted.create(options);
      let failed = true;
      try {
        await body(mounted);
        failed = false;
      } finally {
        if (failed) console.log(`log of the mount:\n${(await mounted.log()).slice(-4000)}`);
        await mounted.remove();
      }
    },
  });
}

/**
 * A test whose workload runs on a plain directory of the host first: if that fails, the test is wrong and not the file
 * system. Then it runs on a mount, the volume is checked, and what `body` returned is compared by `compare`.
 */
export function oracleTest<T>(
  name: string,
  body: (directory: string) => Promise<T>,
  options: MountedOptions & {
    readonly ignore?: boolean;
    readonly compare?: (host: T, mount: T) => void;
    /** Looks at the mounted result again after the volume was unmounted and mounted. */
    readonly again?: (directory: string, mount: T) => Promise<void>;
  } = {},
): void {
  mountTest(name, async (mounted) => {
    const host = await Deno.makeTempDir({ prefix: "slayerfs-host-" });
    try {
      const expected = await body(host);
      const actual = await body(mounted.mountPoint);
      options.compare?.(expected, actual);
      if (options.again !== undefined) {
        await mounted.remount();
        await options.again(mounted.mountPoint, actual);
      }
    } finally {
      await Deno.remove(host, { recursive: true });
    }
    await mounted.finish();
  }, options);
}

export async function isMounted(path: string): Promise<boolean> {
  const mounts = await Deno.readTextFile("/proc/self/mountinfo");
  return mounts.split("\n").some((line) => line.split(" ")[4] === path);
}

async function readAll(stream: ReadableStream<Uint8Array>, onText: (text: string) => void): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of stream) {
    text += decoder.decode(piece, { stream: true });
    onText(text);
  }
  return text;
}

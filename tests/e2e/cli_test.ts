/** The command line around a real mount: background, foreground, signals, busy mounts, dead mounts, failures. */
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { type RunningCli, slayerfs, startSlayerfs, whyNoMounts } from "../helpers/cli.ts";

interface Place {
  readonly directory: string;
  readonly mountPoint: string;
  readonly metaUrl: string;
  /** Kept out of the home directory of whoever runs the tests. */
  readonly env: Readonly<Record<string, string>>;
}

function test(name: string, action: (place: Place) => Promise<void>): void {
  Deno.test({
    name: `cli mount: ${name}`,
    ignore: whyNoMounts() !== null,
    async fn() {
      const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "slayerfs-cli-" }));
      const mountPoint = `${directory}/mnt`;
      const env = { SLAYERFS_HOME: `${directory}/home`, SLAYERFS_LOG: `${directory}/log` };
      await Deno.mkdir(mountPoint);
      try {
        await action({ directory, mountPoint, metaUrl: `libsql:${directory}/meta.db`, env });
      } finally {
        // What a failed test left; nothing is mounted otherwise.
        if (isMounted(mountPoint)) await slayerfs(["umount", "--lazy", mountPoint]);
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

function isMounted(mountPoint: string): boolean {
  return Deno.readTextFileSync("/proc/self/mountinfo").includes(` ${mountPoint} `);
}

async function formatted(place: Place): Promise<void> {
  strictEqual((await slayerfs(["format", place.metaUrl, "photos"])).code, 0);
}

interface Status {
  readonly sessions: readonly {
    readonly pid: number;
    readonly mountPoint?: string;
    readonly readOnly?: boolean;
  }[];
}

async function statusOf(place: Place): Promise<Status> {
  return JSON.parse((await slayerfs(["status", "--json", place.metaUrl])).stdout) as Status;
}

/** A process whose current directory is `cwd`, until its stdin ends. */
async function holder(cwd: string): Promise<{ pid: number; release(): Promise<void> }> {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", "echo; read x"],
    cwd,
    stdin: "piped",
    stdout: "piped",
  })
    .spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  return {
    pid: child.pid,
    async release() {
      await child.stdin.close();
      await reader.cancel();
      await child.status;
    },
  };
}

async function foreground(place: Place, ...flags: string[]): Promise<RunningCli> {
  const mount = startSlayerfs(["mount", place.metaUrl, place.mountPoint, ...flags]);
  await mount.untilSaid("Mounted photos");
  return mount;
}

test("in the background, seen by status, refused twice, busy, unmounted, mounted again", async (place) => {
  await formatted(place);
  const { mountPoint, metaUrl, env } = place;
  const mounted = await slayerfs(["mount", "-d", metaUrl, mountPoint], { env });
  strictEqual(mounted.stderr, "");
  strictEqual(mounted.code, 0);
  await Deno.writeTextFile(`${mountPoint}/hello`, "hello\n");
  const { sessions } = await statusOf(place);
  strictEqual(sessions.length, 1);
  strictEqual(sessions[0]?.mountPoint, mountPoint);
  match(
    (await slayerfs(["status", metaUrl])).stdout,
    new RegExp(`^\\d+ .* ${sessions[0]?.pid} +${mountPoint} `, "m"),
  );

  const second = await slayerfs(["mount", metaUrl, mountPoint]);
  match(second.stderr, /^slayerfs: .* is already mounted .*\n$/);
  strictEqual(second.code, 4);

  const user = await holder(mountPoint);
  const busy = await slayerfs(["umount", mountPoint]);
  match(
    busy.stderr,
    new RegExp(`^slayerfs: .* is in use \\(held by sh ${user.pid}: current directory\\); .*--lazy\n$`),
  );
  strictEqual(busy.code, 7);
  await user.release();

  const unmounted = await slayerfs(["umount", mountPoint]);
  strictEqual(unmounted.stderr, "");
  strictEqual(unmounted.code, 0);
  // umount waits for the process, which ends its session last.
  deepStrictEqual((await statusOf(place)).sessions, []);
  const nothing = await slayerfs(["umount", mountPoint]);
  match(nothing.stderr, /^slayerfs: nothing is mounted on .*\n$/);
  strictEqual(nothing.code, 4);

  strictEqual((await slayerfs(["mount", "-d", metaUrl, mountPoint], { env })).code, 0);
  strictEqual(await Deno.readTextFile(`${mountPoint}/hello`), "hello\n");
  strictEqual((await slayerfs(["umount", mountPoint])).code, 0);
});

test("a process in the background survives its starter's session, and passes its failure on", async (place) => {
  await formatted(place);
  const { mountPoint, metaUrl, env, directory } = place;
  const missing = await slayerfs(["mount", "-d", `libsql:${directory}/none.db`, mountPoint], { env });
  match(missing.stderr, /^slayerfs: there is no volume at .*\n$/);
  strictEqual(missing.code, 3);
  await Deno.rename(`${directory}/meta.db.objects`, `${directory}/away`);
  const noBucket = await slayerfs(["mount", "-d", metaUrl, mountPoint], { env });
  match(noBucket.stderr, /^slayerfs: cannot open the bucket .*meta\.db\.objects.*\n$/);
  strictEqual(noBucket.code, 5);
  await Deno.rename(`${directory}/away`, `${directory}/meta.db.objects`);
  const noLog = await slayerfs(["mount", "-d", metaUrl, mountPoint, "--log", "/proc/none/log"], { env });
  match(noLog.stderr, /^slayerfs: cannot write the log \/proc\/none\/log: .*\n$/);

  strictEqual((await slayerfs(["mount", "-d", metaUrl, mountPoint], { env })).code, 0);
  const { sessions } = await statusOf(place);
  const stat = await Deno.readTextFile(`/proc/${sessions[0]?.pid}/stat`);
  const [, , , sessionId] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  strictEqual(sessionId, String(sessions[0]?.pid), "leads a session of its own");
  strictEqual((await slayerfs(["umount", mountPoint])).code, 0);
  match(await Deno.readTextFile(`${directory}/log`), /INFO mounted photos at /);
});

test("in the foreground, ended by SIGTERM and by an unmount from elsewhere", async (place) => {
  await formatted(place);
  for (
    const [text, end] of [
      ["one", (mount: RunningCli) => mount.kill("SIGTERM")],
      ["two", () => new Deno.Command("umount", { args: [place.mountPoint] }).output()],
    ] as const
  ) {
    const mount = await foreground(place);
    await Deno.writeTextFile(`${place.mountPoint}/${text}`, text);
    await end(mount);
    const { code, stderr } = await mount.ended;
    strictEqual(stderr, "");
    strictEqual(code, 0);
    strictEqual(isMounted(place.mountPoint), false);
  }
  const mount = await foreground(place);
  strictEqual(await Deno.readTextFile(`${place.mountPoint}/one`), "one");
  strictEqual(await Deno.readTextFile(`${place.mountPoint}/two`), "two");
  mount.kill("SIGINT");
  strictEqual((await mount.ended).code, 0);
});

test("a busy mount stays with the first signal, is detached with the second, ends with its user", async (place) => {
  await formatted(place);
  const mount = await foreground(place);
  const user = await holder(place.mountPoint);
  mount.kill("SIGINT");
  await mount.untilSaid(`is in use (held by sh ${user.pid}: current directory). Stop again`);
  await Deno.writeTextFile(`${place.mountPoint}/after`, "still here");
  // Signals that come close together count once.
  await new Promise((resolve) => setTimeout(resolve, 600));
  mount.kill("SIGINT");
  await mount.untilSaid("Detached");
  strictEqual(isMounted(place.mountPoint), false);
  await user.release();
  strictEqual((await mount.ended).code, 0);
  const again = await foreground(place, "--read-only");
  strictEqual(await Deno.readTextFile(`${place.mountPoint}/after`), "still here");
  again.kill("SIGTERM");
  strictEqual((await again.ended).code, 0);
});

test("a dead mount is removed, what was synced is there", async (place) => {
  await formatted(place);
  const mount = await foreground(place);
  const file = await Deno.open(`${place.mountPoint}/synced`, { write: true, create: true });
  await file.write(new TextEncoder().encode("safe"));
  await file.sync();
  file.close();
  mount.kill("SIGKILL");
  strictEqual((await mount.ended).code, 137);
  strictEqual(isMounted(place.mountPoint), true);

  const again = await foreground(place);
  strictEqual(await Deno.readTextFile(`${place.mountPoint}/synced`), "safe");
  again.kill("SIGTERM");
  const { code, stderr } = await again.ended;
  strictEqual(code, 0);
  match(stderr, /removed a dead mount of slayerfs:photos/);
});

test("read-only refuses changes", async (place) => {
  await formatted(place);
  const writer = await foreground(place);
  await Deno.writeTextFile(`${place.mountPoint}/file`, "content");
  writer.kill("SIGTERM");
  await writer.ended;
  const mount = await foreground(place, "-o", "ro");
  strictEqual(await Deno.readTextFile(`${place.mountPoint}/file`), "content");
  for (
    const change of [
      () => Deno.writeTextFileSync(`${place.mountPoint}/file`, "other"),
      () => Deno.mkdirSync(`${place.mountPoint}/new`),
      () => Deno.removeSync(`${place.mountPoint}/file`),
    ]
  ) {
    let code: unknown;
    try {
      change();
    } catch (error) {
      code = (error as { code?: unknown }).code;
    }
    strictEqual(code, "EROFS");
  }
  strictEqual((await statusOf(place)).sessions[0]?.readOnly, true);
  mount.kill("SIGTERM");
  strictEqual((await mount.ended).code, 0);
});

test("data that cannot be stored at the end is said by name, with an exit code of its own", async (place) => {
  await formatted(place);
  const mount = await foreground(place);
  await Deno.mkdir(`${place.mountPoint}/dir`);
  const file = await Deno.open(`${place.mountPoint}/dir/lost file`, { write: true, create: true });
  await Deno.rename(`${place.directory}/meta.db.objects`, `${place.directory}/away`);
  await file.write(new Uint8Array(100_000).fill(1));
  try {
    file.close(); // the failing flush may or may not be told
  } catch {
    // It is.
  }
  mount.kill("SIGTERM");
  const { code, stderr } = await mount.ended;
  strictEqual(code, 6);
  match(
    stderr,
    /^slayerfs: data of these files could not be stored and is lost: \/dir\/lost file \(.*\)\n$/m,
  );
  strictEqual(isMounted(place.mountPoint), false);
});

test("a mount point that cannot be used is refused, and the volume is not touched", async (place) => {
  await formatted(place);
  await Deno.writeTextFile(`${place.directory}/file`, "");
  await Deno.mkdir(`${place.directory}/full/inner`, { recursive: true });
  for (
    const [name, expected] of [
      ["none", /does not exist: create it with mkdir/],
      ["file", /is not a directory/],
      ["full", /is not empty/],
    ] as const
  ) {
    const result = await slayerfs(["mount", place.metaUrl, `${place.directory}/${name}`]);
    match(result.stderr, /^slayerfs: [^\n]+\n$/);
    match(result.stderr, expected);
    strictEqual(result.code, 4);
  }
  deepStrictEqual((await statusOf(place)).sessions, []);
});

test("start makes the default volume once, and the mount point", async (place) => {
  const mountPoint = `${place.directory}/made`;
  const { env } = place;
  const first = startSlayerfs(["start", mountPoint], { env });
  await first.untilSaid("Mounted default");
  await Deno.writeTextFile(`${mountPoint}/note`, "kept");
  first.kill("SIGINT");
  const firstEnd = await first.ended;
  strictEqual(firstEnd.code, 0);
  match(firstEnd.stdout, /^Made the volume in .*\/home\.$/m);

  strictEqual((await slayerfs(["start", "-d", mountPoint], { env })).code, 0);
  strictEqual(await Deno.readTextFile(`${mountPoint}/note`), "kept");
  strictEqual((await slayerfs(["umount", mountPoint])).code, 0);
  strictEqual((Deno.statSync(`${place.directory}/home`).mode ?? 0) & 0o777, 0o700);
});

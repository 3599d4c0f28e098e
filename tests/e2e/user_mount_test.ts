/**
 * Mounts of a user who is not root, through fusermount3. /dev/fuse is open to everybody on most machines; where it is not,
 * root opens it for as long as the test runs.
 */
import { match, notStrictEqual, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mountSkipReason } from "../helpers/can_mount.ts";
import { type CliResult, slayerfs } from "../helpers/cli.ts";
import { hasProgram, type Output, outputOf } from "../helpers/shell.ts";

/** `nobody`: fusermount3 wants a user that has a name. */
const USER = 65_534;
const AS_USER = fileURLToPath(new URL("../helpers/as_user.ts", import.meta.url));
const DEVICE = "/dev/fuse";
const READY_TIMEOUT_MS = 60_000;

interface Place {
  /** The user's own. */
  readonly directory: string;
  readonly mountPoint: string;
  readonly metaUrl: string;
}

async function skipReason(): Promise<string | undefined> {
  const reason = mountSkipReason();
  if (reason !== undefined) return reason;
  for (const program of ["fusermount3", "setpriv"]) {
    if (!await hasProgram(program)) return `${program} is not installed`;
  }
  return undefined;
}

const reason = await skipReason();

function test(name: string, action: (place: Place) => Promise<void>): void {
  Deno.test({
    name: `user mount: ${name}${reason === undefined ? "" : ` (skipped: ${reason})`}`,
    ignore: reason !== undefined,
    async fn() {
      const directory = await Deno.makeTempDir({ prefix: "slayerfs-user-" });
      const mountPoint = join(directory, "mnt");
      const deviceMode = (await Deno.stat(DEVICE)).mode ?? 0;
      try {
        await Deno.mkdir(mountPoint);
        for (const path of [directory, mountPoint]) await Deno.chown(path, USER, USER);
        await Deno.chmod(directory, 0o755);
        await Deno.chmod(DEVICE, 0o666);
        await action({ directory, mountPoint, metaUrl: `libsql:${directory}/meta.db` });
      } finally {
        await Deno.chmod(DEVICE, deviceMode & 0o7777);
        // Dead or alive, if the test failed.
        if (lineOf(mountPoint) !== undefined) await outputOf("umount", ["-l", mountPoint]);
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

function lineOf(mountPoint: string): string | undefined {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .find((line) => line.includes(` ${mountPoint} `));
}

function commandOf(place: Place, args: readonly string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", AS_USER, String(USER), ...args],
    env: { NO_COLOR: "1", XDG_RUNTIME_DIR: place.directory, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** The program, run by the user. */
async function cli(place: Place, args: readonly string[], env?: Record<string, string>): Promise<CliResult> {
  const { code, stdout, stderr } = await commandOf(place, args, env).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** A script, run by the user. */
function sh(script: string): Promise<Output> {
  const who = [`--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--inh-caps=-all"];
  return outputOf("setpriv", [...who, "/bin/sh", "-euc", script]);
}

async function mount(place: Place, ...flags: string[]): Promise<Deno.ChildProcess> {
  const child = commandOf(place, ["mount", place.metaUrl, place.mountPoint, ...flags]).spawn();
  let said = "";
  const ready = (async () => {
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += piece;
      if (said.includes("Mounted ")) return;
    }
    throw new Error(`the mount ended: ${said}${await new Response(child.stderr).text()}`);
  })();
  const tooLate = setTimeout(() => child.kill("SIGKILL"), READY_TIMEOUT_MS);
  await ready.finally(() => clearTimeout(tooLate));
  return child;
}

async function formatted(place: Place): Promise<void> {
  const { code, stderr } = await cli(place, ["format", place.metaUrl, "mine"]);
  strictEqual(stderr, "");
  strictEqual(code, 0);
}

const oneLine = /^slayerfs: [^\n]+\n$/;

test("a user mounts, works in the own volume, and unmounts", async (place) => {
  const { mountPoint } = place;
  await formatted(place);
  const child = await mount(place, "-o", "fsname=a\\b,noatime,noexec");
  const line = lineOf(mountPoint) ?? "";
  match(line, / rw,nosuid,nodev,noexec,noatime - fuse\.slayerfs a\\134b .*user_id=65534/);
  const worked = await sh(`cd ${mountPoint}; mkdir d; echo hello > d/f; mv d/f g; cat g; stat -c %u:%g g .`);
  strictEqual(worked.stderr, "");
  strictEqual(worked.stdout, "hello\n65534:65534\n65534:65534\n");
  // Nobody else may enter, root included: the files are the user's.
  match((await outputOf("ls", [mountPoint])).stderr, /Permission denied/);

  const holder = new Deno.Command("setpriv", {
    args: [
      `--reuid=${USER}`,
      `--regid=${USER}`,
      "--clear-groups",
      "sh",
      "-c",
      `cd ${mountPoint}; echo; read x`,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = holder.stdout.getReader();
  await reader.read();
  const busy = await cli(place, ["umount", mountPoint]);
  match(busy.stderr, oneLine);
  match(busy.stderr, new RegExp(`is in use \\(held by sh ${holder.pid}: current directory\\)`));
  strictEqual(busy.code, 7);
  await holder.stdin.close();
  await reader.cancel();
  await holder.status;

  const unmounted = await cli(place, ["umount", mountPoint]);
  strictEqual(unmounted.stderr, "");
  strictEqual(unmounted.code, 0);
  strictEqual(lineOf(mountPoint), undefined);
  strictEqual((await child.status).code, 0);
  await child.stderr.cancel();
});

test("SIGTERM unmounts; a dead mount is removed; umount -l detaches", async (place) => {
  const { mountPoint } = place;
  await formatted(place);
  const first = await mount(place);
  strictEqual((await sh(`echo kept > ${mountPoint}/f; sync ${mountPoint}/f`)).code, 0);
  first.kill("SIGKILL");
  await first.status;
  notStrictEqual(lineOf(mountPoint), undefined);

  const second = await mount(place);
  strictEqual((await sh(`cat ${mountPoint}/f`)).stdout, "kept\n");
  second.kill("SIGTERM");
  strictEqual((await second.status).code, 0);
  strictEqual(lineOf(mountPoint), undefined);
  match(await new Response(second.stderr).text(), /removed a dead mount/);

  const third = await mount(place);
  const lazy = await cli(place, ["umount", "-l", mountPoint]);
  strictEqual(lazy.code, 0);
  strictEqual(lineOf(mountPoint), undefined);
  strictEqual((await third.status).code, 0);
  await Promise.all([first.stderr.cancel(), third.stderr.cancel()]);
});

test("others are let in only if root permits it, and never by mode alone", async (place) => {
  const { mountPoint } = place;
  await formatted(place);
  const permitted = /^\s*user_allow_other\s*$/m.test(
    await Deno.readTextFile("/etc/fuse.conf").catch(() => ""),
  );
  if (!permitted) {
    const refused = await cli(place, ["mount", "-o", "allow_other", place.metaUrl, mountPoint]);
    match(refused.stderr, oneLine);
    match(refused.stderr, /a line user_allow_other in \/etc\/fuse\.conf/);
    strictEqual(refused.code, 4);
    strictEqual(lineOf(mountPoint), undefined);
    return;
  }
  const child = await mount(place, "-o", "allow_other");
  strictEqual((await outputOf("ls", [mountPoint])).code, 0);
  strictEqual((await cli(place, ["umount", mountPoint])).code, 0);
  strictEqual((await child.status).code, 0);
  await child.stderr.cancel();
});

test("what keeps a user from mounting and unmounting is said with what to do", async (place) => {
  const { metaUrl, mountPoint, directory } = place;
  await formatted(place);
  await Deno.chown(mountPoint, 0, 0);
  const foreign = await cli(place, ["mount", metaUrl, mountPoint]);
  match(foreign.stderr, oneLine);
  match(foreign.stderr, /only on directories that they own/);
  strictEqual(foreign.code, 4);

  const rootsUrl = `libsql:${directory}/roots.db`;
  strictEqual((await slayerfs(["format", rootsUrl, "roots"])).code, 0);
  const log = `${directory}/log`;
  strictEqual((await slayerfs(["mount", "-d", "--log", log, rootsUrl, mountPoint])).code, 0);
  const notHis = await cli(place, ["umount", mountPoint]);
  match(notHis.stderr, oneLine);
  match(notHis.stderr, /no permission to unmount/);
  strictEqual(notHis.code, 4);
  strictEqual((await slayerfs(["umount", mountPoint])).code, 0);

  await Deno.chown(mountPoint, USER, USER);
  const missing = await cli(place, ["mount", metaUrl, mountPoint], { PATH: "/nonexistent" });
  match(missing.stderr, oneLine);
  match(missing.stderr, /fusermount3, which is not installed: install the package fuse3/);

  await Deno.chmod(DEVICE, 0o600);
  const closed = await cli(place, ["mount", metaUrl, mountPoint]);
  match(closed.stderr, oneLine);
  match(closed.stderr, /\(Permission denied\): ask root for chmod 666 \/dev\/fuse/);
  strictEqual(closed.code, 4);
  strictEqual(lineOf(mountPoint), undefined);
});

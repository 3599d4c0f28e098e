/**
 * The kernel adapter alone on a real mount, over an in-memory file system: a shell's work, waiting handlers, and all the
 * ways in which a mount begins and ends. What serves the mount in this process is used from other processes only.
 */
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { join } from "node:path";
import { type Env, systemEnv } from "../../core/env.ts";
import { FsError, UserError } from "../../core/errors.ts";
import { type FuseMount, mountFuse } from "../../fuse/mount.ts";
import { unmountPath } from "../../fuse/unmount.ts";
import { mountAt } from "../../fuse/mountinfo.ts";
import { mountTest } from "../helpers/can_mount.ts";
import type { ChildOptions, ChildReport } from "../helpers/fuse_child.ts";
import { createTreeVfs } from "../helpers/tree_vfs.ts";

const CHILD = join(import.meta.dirname ?? ".", "../helpers/fuse_child.ts");

/** What a user of a file system does, with a check after each step; prints `done`. */
const SHELL_WORK = `
set -e
mkdir -p a/b/c && echo hello > a/b/file && test "$(cat a/b/file)" = hello
cp -a "$1" copied && diff -r --no-dereference "$1" copied
ln a/b/file a/hard && test "$(stat -c %h a/hard)" = 2
ln -s b/file a/soft && test "$(cat a/soft)" = hello
mv copied a/moved && test ! -e copied && diff -r --no-dereference "$1" a/moved
dd if=/dev/urandom of=random bs=1M count=24 status=none
cp random random2 && cmp random random2
dd if=random of=random2 bs=4096 count=100 conv=notrunc status=none && cmp random random2
truncate -s 5000 random2 && test "$(stat -c %s random2)" = 5000 && head -c 5000 random | cmp - random2
chmod 640 random2 && test "$(stat -c %a random2)" = 640
touch -d '1960-01-01 00:00:00 UTC' random2 && test "$(stat -c %Y random2)" = -315619200
mkfifo pipe && test -p pipe
name=$(printf 'line\\nbreak\\377'); echo odd > "$name" && test "$(cat "$name")" = odd
mkdir many && (cd many && seq 1 3000 | xargs touch) && test "$(ls many | wc -l)" = 3000
exec 3> unlinked; echo still >&3; rm unlinked; test ! -e unlinked; echo here >&3; exec 3>&-
! rmdir many 2>/dev/null
rm -r a many random random2 pipe "$name"
test "$(ls -A | wc -l)" = 0
echo done
`;

interface Child {
  readonly process: Deno.ChildProcess;
  /** Ends the mount with SIGTERM and returns what the process saw. */
  stop(): Promise<ChildReport>;
  kill(): Promise<void>;
}

async function serveIn(options: ChildOptions): Promise<Child> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", CHILD, JSON.stringify(options)],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  equal((await lines.read()).value, "ready\n");
  return {
    process,
    async stop() {
      process.kill("SIGTERM");
      let text = "";
      for (let next = await lines.read(); !next.done; next = await lines.read()) text += next.value;
      await process.status;
      return JSON.parse(text);
    },
    async kill() {
      process.kill("SIGKILL");
      await lines.cancel();
      await process.status;
    },
  };
}

async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-loop-" });
  try {
    await run(directory);
  } finally {
    while (mountAt(directory) !== undefined) await unmountPath(directory, { lazy: true });
    await Deno.remove(directory, { recursive: true });
  }
}

/** Runs a command of a shell, never with a current directory: starting it would wait for the mount. */
async function shell(script: string, ...args: string[]): Promise<string> {
  const output = await new Deno.Command("sh", { args: ["-c", script, "sh", ...args] }).output();
  const text = new TextDecoder().decode(output.stdout);
  ok(output.success, `${text}${new TextDecoder().decode(output.stderr)}`);
  return text;
}

/** A small tree with links, taken from what every machine has. */
async function sampleTree(directory: string): Promise<string> {
  const source = join(directory, "source");
  await shell(
    `mkdir -p "$1/sub/deep" && seq 1 50000 > "$1/numbers" && head -c 3000000 /dev/urandom > "$1/sub/random" &&
     ln -s ../numbers "$1/sub/link" && for i in $(seq 1 200); do echo $i > "$1/sub/deep/$i"; done`,
    source,
  );
  return source;
}

function quietEnv(): { env: Env; lines: string[] } {
  const lines: string[] = [];
  return { env: { ...systemEnv(), log: (_level, line) => void lines.push(line) }, lines };
}

function mountHere(mountPoint: string, env: Env): Promise<FuseMount> {
  return mountFuse({ mountPoint, fsName: "tree" }, createTreeVfs(env), env);
}

for (const [what, options] of [["at once", {}], ["after some promises", { awaits: 12 }]] as const) {
  mountTest(`a shell's work, answered ${what}`, () =>
    withDirectory(async (directory) => {
      const mountPoint = join(directory, "mnt");
      await Deno.mkdir(mountPoint);
      const source = await sampleTree(directory);
      const child = await serveIn({ mountPoint, ...options });
      equal(await shell(`cd "$2"; ${SHELL_WORK}`, source, mountPoint), "done\n");
      const report = await child.stop();
      equal(report.openHandles, 0);
      equal(report.nodes, 1, "nothing is kept of removed files");
    }));
}

mountTest("a slow answer holds up nobody else", () =>
  withDirectory(async (directory) => {
    const child = await serveIn({ mountPoint: directory, slowReadMs: 3000 });
    await shell(`echo hello > "$1/file"`, directory);
    let read = "";
    const reading = shell(`cat "$1/file"`, directory).then((text) => read = text);
    await shell(`for i in 1 2 3 4 5; do mkdir "$1/d$i"; stat "$1/d$i"; done; ls -l "$1"`, directory);
    equal(read, "", "the others were answered while the read still waits");
    await reading;
    equal(read, "hello\n");
    await child.stop();
  }));

mountTest("a killed reader does not take the mount with it", () =>
  withDirectory(async (directory) => {
    const child = await serveIn({ mountPoint: directory, slowReadMs: 1000 });
    await shell(`echo hello > "$1/file"; timeout -s KILL 0.2 cat "$1/file"; test $? = 137`, directory);
    equal(await shell(`cat "$1/file"`, directory), "hello\n");
    const report = await child.stop();
    equal(report.openHandles, 0);
  }));

mountTest(
  "mount and unmount in one process; the end is seen, whoever brings it about",
  () =>
    withDirectory(async (directory) => {
      const { env, lines } = quietEnv();
      const first = await mountHere(directory, env);
      equal(mountAt(directory)?.type, "fuse.slayerfs");
      equal(await shell(`echo hello > "$1/file"; cat "$1/file"`, directory), "hello\n");
      await first.unmount();
      await first.done;
      await first.unmount();
      equal(mountAt(directory), undefined);

      const second = await mountHere(directory, env);
      await shell(`umount "$1"`, directory);
      await second.done;

      const third = await mountHere(directory, env);
      await unmountPath(directory);
      await third.done;

      const fourth = await mountHere(directory, env);
      const minor = mountAt(directory)?.device.split(":")[1];
      await shell(
        `cd /sys/fs/fuse && if test ! -e connections/$1; then mount -t fusectl none connections; mine=1; fi
       echo 1 > connections/$1/abort; test -z "$mine" || umount connections`,
        minor ?? "",
      );
      await fourth.done;
      equal(mountAt(directory), undefined);
      match(lines.at(-1) ?? "", /aborted/);
    }),
);

mountTest(
  "a mount in use is EBUSY; detached lazily, it ends with its last user",
  () =>
    withDirectory(async (directory) => {
      const { env } = quietEnv();
      const mount = await mountHere(directory, env);
      const user = new Deno.Command("sh", {
        args: ["-c", `cd "$1" && echo in && read line && echo hello > file && cat file`, "sh", directory],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      const output = user.stdout.pipeThrough(new TextDecoderStream()).getReader();
      equal((await output.read()).value, "in\n");
      const isBusy = (error: unknown) => error instanceof FsError && error.code === "EBUSY";
      await rejects(mount.unmount(), isBusy);
      await rejects(unmountPath(directory), isBusy);
      await mount.unmount({ lazy: true });
      equal(mountAt(directory), undefined);
      const input = user.stdin.getWriter();
      await input.write(new TextEncoder().encode("go\n"));
      equal((await output.read()).value, "hello\n", "its user can go on");
      await input.close();
      await output.cancel();
      await user.status;
      await mount.done;
    }),
);

mountTest(
  "what cannot be mounted on is refused in one line, and nothing is mounted",
  () =>
    withDirectory(async (directory) => {
      const { env } = quietEnv();
      const refused = async (path: string, message: RegExp) => {
        await rejects(mountHere(path, env), (error) => {
          ok(error instanceof UserError, String(error));
          match(error.message, message);
          ok(!error.message.includes("\n"));
          return true;
        });
      };
      await refused(join(directory, "missing"), /does not exist: create it/);
      await refused(join(directory, "missing", "deeper"), /does not exist/);
      await Deno.writeTextFile(join(directory, "file"), "");
      await refused(join(directory, "file"), /is not a directory/);
      await refused(join(directory, "file", "below"), /is not a directory/);
      await Deno.mkdir(join(directory, "full"));
      await Deno.writeTextFile(join(directory, "full", "file"), "");
      await refused(join(directory, "full"), /is not empty/);
      await refused("/proc", /already a mount point of proc/);
      await Deno.mkdir(join(directory, "mnt"));
      await Deno.symlink("mnt", join(directory, "link"));
      const mount = await mountHere(join(directory, "link"), env);
      equal(mount.mountPoint, await Deno.realPath(directory) + "/mnt");
      await refused(join(directory, "mnt"), /already mounted \(tree\)/);
      await refused(join(directory, "link"), /already mounted \(tree\)/);
      await unmountPath(join(directory, "link"));
      await mount.done;
      await rejects(unmountPath(join(directory, "mnt")), /nothing is mounted/);
      await rejects(unmountPath("/proc"), /mount of proc/);
    }),
);

mountTest(
  "the dead mount of a killed process is removed, and said so",
  () =>
    withDirectory(async (directory) => {
      const child = await serveIn({ mountPoint: directory });
      await child.kill();
      ok(mountAt(directory) !== undefined);
      const { env, lines } = quietEnv();
      const mount = await mountHere(directory, env);
      deepEqual(lines.map((line) => line.replace(directory, "HERE")), [
        "removed a dead mount of tree from HERE: its process ended without unmounting",
      ]);
      await shell(`ls "$1"`, directory);
      await mount.unmount();
      await mount.done;
      equal(mountAt(directory), undefined);
    }),
);

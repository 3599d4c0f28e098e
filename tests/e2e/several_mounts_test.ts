/** Mounts beside and on each other, and mount(8) with its helper. */
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CliResult, slayerfs, whyNoMounts } from "../helpers/cli.ts";
import { outputOf, run } from "../helpers/shell.ts";

const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));

interface Place {
  readonly directory: string;
  readonly metaUrl: string;
  /** Made, empty. */
  mountPoint(name: string): string;
  /** The program, with a log of its own; it must succeed. */
  cli(...args: string[]): Promise<CliResult>;
}

function test(name: string, action: (place: Place) => Promise<void>, skipped?: string): void {
  const reason = whyNoMounts() ?? skipped;
  Deno.test({
    name: `several mounts: ${name}${reason === undefined ? "" : ` (skipped: ${reason})`}`,
    ignore: reason !== undefined,
    async fn() {
      const directory = await Deno.makeTempDir({ prefix: "slayerfs-several-" });
      const env = { SLAYERFS_LOG: join(directory, "log") };
      const cli = async (...args: string[]) => {
        const result = await slayerfs(args, { env });
        strictEqual(result.code, 0, `${args.join(" ")}: ${result.stderr}`);
        return result;
      };
      const metaUrl = `libsql:${directory}/meta.db`;
      try {
        await cli("format", metaUrl, "photos");
        await action({
          directory,
          metaUrl,
          cli,
          mountPoint(name) {
            const path = join(directory, name);
            Deno.mkdirSync(path);
            return path;
          },
        });
      } finally {
        // What a failed test left, the last ones first.
        for (const path of mountedBelow(directory).reverse()) await outputOf("umount", ["-l", path]);
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

function mountedBelow(directory: string): string[] {
  const points = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").map((line) => line.split(" ")[4]);
  return points.filter((point): point is string => point?.startsWith(`${directory}/`) ?? false);
}

test("one of several is unmounted, the others live", async ({ directory, metaUrl, mountPoint, cli }) => {
  const [a, b, other] = [mountPoint("a"), mountPoint("b"), mountPoint("other")];
  const otherUrl = `libsql:${directory}/other.db`;
  await cli("format", otherUrl, "other");
  await cli("mount", "-d", metaUrl, a);
  await cli("mount", "-d", metaUrl, b);
  await cli("mount", "-d", otherUrl, other);
  await Deno.writeTextFile(join(a, "file"), "one");
  strictEqual(await Deno.readTextFile(join(b, "file")), "one");
  // One that is busy does not keep the others.
  const held = await Deno.open(join(b, "file"));
  await cli("umount", a);
  deepStrictEqual(mountedBelow(directory), [b, other]);
  await Deno.writeTextFile(join(b, "file2"), "two");
  await Deno.writeTextFile(join(other, "file"), "three");
  const status = JSON.parse((await cli("status", "--json", metaUrl)).stdout);
  deepStrictEqual(status.sessions.map((each: { mountPoint: string }) => each.mountPoint), [b]);

  await cli("mount", "-d", metaUrl, a);
  strictEqual(await Deno.readTextFile(join(a, "file2")), "two");
  await cli("umount", "--lazy", b);
  deepStrictEqual(mountedBelow(directory), [other, a]);
  // Detached, it goes on for those who have it open.
  const text = new Uint8Array(10);
  strictEqual(await held.read(text), 3);
  held.close();
  await cli("umount", other);
  await cli("umount", a);
  deepStrictEqual(mountedBelow(directory), []);
});

test("a mount on a mount keeps it busy, and is named", async ({ metaUrl, mountPoint, cli }) => {
  const outer = mountPoint("outer");
  await cli("mount", "-d", metaUrl, outer);
  await Deno.mkdir(join(outer, "in ner"));
  const inner = join(outer, "in ner");
  await cli("mount", "-d", metaUrl, inner);
  const busy = await slayerfs(["umount", outer]);
  match(
    busy.stderr,
    new RegExp(`^slayerfs: ${outer} is in use \\(held by the mount at ${inner}\\); .*--lazy\n$`),
  );
  strictEqual(busy.code, 7);
  await Deno.writeTextFile(join(inner, "x"), "x");
  await cli("umount", inner);
  await cli("umount", outer);
});

test("mount.slayerfs: options as in fstab, in the background, exit codes of mount(8)", async (place) => {
  const { directory, metaUrl, mountPoint, cli } = place;
  const target = mountPoint("mnt");
  const helper = (...args: string[]) => slayerfs(["mount.slayerfs", metaUrl, target, ...args]);
  const options = `rw,noatime,_netdev,x-systemd.automount,cache-memory=8,log=${directory}/helper.log`;

  const mounted = await helper("-n", "-o", options);
  deepStrictEqual(mounted, { code: 0, stdout: "", stderr: "" });
  match(
    await run("findmnt", ["-no", "SOURCE,FSTYPE,OPTIONS", target]),
    /^libsql:\S+ +fuse\.slayerfs +rw,noatime/,
  );
  match(await Deno.readTextFile(`${directory}/helper.log`), /INFO mounted photos at /);
  const again = await helper("-o", options);
  match(again.stderr, /^slayerfs: .* is already mounted [^\n]*\n$/);
  strictEqual(again.code, 32);
  await cli("umount", target);

  const wrong = await helper("-o", "rw,frobnicate");
  match(wrong.stderr, /^slayerfs: -o frobnicate is not supported/);
  strictEqual(wrong.code, 1);
  const tolerated = await helper("-sfv", "-o", "rw,frobnicate");
  match(tolerated.stderr, /-o frobnicate is not known and passed over/);
  strictEqual(tolerated.code, 0);
  deepStrictEqual(mountedBelow(directory), []);
  // As mount(8) starts a link to the executable: the name says which command is meant.
  const named = [
    "-c",
    'exec -a /sbin/mount.slayerfs "$@"',
    "bash",
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
  ];
  const fake = await outputOf("bash", [...named, MAIN, metaUrl, target, "-f", "-o", "frobnicate"]);
  match(fake.stderr, /^slayerfs: -o frobnicate is not supported/);
  strictEqual(fake.code, 1);
  const verbose = await helper("-v", "-o", options);
  match(verbose.stdout, /^Mounted at /);
  await cli("umount", target);
});

const overlay = "mount -t overlay -o lowerdir=$1/bin:/usr/sbin overlay /usr/sbin";

/** In a mount namespace of its own /sbin can get one more program. */
async function whyNoHelper(): Promise<string | undefined> {
  if (whyNoMounts() !== null) return undefined;
  const directory = await Deno.makeTempDir();
  await Deno.mkdir(join(directory, "bin"));
  const tried = await outputOf("unshare", ["-m", "sh", "-ec", overlay, "sh", directory]);
  await Deno.remove(directory, { recursive: true });
  return tried.code === 0 ? undefined : "needs mount namespaces and overlayfs";
}

test("a line in fstab: mount, mount again, mount -a, umount", async ({ directory, metaUrl, mountPoint }) => {
  const target = mountPoint("mnt");
  await Deno.mkdir(join(directory, "bin"));
  for (const [name, words] of [["slayerfs", ""], ["mount.slayerfs", "mount.slayerfs "]]) {
    const text = `#!/bin/sh\nexec ${Deno.execPath()} run -A --no-check ${MAIN} ${words}"$@"\n`;
    await Deno.writeTextFile(join(directory, "bin", name ?? ""), text, { mode: 0o755 });
  }
  await Deno.writeTextFile(
    join(directory, "fstab"),
    `${metaUrl} ${target} slayerfs nosuid,noatime,_netdev,log=${directory}/log,subdir=/ 0 0\n`,
  );
  const script = `
    ${overlay}
    # Or else what is mounted would keep its process, and that this namespace, after a failure.
    trap 'umount -l $2 2>/dev/null || true' EXIT
    mount -T $1/fstab $2
    findmnt -no OPTIONS $2
    echo hello > $2/file
    mount -T $1/fstab -av
    umount $2
    ! mountpoint -q $2
    mount -T $1/fstab -a
    cat $2/file
    $1/bin/slayerfs umount $2 >&2
    ! mount -t slayerfs $3.none $2
    mount -t slayerfs -o ro,log=$1/log $3 $2
    ! touch $2/file
    $1/bin/slayerfs umount $2 >&2`;
  const { code, stdout, stderr } = await outputOf("unshare", [
    "-m",
    "sh",
    "-euc",
    script,
    "sh",
    directory,
    target,
    metaUrl,
  ]);
  strictEqual(code, 0, stderr);
  match(stdout, /^rw,nosuid,noatime,[^\n]*\n\S+ *: already mounted\nhello\n$/);
  match(stderr, /Unmounted .*\n.*there is no volume at .*meta\.db\.none.*\n.*Read-only file system/);
}, await whyNoHelper());

/** What the options of a mount promise, on real mounts. */
import { deepStrictEqual, match, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { parseMountInfo } from "../../fuse/mountinfo.ts";
import { slayerfs } from "../helpers/cli.ts";
import * as libc from "../helpers/libc.ts";
import { type Mounted, mountTest } from "../helpers/mounted.ts";
import { type Output, outputOf, run } from "../helpers/shell.ts";

const O_DIRECT = 0o40000;

function optionsOf(mounted: Mounted): string[] {
  const lines = Deno.readTextFileSync("/proc/self/mountinfo").split("\n");
  return lines.find((line) => line.includes(` ${mounted.mountPoint} `))?.split(" ")[5]?.split(",") ?? [];
}

/** A script as a user without rights; `groups`: the supplementary ones. */
async function asUser(uid: number, script: string, groups = ""): Promise<Output> {
  const membership = groups === "" ? "--clear-groups" : `--groups=${groups}`;
  const who = [`--reuid=${uid}`, `--regid=${uid}`, membership, "--inh-caps=-all"];
  return await outputOf("setpriv", [...who, "/bin/sh", "-euc", script]);
}

/** The mount point lies in a directory that others may enter. */
async function openToOthers(mounted: Mounted): Promise<string> {
  await Deno.chmod(mounted.directory, 0o755);
  return mounted.mountPoint;
}

const ownerOf = (path: string) => {
  const { uid, gid } = libc.stat(path);
  return [uid, gid];
};

mountTest("options: ro, noexec, nosuid, nodev and fsname reach the kernel", async (mounted) => {
  const { mountPoint } = mounted;
  const script = join(mountPoint, "script");
  await Deno.writeTextFile(script, "#!/bin/sh\necho ran\n");
  await Deno.chmod(script, 0o4755);
  await run("mknod", [join(mountPoint, "zero"), "c", "1", "5"]);
  strictEqual(await run(script, []), "ran\n");
  strictEqual(await run("head", ["-c", "3", join(mountPoint, "zero")]), "\0\0\0");
  deepStrictEqual(optionsOf(mounted), ["rw", "relatime"]);

  await mounted.remount("-o", "noexec,nosuid,nodev,fsname=my photos");
  deepStrictEqual(optionsOf(mounted), ["rw", "nosuid", "nodev", "noexec", "relatime"]);
  const mounts = parseMountInfo(await Deno.readTextFile("/proc/self/mountinfo"));
  strictEqual(mounts.find((each) => each.mountPoint === mountPoint)?.source, "my photos");
  match(await run("df", ["--output=source", mountPoint]), /\nmy photos\n/);
  match((await outputOf("/bin/sh", ["-c", `exec ${script}`])).stderr, /Permission denied/);
  throws(() => libc.open(join(mountPoint, "zero"), libc.O.RDONLY), { code: "EACCES" });

  await mounted.remount("-o", "ro");
  deepStrictEqual(optionsOf(mounted), ["ro", "relatime"]);
  strictEqual(await run(script, []), "ran\n");
  for (
    const change of [
      () => libc.open(script, libc.O.WRONLY),
      () => libc.mkdir(join(mountPoint, "new")),
      () => libc.rename(script, `${script}2`),
      () => libc.chmod(script, 0o644),
      () => libc.chown(mountPoint, 1, 1),
    ]
  ) throws(change, { code: "EROFS" });
  await mounted.finish();
});

mountTest("options: noatime, relatime, strictatime, nodiratime", async (mounted) => {
  const file = join(mounted.mountPoint, "file");
  const directory = join(mounted.mountPoint, "directory");
  await Deno.writeTextFile(file, "content");
  await Deno.mkdir(directory);

  /** Past the page cache, which answers without us. */
  const readFile = () => {
    const fd = libc.open(file, libc.O.RDONLY | O_DIRECT);
    strictEqual(libc.pread(fd, new Uint8Array(4096), 0), 7);
    libc.close(fd);
  };
  const list = () => void libc.readdir(directory);
  const old = { atimeSec: 1000, atimeNsec: 0, mtimeSec: 2000, mtimeNsec: 0 };
  const atime = (path: string) => libc.stat(path).atimeSec;
  const age = () => [file, directory].forEach((path) => libc.utimes(path, old));
  /** The access time of the file, then of the directory: did the look change it? */
  const changed = () => {
    age();
    readFile();
    list();
    return [atime(file) !== 1000, atime(directory) !== 1000];
  };
  /** The same for a second look, an hour after a first one that set times later than mtime and ctime. */
  const changedAgain = () => {
    const now = Math.floor(Date.now() / 1000) + 3600;
    const seen = { ...old, atimeSec: now };
    [file, directory].forEach((path) => libc.utimes(path, seen));
    readFile();
    list();
    return [atime(file) !== now, atime(directory) !== now];
  };

  deepStrictEqual([changed(), changedAgain()], [[true, true], [false, false]], "relatime");

  await mounted.remount("-o", "noatime");
  deepStrictEqual(optionsOf(mounted), ["rw", "noatime"]);
  deepStrictEqual(changed(), [false, false]);

  await mounted.remount("-o", "relatime,nodiratime");
  deepStrictEqual(optionsOf(mounted), ["rw", "nodiratime", "relatime"]);
  deepStrictEqual(changed(), [true, false]);

  await mounted.remount("-o", "strictatime");
  deepStrictEqual(optionsOf(mounted), ["rw"]);
  // An access time in the future is no reason not to set it: but it is only ever raised.
  deepStrictEqual(changed(), [true, true]);
  const once = libc.stat(file);
  await new Promise((resolve) => setTimeout(resolve, 20));
  // Also through the page cache: it is not kept from one open to the next.
  strictEqual(await Deno.readTextFile(file), "content");
  const twice = libc.stat(file);
  notStrictEqual([once.atimeSec, once.atimeNsec].join(), [twice.atimeSec, twice.atimeNsec].join());
  await mounted.finish();
});

mountTest("--subdir: a directory of the volume is the root of the mount", async (mounted) => {
  const { mountPoint, metaUrl } = mounted;
  await run("mkdir", ["-p", join(mountPoint, "a/b/c"), join(mountPoint, "a/other")]);
  await Deno.writeTextFile(join(mountPoint, "a/b/file"), "inside");
  await Deno.writeTextFile(join(mountPoint, "a/secret"), "outside");
  await Deno.symlink("../secret", join(mountPoint, "a/b/link"));
  await Deno.chmod(join(mountPoint, "a/b"), 0o751);

  await mounted.remount("--subdir", "a/b");
  strictEqual(await run("ls", ["-A", mountPoint]), "c\nfile\nlink\n");
  strictEqual(libc.stat(mountPoint).mode & 0o7777, 0o751);
  strictEqual(await Deno.readTextFile(join(mountPoint, "file")), "inside");
  throws(() => libc.stat(join(mountPoint, "link")), { code: "ENOENT" });
  strictEqual(
    await run("/bin/sh", ["-c", "cd c && ls .. && cd .. && pwd -P"], { cwd: mountPoint }),
    `c
file
link
${mountPoint}
`,
  );
  libc.rename(join(mountPoint, "file"), join(mountPoint, "c/moved"));
  libc.link(join(mountPoint, "c/moved"), join(mountPoint, "again"));
  libc.rename(join(mountPoint, "c"), join(mountPoint, "d"));
  await Deno.writeTextFile(join(mountPoint, "d/new"), "new");
  throws(() => libc.rmdir(mountPoint), { code: "EBUSY" });
  strictEqual(
    await run("find", [".", "-xdev", "-printf", "%p "], { cwd: mountPoint }).then(sorted),
    sorted(
      ". ./again ./d ./d/moved ./d/new ./link",
    ),
  );

  await mounted.unmount();
  for (const [path, reason] of [["a/none", /no subdirectory/], ["a/secret", /is no directory/]] as const) {
    const refused = await slayerfs(["mount", "-o", `subdir=${path}`, metaUrl, mountPoint]);
    match(refused.stderr, reason);
    match(refused.stderr, /^slayerfs: [^\n]+\n$/);
    strictEqual(refused.code, 1);
  }
  await mounted.mount();
  strictEqual(await Deno.readTextFile(join(mountPoint, "a/b/d/moved")), "inside");
  await mounted.finish();
});

const sorted = (words: string) => words.trim().split(" ").sort().join(" ");

mountTest("all_squash: everybody is the anonymous user", async (mounted) => {
  await Deno.writeTextFile(join(mounted.mountPoint, "root's"), "x");
  await Deno.chmod(join(mounted.mountPoint, "root's"), 0o600);
  await Deno.chown(mounted.mountPoint, 4000, 5000);
  await mounted.remount("-o", "all_squash,anonuid=4000,anongid=5000");
  const directory = await openToOthers(mounted);

  strictEqual((await asUser(1000, `echo hello > ${directory}/file; mkdir ${directory}/sub`)).code, 0);
  deepStrictEqual(ownerOf(join(directory, "file")), [4000, 5000]);
  // Two users who are the same one: also for what only the owner may.
  const other = await asUser(
    2000,
    `echo more >> ${directory}/file; chmod 600 ${directory}/file; touch -d 2001-01-01 ${directory}/file`,
  );
  strictEqual(other.stderr, "");
  strictEqual((await asUser(1000, `cat ${directory}/file`)).stdout, "hello\nmore\n");
  await Deno.writeTextFile(join(directory, "sub/by root"), "x");
  deepStrictEqual(ownerOf(join(directory, "sub/by root")), [4000, 5000]);
  throws(() => libc.open(join(directory, "root's"), libc.O.RDONLY), { code: "EACCES" });
  throws(() => libc.chown(join(directory, "file"), 0, 0), { code: "EPERM" });
  match((await asUser(1000, `cat "${directory}/root's"`)).stderr, /Permission denied/);
  await mounted.finish();
});

mountTest("root_squash: root is nobody, others are themselves", async (mounted) => {
  const directory = await openToOthers(mounted);
  await Deno.chmod(directory, 0o777);
  await Deno.writeTextFile(join(directory, "root's"), "x");
  await Deno.chmod(join(directory, "root's"), 0o640);
  await Deno.chown(join(directory, "root's"), 0, 50);
  await mounted.remount("--root-squash", "4000:5000");

  await Deno.writeTextFile(join(directory, "by root"), "x");
  deepStrictEqual(ownerOf(join(directory, "by root")), [4000, 5000]);
  throws(() => libc.open(join(directory, "root's"), libc.O.RDONLY), { code: "EACCES" });
  strictEqual(
    (await asUser(1000, `mkdir -m 700 ${directory}/private; echo x > ${directory}/private/file`)).code,
    0,
  );
  deepStrictEqual(ownerOf(join(directory, "private")), [1000, 1000]);
  throws(() => libc.mkdir(join(directory, "private/new")), { code: "EACCES" });
  throws(() => libc.readdir(join(directory, "private")), { code: "EACCES" });
  throws(() => libc.chown(join(directory, "private"), 0, 0), { code: "EPERM" });
  strictEqual((await asUser(1000, `cat "${directory}/root's"`, "50")).stdout, "x");
  strictEqual((await asUser(1000, `cat "${directory}/root's"`)).code, 1);
  await mounted.finish();
});

mountTest("uid=, gid=: what every file is shown to belong to, and who may use it", async (mounted) => {
  const directory = await openToOthers(mounted);
  await Deno.mkdir(join(directory, "sub"), { mode: 0o700 });
  await mounted.remount("-o", "uid=1000,gid=1001");
  deepStrictEqual(ownerOf(directory), [1000, 1001]);
  strictEqual(await run("stat", ["-c", "%u:%g", join(directory, "sub")]), "1000:1001\n");
  strictEqual(
    (await asUser(1000, `echo x > ${directory}/sub/file; cat ${directory}/sub/file`)).stdout,
    "x\n",
  );
  strictEqual((await asUser(1002, `ls ${directory}/sub`)).code, 2);
  throws(() => libc.chown(join(directory, "sub"), 5, -1), { code: "EPERM" });
  await mounted.remount();
  deepStrictEqual(ownerOf(join(directory, "sub")), [0, 0]);
  deepStrictEqual(ownerOf(join(directory, "sub/file")), [1000, 1000]);
  await mounted.finish();
});

mountTest("nodefault_permissions: the file system checks itself", async (mounted) => {
  const directory = await openToOthers(mounted);
  await Deno.chmod(directory, 0o755);
  await Deno.mkdir(join(directory, "private"), { mode: 0o700 });
  await Deno.writeTextFile(join(directory, "private/file"), "x");
  await Deno.mkdir(join(directory, "group"));
  await Deno.chown(join(directory, "group"), 0, 50);
  await Deno.chmod(join(directory, "group"), 0o770);
  await mounted.remount("-o", "nodefault_permissions");

  // The name that root just looked up opens the way to nobody.
  strictEqual(await Deno.readTextFile(join(directory, "private/file")), "x");
  match((await asUser(1000, `cat ${directory}/private/file`)).stderr, /Permission denied/);
  match((await asUser(1000, `touch ${directory}/new`)).stderr, /Permission denied/);
  match((await asUser(1000, `touch ${directory}/group/new`, "51")).stderr, /Permission denied/);
  strictEqual((await asUser(1000, `umask 0; echo x > ${directory}/group/new`, "51,50")).stderr, "");
  deepStrictEqual(ownerOf(join(directory, "group/new")), [1000, 1000]);
  strictEqual((await asUser(1000, `chmod 2755 ${directory}/group/new`, "50")).code, 0);
  strictEqual(libc.stat(join(directory, "group/new")).mode & 0o7777, 0o2755);
  match((await asUser(1001, `chmod 600 ${directory}/group/new`, "50")).stderr, /not permitted/);
  // Set-group-ID of a group that its owner is not in.
  await Deno.chown(join(directory, "group/new"), 1000, 60);
  strictEqual((await asUser(1000, `chmod 2755 ${directory}/group/new`, "50")).code, 0);
  strictEqual(libc.stat(join(directory, "group/new")).mode & 0o7777, 0o755);
  await mounted.finish();
});

mountTest("options: long flags stand among those of -o; a flag of its own wins", async (mounted) => {
  const { metaUrl, mountPoint } = mounted;
  for (const name of ["a", "b"]) await Deno.mkdir(join(mountPoint, name, `in ${name}`), { recursive: true });
  await mounted.remount("-o", "ro,rw,buffer-size=20,cache-memory=8,entry-cache=0", "-o", "subdir=b,subdir=a");
  strictEqual(await run("ls", [mountPoint]), "in a\n");
  await mounted.remount("--subdir", "b", "-o", "subdir=a");
  strictEqual(await run("ls", [mountPoint]), "in b\n");
  await mounted.unmount();
  for (
    const [options, reason] of [
      ["buffer-size", /-o buffer-size needs a value/],
      ["verbose=1", /-o verbose stands alone/],
      ["cache-memory=lots", /--cache-memory: "lots" is not a size/],
      ["anonuid=3", /need root_squash or all_squash/],
      ["root-squash=3", /--root-squash: "3" is not UID:GID/],
    ] as const
  ) {
    const refused = await slayerfs(["mount", "-o", options, metaUrl, mountPoint]);
    match(refused.stderr, reason);
    strictEqual(refused.code, 2);
  }
});

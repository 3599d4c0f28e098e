/**
 * More programs that people use, on a mount: npm, tar, rsync, cp, make, find, du, df, flock. Where it makes sense each
 * one runs on a plain directory first. Postgres has a file of its own.
 */
import assert from "node:assert/strict";
import { SEEK } from "../posix/abi.ts";
import { open, stat } from "../posix/sys.ts";
import { close, lseek } from "../posix/sys_file.ts";
import { mountTest, oracleTest } from "../helpers/mounted.ts";
import { makeOddTree } from "../helpers/sample_tree.ts";
import { hasProgram, outputOf, run, shell } from "../helpers/shell.ts";
import { requireSameTree, snapshot } from "../helpers/tree_snapshot.ts";

/** For a name: what a test needs and this machine lacks. */
async function lacks(...programs: string[]): Promise<string> {
  const missing: string[] = [];
  for (const program of programs) if (!await hasProgram(program)) missing.push(program);
  return missing.length === 0 ? "" : ` (skipped: no ${missing.join(", ")})`;
}

const noNpm = Deno.env.has("SLAYERFS_TEST_NPM")
  ? await lacks("npm", "node") || await npmProblem()
  : " (skipped: goes to the network, SLAYERFS_TEST_NPM=1 runs it)";
const NPM_PACKAGES = "express@4.21.2 semver@7.6.3";

async function npmProblem(): Promise<string> {
  const args = ["view", "express@4.21.2", "version", "--fetch-retries=0", "--fetch-timeout=10000"];
  const { code } = await outputOf("npm", args);
  return code === 0 ? "" : " (skipped: npm reaches no registry)";
}

// npm checks the hash of each package itself. Without the host: most of the time goes to the network.
mountTest(
  `programs: npm installs packages, its cache beside them, and again from the cache alone${noNpm}`,
  async (mounted) => {
    const directory = mounted.mountPoint;
    const flags =
      "--cache ../cache --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error";
    await shell(
      `mkdir project && cd project
       echo '{ "name": "project", "version": "1.0.0", "private": true }' > package.json
       npm install ${flags} ${NPM_PACKAGES}
       mkdir ../again && cp -a package.json package-lock.json ../again && cd ../again
       npm ci --offline ${flags}
       npm ls --all > /dev/null
       node -e 'require("express")'
       test "$(./node_modules/.bin/semver -i minor 1.2.3)" = 1.3.0
       diff -r node_modules ../project/node_modules`,
      { cwd: directory, env: { HOME: directory, NO_COLOR: "1" } },
    );
    const installed = snapshot(`${directory}/again/node_modules`);
    assert(installed.size > 500, `${installed.size} files`);
    await mounted.remount();
    requireSameTree(installed, snapshot(`${directory}/again/node_modules`), "differs after remounting");
    await mounted.finish();
  },
  { ignore: noNpm !== "" },
);

/** Fills `tree` with files, links, extended attributes and ACLs. */
function treeWithAttributes(directory: string): Promise<string> {
  makeOddTree(`${directory}/tree`);
  return shell(
    `mkdir tree/attributes && cd tree/attributes
     for i in $(seq 20); do seq $((i * 50)) > file$i; done
     setfattr -n user.plain -v text file1
     setfattr -n user.binary -v 0x00ff0a0d file1
     setfattr -n user.empty file2
     setfattr -n user.long -v "$(head -c 3000 /dev/zero | tr '\\0' x)" file3
     setfattr -n trusted.root -v only file4
     ln file1 linked && ln -s file1 symbolic && setfattr -h -n trusted.link -v yes symbolic
     setfacl -m u:1234:rwx,g:4321:r,m::rx file5
     mkdir sub && setfacl -d -m u:1234:rwx,g::-,o::- sub && touch sub/inherits && mkdir sub/deeper
     setfattr -n user.dir -v d sub`,
    { cwd: directory },
  );
}

/** All attributes of a tree, as the programs print them. */
const attributesOf = (tree: string) =>
  shell(`cd '${tree}' && find . | LC_ALL=C sort > /dev/null
         getfattr -R -P -h -d -m '^(user|trusted)\\.' --absolute-names . | sed '/^$/d' && getfacl -R -P -n -p . `);

const noAttributes = await lacks("tar", "setfattr", "setfacl");
oracleTest(`programs: tar keeps extended attributes and ACLs${noAttributes}`, async (directory) => {
  await treeWithAttributes(directory);
  await shell(
    `tar --xattrs --xattrs-include='*' --acls --numeric-owner -cf tree.tar tree
     mkdir out && tar --xattrs --xattrs-include='*' --acls --numeric-owner -xpf tree.tar -C out`,
    { cwd: directory },
  );
  const attributes = lines(await attributesOf(`${directory}/tree/attributes`));
  assert.deepEqual(lines(await attributesOf(`${directory}/out/tree/attributes`)), attributes);
  assert(attributes.length > 40, attributes.join("\n"));
  return attributes;
}, {
  ignore: noAttributes !== "",
  compare: (host, mount) => assert.deepEqual(mount, host),
  again: async (directory, before) => {
    assert.deepEqual(lines(await attributesOf(`${directory}/out/tree/attributes`)), before);
  },
});

/** The order in which a directory lists its entries is its own matter. */
const lines = (text: string): string[] => text.split("\n").sort();

const noRsync = await lacks("rsync", "setfattr", "setfacl");
oracleTest(
  `programs: rsync -aHAX moves everything once, and nothing the second time${noRsync}`,
  async (directory) => {
    const source = await Deno.makeTempDir({ prefix: "slayerfs-source-" });
    try {
      await treeWithAttributes(source);
      const to = `${directory}/copy/`;
      const rsync = (...more: string[]) =>
        run("rsync", ["-aHAXS", "--numeric-ids", "--modify-window=-1", "-i", ...more, `${source}/tree/`, to]);
      const first = await rsync();
      assert(first.split("\n").length > 80, "the first run copies");
      assert.equal(await rsync(), "", "the second run has nothing to do");
      // With the times forgotten it has to look at the bytes.
      assert.equal(await rsync("--checksum"), "", "the bytes are the same");
      requireSameTree(snapshot(`${source}/tree`), snapshot(`${directory}/copy`), "the copy differs");
      assert.deepEqual(
        lines(await attributesOf(`${directory}/copy/attributes`)),
        lines(await attributesOf(`${source}/tree/attributes`)),
      );
      await shell(
        `seq 7 > tree/attributes/file3; rm tree/attributes/file2; mv tree/attributes/file4 tree/attributes/moved
                 setfattr -x user.plain tree/attributes/file1`,
        { cwd: source },
      );
      const changes = (await rsync("--delete")).split("\n").map((line) => line.split(" ").at(-1)).sort();
      assert.equal(await rsync("--delete"), "");
      requireSameTree(
        snapshot(`${source}/tree`),
        snapshot(`${directory}/copy`),
        "the copy differs after changes",
      );
      return changes;
    } finally {
      await Deno.remove(source, { recursive: true });
    }
  },
  { ignore: noRsync !== "", compare: (host, mount) => assert.deepEqual(mount, host) },
);

/** Where a file has data, as lseek(2) tells. */
function dataOf(path: string): { from: number; to: number }[] {
  const fd = open(path, 0);
  assert(fd >= 0);
  try {
    const ranges: { from: number; to: number }[] = [];
    for (let at = 0;;) {
      const from = lseek(fd, at, SEEK.DATA);
      if (from < 0) return ranges;
      at = lseek(fd, from, SEEK.HOLE);
      ranges.push({ from, to: at });
    }
  } finally {
    close(fd);
  }
}

oracleTest("programs: cp -a --sparse=always leaves holes where zeros are", async (directory) => {
  await shell(
    `head -c 1000000 /dev/urandom > data
     truncate -s 50M holes && for at in 0 9 30 49; do dd if=data of=holes bs=1M seek=$at count=1 conv=notrunc status=none; done
     dd if=holes of=zeros bs=1M status=none
     cp -a --sparse=always zeros sparse && cp -a --sparse=always holes again && cp -a --reflink=auto holes cloned
     cp --sparse=never holes full
     for copy in zeros sparse again cloned full; do cmp holes $copy; done`,
    { cwd: directory },
  );
  const total = (name: string) =>
    dataOf(`${directory}/${name}`).reduce((sum, { from, to }) => sum + to - from, 0);
  assert(total("zeros") >= 50 << 20, "without it zeros are data");
  for (const name of ["holes", "sparse", "again", "cloned"]) {
    assert(dataOf(`${directory}/${name}`).length === 4, `${name} has data in four places`);
    assert(total(name) < 5 << 20, `${name} has little data: ${total(name)}`);
  }
  return await run("stat", ["-c", "%n %s %a %u", "sparse", "again", "cloned"], { cwd: directory });
}, { compare: (host, mount) => assert.equal(mount, host) });

const noMake = await lacks("make", "gcc");
oracleTest(`programs: make builds what is out of date and nothing else${noMake}`, async (directory) => {
  await shell(
    `cat > Makefile <<'END'
objects = main.o one.o two.o
program: $(objects)
\tgcc -o $@ $^
%.o: %.c common.h
\tgcc -c -o $@ $<
END
     echo 'int one(void); int two(void);' > common.h
     for name in one two; do echo "#include \\"common.h\\"
int $name(void) { return 1; }" > $name.c; done
     printf '#include "common.h"\\nint main(void) { return one() + two() - 2; }\\n' > main.c`,
    { cwd: directory },
  );
  const make = () => run("make", [], { cwd: directory });
  const outputs = [await make()];
  await shell("./program", { cwd: directory });
  const second = await make();
  assert.match(second, /up to date/);
  assert.doesNotMatch(second, /gcc/);
  await shell("echo 'int two(void) { return 1; } ' > two.c", { cwd: directory });
  outputs.push(second, await make(), await make());
  assert.equal(outputs[2]?.match(/gcc -c/g)?.length, 1, "one source was changed");
  await shell("touch common.h", { cwd: directory });
  outputs.push(await make(), await make());
  assert.equal(outputs[4]?.match(/gcc -c/g)?.length, 3, "all depend on the header");
  return outputs;
}, { ignore: noMake !== "", compare: (host, mount) => assert.deepEqual(mount, host) });

oracleTest("programs: find by times, sizes, kinds and links", async (directory) => {
  await shell(
    `mkdir -p a/b/c && touch -d '2020-01-01 00:00:00.5' a/old && touch -d '2020-01-01 00:00:00.500000001' a/newer
     touch -d '2030-01-01' a/b/future && touch a/b/now && head -c 100000 /dev/zero > a/b/c/big
     ln a/old a/b/linked && ln -s ../old a/b/symbolic && ln -s nowhere a/dangling && mkfifo a/pipe && chmod 4755 a/b/now
     touch a/b/before && sleep 0.01 && touch a/reference && sleep 0.01 && echo x >> a/b/before && touch a/after`,
    { cwd: directory },
  );
  return await shell(
    `f() { echo "find $*"; find a "$@" | LC_ALL=C sort; }
     f -newer a/old; f ! -newer a/old; f -newer a/reference; f -cnewer a/reference -type f
     f -newermt 2025-01-01; f -mtime +1000; f -mmin -5 -type f; f -empty; f -size +90k; f -links +1 -type f
     f -type l; f -xtype l; f -type p; f -perm -4000; f -samefile a/old; f -maxdepth 1; f -depth -name 'b*'
     find a -type f -printf '%p %s %m %n %l\\n' | LC_ALL=C sort
     find a -name 'n*' -print0 | xargs -0 ls -d | LC_ALL=C sort
     find a -type f -name now -delete && find a -name now`,
    { cwd: directory },
  );
}, { compare: (host, mount) => assert.equal(mount, host) });

mountTest("programs: du, df, ls and stat agree with each other", async (mounted) => {
  const { mountPoint } = mounted;
  const sh = (script: string) => shell(script, { cwd: mountPoint });
  const number = async (script: string) => Number((await sh(script)).trim());
  const used = () => number("df -B1 --output=used . | tail -1");
  const inodes = () => number("df --output=iused . | tail -1");
  const before = { used: await used(), inodes: await inodes(), du: await number("du -sB1 . | cut -f1") };
  await sh(
    `mkdir -p tree/sub && cd tree
     for i in $(seq 40); do head -c $((i * 777)) /dev/urandom > file$i; done
     head -c 5000000 /dev/urandom > sub/big && truncate -s 3M sub/sparse && : > sub/empty
     ln sub/big sub/linked && ln -s big sub/symbolic && mkfifo sub/pipe
     truncate -s 100 file40 && rm file39 && echo more >> file38 && cp file1 file2 && sync`,
  );
  const agree = async () => {
    const du = await number("du -sB1 . | cut -f1");
    assert.equal(await used() - before.used, du - before.du, "df counts what du counts");
    assert.equal(
      await inodes() - before.inodes,
      await number("du --inodes -s tree | cut -f1"),
      "df -i, du --inodes",
    );
    // Each inode once.
    const blocks = await number(
      "find tree -printf '%i %b\\n' | sort -u | awk '{ n += $2 } END { print n * 512 }'",
    );
    assert.equal(await number("du -sB1 tree | cut -f1"), blocks, "du and stat");
    const fromLs = await sh(`ls -lR --time-style=+%s.%N tree | awk '/^-/ { print $5, $6, $7 }' | sort`);
    const fromStat = await sh(
      `find tree -type f | while read -r path; do stat -c '%s %.Y %n' "$path"; done | sed 's| .*/| |' |
       awk '{ print $1, $2, $3 }' | sort`,
    );
    const fromFind = await sh(`find tree -type f -printf '%s %T@ %f\\n' | sort`);
    assert.equal(normalTimes(fromFind), normalTimes(fromLs), "find and ls");
    assert.equal(lines(fromStat).length, lines(fromLs).length, "stat and ls");
    const sizes = await number(
      "find tree -type f -printf '%i %s\\n' | sort -u | awk '{ n += $2 } END { print n }'",
    );
    const apparent = await number("find tree -type f -print0 | du --files0-from=- -cb | tail -1 | cut -f1");
    assert.equal(apparent, sizes, "du --apparent-size");
  };
  await agree();
  // Statfs of the file system that holds it, by another program.
  const [total, free, size] = (await sh("stat -f -c '%b %f %S' .")).trim().split(" ").map(Number);
  assert.equal(((total ?? 0) - (free ?? 0)) * (size ?? 0), await used(), "stat -f and df");
  const { size: bytes, blocks } = stat(`${mountPoint}/tree/sub/big`) as { size: number; blocks: number };
  assert.equal(bytes, 5_000_000);
  assert.equal(blocks, Math.ceil(5_000_000 / 4096) * 8);
  await mounted.remount();
  await agree();
  await sh("rm -r tree && sync");
  assert.equal(await inodes(), before.inodes);
  assert.equal(await used(), before.used);
  await mounted.finish();
});

/** find pads fractions of a second with a zero that ls does not print. */
const normalTimes = (text: string) => text.replace(/(\.\d{9})0\b/g, "$1");

oracleTest("programs: flock of two processes lets one in at a time", async (directory) => {
  return await shell(
    `echo 0 > counter
     count() { for i in $(seq 25); do flock lock sh -c 'n=$(cat counter); echo $((n + 1)) > counter'; done; }
     count & first=$!
     count & second=$!
     wait $first && wait $second
     cat counter
     exec 9> lock && flock 9
     flock -n lock true && echo wrong || echo "held: $?"
     flock -w 0.1 -E 7 lock true || echo "timed out: $?"
     flock -n -s lock true && echo wrong || echo "no shared one beside it: $?"
     flock -s 9 && flock -n -s lock echo "shared beside shared" && { flock -n -x lock true || echo "no exclusive one: $?"; }
     flock -u 9 && flock -n lock echo "free again"
     (flock 8; sleep 0.2; echo first >> order) 8> lock &
     sleep 0.05; flock lock sh -c 'echo second >> order'; wait; cat order
     (flock 8; exec sleep 100) 8> lock & sleep 0.1; kill -9 $!; flock -w 20 lock echo "the dead hold nothing"`,
    { cwd: directory },
  );
}, { ignore: !await hasProgram("flock"), compare: (host, mount) => assert.equal(mount, host) });

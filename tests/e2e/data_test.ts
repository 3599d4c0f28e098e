/** File contents on a real mount: large and sparse files, appends, files without a name, large directories, memory. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import * as libc from "../helpers/libc.ts";
import { mountTest, oracleTest } from "../helpers/mounted.ts";
import { patternBytes } from "../helpers/sample_tree.ts";
import { randomOf } from "../model/random.ts";

const MIB = 1 << 20;
const GIB = 1 << 30;

function seedOf(name: string): number {
  const given = Deno.env.get("SLAYERFS_MODEL_SEED");
  const seed = given === undefined ? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0 : Number(given);
  console.log(`${name}: seed ${seed} (again: SLAYERFS_MODEL_SEED=${seed})`);
  return seed;
}

/** Compares two files of one length piece by piece. */
function requireSameBytes(expectedPath: string, actualPath: string): void {
  assert.equal(libc.stat(actualPath).size, libc.stat(expectedPath).size, "length");
  const [a, b] = [libc.open(expectedPath, libc.O.RDONLY), libc.open(actualPath, libc.O.RDONLY)];
  try {
    const [expected, actual] = [new Uint8Array(4 * MIB), new Uint8Array(4 * MIB)];
    for (let offset = 0;;) {
      const count = readFully(a, expected, offset);
      assert.equal(readFully(b, actual, offset), count, `bytes at ${offset}`);
      if (count === 0) return;
      if (Buffer.compare(expected.subarray(0, count), actual.subarray(0, count)) !== 0) {
        const at = expected.findIndex((byte, i) => byte !== actual[i]);
        assert.fail(`byte ${offset + at}: expected ${expected[at]}, got ${actual[at]}`);
      }
      offset += count;
    }
  } finally {
    libc.close(a);
    libc.close(b);
  }
}

function readFully(fd: number, into: Uint8Array<ArrayBuffer>, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = libc.pread(fd, into.subarray(done), offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

mountTest(
  "data: a sparse file of 3 GiB, written, cut and extended at random, is what its shadow copy is",
  async (mounted) => {
    const random = randomOf(seedOf("sparse file"));
    const shadowPath = join(mounted.directory, "shadow");
    const path = join(mounted.mountPoint, "sparse");
    const flags = libc.O.CREAT | libc.O.RDWR;
    let files = [libc.open(shadowPath, flags), libc.open(path, flags)];
    const both = (operation: (fd: number) => void) => files.forEach(operation);
    both((fd) => libc.ftruncate(fd, 3 * GIB));
    let length = 3 * GIB;
    for (let i = 0; i < 400; i++) {
      const kind = random.below(20);
      if (kind === 0) {
        // Mostly near the end, so that the file stays large.
        length = random.chance(0.2) ? random.below(3 * GIB) : Math.max(0, length - random.below(50 * MIB));
        both((fd) => libc.ftruncate(fd, length));
      } else if (kind === 1) {
        length = Math.max(length, 3 * GIB - random.below(100 * MIB));
        both((fd) => libc.ftruncate(fd, length));
      } else if (kind === 2) {
        both((fd) => libc.fsync(fd));
      } else if (kind < 6) {
        const at = random.below(length + 1);
        const [expected, actual] = [new Uint8Array(200_000), new Uint8Array(200_000)];
        const count = readFully(files[0] ?? -1, expected, at);
        assert.equal(readFully(files[1] ?? -1, actual, at), count);
        assert.equal(
          Buffer.compare(expected.subarray(0, count), actual.subarray(0, count)),
          0,
          `bytes at ${at}`,
        );
      } else {
        // Around the boundaries of chunks as often as anywhere.
        const at = random.chance(0.3)
          ? Math.max(0, (1 + random.below(47)) * 64 * MIB + random.below(65_536) - 32_768)
          : random.below(3 * GIB);
        const data = patternBytes(1 + random.below(random.chance(0.1) ? 6 * MIB : 100_000), i);
        both((fd) => libc.pwrite(fd, data, at));
        length = Math.max(length, at + data.length);
      }
      if (i === 200) {
        both((fd) => libc.close(fd));
        await mounted.remount();
        files = [libc.open(shadowPath, libc.O.RDWR), libc.open(path, libc.O.RDWR)];
      }
    }
    both((fd) => libc.close(fd));
    requireSameBytes(shadowPath, path);
    await mounted.remount();
    requireSameBytes(shadowPath, path);
    await mounted.finish();
  },
);

const RECORD_BYTES = 200;

oracleTest("data: two processes append to one file, and no record is lost or torn", async (directory) => {
  const path = join(directory, "log");
  const script = join(directory, "append.ts");
  const helper = JSON.stringify(new URL("../helpers/libc.ts", import.meta.url).href);
  await Deno.writeTextFile(
    script,
    `import * as libc from ${helper};
     const fd = libc.open(Deno.args[0], libc.O.CREAT | libc.O.WRONLY | libc.O.APPEND);
     for (let i = 0; i < 2000; i++) {
       const record = new TextEncoder().encode((Deno.args[1] + " " + i + " ").padEnd(${
      RECORD_BYTES - 1
    }, Deno.args[1]) + "\\n");
       if (libc.write(fd, record) !== record.length) throw new Error("short write");
       if (i % 500 === 0) libc.fsync(fd);
     }
     libc.close(fd);`,
  );
  const writers = ["a", "b"].map((who) =>
    new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--no-check", "--no-config", script, path, who] })
      .output()
  );
  for (const { code, stderr } of await Promise.all(writers)) {
    assert.equal(code, 0, new TextDecoder().decode(stderr));
  }
  requireRecords(path);
}, { again: (directory) => Promise.resolve(requireRecords(join(directory, "log"))) });

function requireRecords(path: string): void {
  const lines = Deno.readTextFileSync(path).split("\n");
  assert.equal(lines.pop(), "");
  const next: Record<string, number> = { a: 0, b: 0 };
  for (const line of lines) {
    const who = line[0] ?? "";
    // Each writer's records are there once each, in their order, and whole.
    assert.equal(line, `${who} ${next[who]} `.padEnd(RECORD_BYTES - 1, who));
    next[who] = (next[who] ?? 0) + 1;
  }
  assert.deepEqual(next, { a: 2000, b: 2000 });
}

oracleTest("data: a file without a name stays usable until it is closed", async (directory) => {
  const path = join(directory, "file");
  const fd = libc.open(path, libc.O.CREAT | libc.O.RDWR);
  const data = patternBytes(5 * MIB, 1);
  assert.equal(libc.pwrite(fd, data, 0), data.length);
  libc.unlink(path);
  assert.deepEqual(libc.readdir(directory), []);
  assert.equal(libc.fstat(fd).nlink, 0);
  assert.equal(libc.fstat(fd).size, data.length);
  const back = new Uint8Array(data.length);
  assert.equal(readFully(fd, back, 0), data.length);
  assert.deepEqual(back, data);
  libc.fsync(fd);
  libc.pwrite(fd, data, 10 * MIB);
  libc.ftruncate(fd, 12 * MIB);
  assert.equal(readFully(fd, back, 7 * MIB), back.length);
  assert.equal(Buffer.compare(back.subarray(3 * MIB), data.subarray(0, 2 * MIB)), 0);
  assert.ok(back.subarray(0, 3 * MIB).every((byte) => byte === 0));
  // Another file of the same name is another file.
  await Deno.writeTextFile(path, "new");
  assert.notEqual(libc.stat(path).ino, libc.fstat(fd).ino);
  libc.close(fd);
  assert.equal(await Deno.readTextFile(path), "new");
  // The same by a rename over it.
  const other = libc.open(join(directory, "other"), libc.O.CREAT | libc.O.RDWR);
  libc.pwrite(other, data, 0);
  libc.rename(path, join(directory, "other"));
  assert.equal(readFully(other, back, 0), data.length);
  assert.deepEqual(back, data);
  libc.close(other);
});

mountTest("data: a directory of 100,000 files lists completely", async (mounted) => {
  const directory = join(mounted.mountPoint, "many");
  await Deno.mkdir(directory);
  const count = 100_000;
  const prefix = libc.bytesOf(`${directory}/`);
  for (let i = 0; i < count; i++) {
    const name = libc.bytesOf(`file-${i}`);
    const path = new Uint8Array(prefix.length + name.length);
    path.set(prefix);
    path.set(name, prefix.length);
    libc.close(libc.open(path, libc.O.CREAT | libc.O.EXCL | libc.O.WRONLY));
  }
  const requireAll = () => {
    const names = libc.readdir(directory).map(({ name }) => new TextDecoder().decode(name));
    assert.equal(names.length, count);
    assert.equal(new Set(names).size, count);
    assert.ok(names.every((name) => /^file-\d{1,5}$/.test(name)));
  };
  requireAll();
  await mounted.remount();
  requireAll();
  // Removing while listing: nothing is skipped.
  let removed = 0;
  for await (const entry of Deno.readDir(directory)) {
    libc.unlink(join(directory, entry.name));
    removed++;
  }
  assert.equal(removed, count);
  libc.rmdir(directory);
  await mounted.finish();
});

/** Size of the memory test; smaller for a quick look. */
const largeBytes = Number(Deno.env.get("SLAYERFS_TEST_LARGE_GIB") ?? 4) * GIB;
const RESIDENT_MAX = 450 * MIB;

mountTest("data: writing and reading back 4 GiB keeps the process small", async (mounted) => {
  const path = join(mounted.mountPoint, "large");
  const block = patternBytes(MIB, 7);
  const stamp = new DataView(block.buffer);
  const blocks = Math.floor(largeBytes / MIB);
  let fd = libc.open(path, libc.O.CREAT | libc.O.WRONLY);
  for (let i = 0; i < blocks; i++) {
    stamp.setFloat64(0, i);
    stamp.setFloat64(MIB - 8, -i);
    assert.equal(libc.write(fd, block), MIB);
  }
  libc.fsync(fd);
  libc.close(fd);
  const written = await mounted.memory();
  await mounted.remount();
  const back = new Uint8Array(MIB);
  const seen = new DataView(back.buffer);
  const middle = block.slice(8, MIB - 8);
  fd = libc.open(path, libc.O.RDONLY);
  for (let i = 0; i < blocks; i++) {
    assert.equal(readFully(fd, back, i * MIB), MIB);
    assert.equal(seen.getFloat64(0), i);
    assert.equal(seen.getFloat64(MIB - 8), -i);
    assert.equal(Buffer.compare(back.subarray(8, MIB - 8), middle), 0, `block ${i}`);
  }
  libc.close(fd);
  const read = await mounted.memory();
  console.log(
    `peak resident: ${written.peakBytes / MIB | 0} MiB writing, ${read.peakBytes / MIB | 0} MiB reading`,
  );
  assert.ok(written.peakBytes < RESIDENT_MAX, `writing took ${written.peakBytes / MIB} MiB`);
  assert.ok(read.peakBytes < RESIDENT_MAX, `reading took ${read.peakBytes / MIB} MiB`);
  await mounted.finish({ contents: false });
}, { ignore: await freeBytes() < largeBytes * 1.5 });

/** Where the tests' directories are. */
async function freeBytes(): Promise<number> {
  const { statfs } = await import("node:fs/promises");
  const { bavail, bsize } = await statfs(Deno.env.get("TMPDIR") ?? "/tmp");
  return bavail * bsize;
}

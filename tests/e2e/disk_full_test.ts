/** A bucket that runs full: the writer gets ENOSPC, the mount lives, reads go on, and with space again writes work. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { mountSkipReason } from "../helpers/can_mount.ts";
import * as libc from "../helpers/libc.ts";
import { isMounted, Mounted } from "../helpers/mounted.ts";
import { patternBytes } from "../helpers/sample_tree.ts";
import { outputOf, run } from "../helpers/shell.ts";

const MIB = 1 << 20;
/** The first three files do not fit together; without the second the others do. */
const BUCKET_BYTES = 64 * MIB;
const [KEPT_BYTES, BALLAST_BYTES, LARGE_BYTES] = [10 * MIB, 30 * MIB, 40 * MIB];

const reason = mountSkipReason();

Deno.test({
  name: `disk full: ENOSPC for the writer and nobody else${
    reason === undefined ? "" : ` (skipped: ${reason})`
  }`,
  ignore: reason !== undefined,
  async fn() {
    const small = await Deno.makeTempDir({ prefix: "slayerfs-full-" });
    await run("mount", ["-t", "tmpfs", "-o", `size=${BUCKET_BYTES}`, "tmpfs", small]);
    let mounted: Mounted | null = null;
    try {
      mounted = await Mounted.create({ bucket: `file:${join(small, "objects")}` });
      await fillAndFree(mounted);
      await mounted.finish();
    } finally {
      if (mounted !== null) await mounted.remove();
      await outputOf("umount", ["-l", small]);
      if (!await isMounted(small)) await Deno.remove(small);
    }
  },
});

async function fillAndFree(mounted: Mounted): Promise<void> {
  const at = (name: string) => join(mounted.mountPoint, name);
  const kept = patternBytes(KEPT_BYTES, 1);
  await Deno.writeFile(at("kept"), kept);
  const ballast = libc.open(at("ballast"), libc.O.CREAT | libc.O.WRONLY);
  libc.write(ballast, patternBytes(BALLAST_BYTES, 2));
  libc.fsync(ballast);
  libc.close(ballast);

  // More than there is room for. The error comes with a write or with fsync, and fsync goes on failing.
  const data = patternBytes(MIB, 3);
  const fd = libc.open(at("too large"), libc.O.CREAT | libc.O.RDWR);
  let written = 0;
  const fill = () => {
    for (; written < LARGE_BYTES; written += MIB) assert.equal(libc.pwrite(fd, data, written), MIB);
    libc.fsync(fd);
  };
  assert.throws(fill, { code: "ENOSPC" });
  assert.throws(() => libc.fsync(fd), { code: "ENOSPC" });

  // Others are served: cached or not, names or data.
  assert.deepEqual(await Deno.readFile(at("kept")), kept);
  assert.deepEqual(libc.readdir(mounted.mountPoint).length, 3);
  await Deno.mkdir(at("directory"));
  assert.ok(libc.stat(at("kept")).size === kept.length);
  // What was written and is not stored can be read all the same.
  const back = new Uint8Array(MIB);
  assert.equal(libc.pread(fd, back, 0), MIB);
  assert.deepEqual(back, data);

  // Space again: the data that waited is stored, without writing it anew.
  libc.unlink(at("ballast"));
  await succeeds(() => libc.fsync(fd));
  for (; written < LARGE_BYTES; written += MIB) assert.equal(libc.pwrite(fd, data, written), MIB);
  libc.close(fd);
  const more = patternBytes(5 * MIB, 4);
  await Deno.writeFile(at("more"), more);

  await mounted.remount();
  assert.deepEqual(await Deno.readFile(at("kept")), kept);
  assert.deepEqual(await Deno.readFile(at("more")), more);
  const large = await Deno.readFile(at("too large"));
  assert.equal(large.length, written);
  for (let offset = 0; offset < large.length; offset += MIB) {
    assert.deepEqual(large.subarray(offset, offset + MIB), data, `at ${offset}`);
  }
}

/** Tries until it succeeds, for a bounded time: space is freed in the background. */
async function succeeds(attempt: () => void): Promise<void> {
  for (let tries = 0;; tries++) {
    try {
      return attempt();
    } catch (error) {
      if (tries === 200) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

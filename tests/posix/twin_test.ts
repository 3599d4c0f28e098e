/** Random walks over a few names by several users, on the host and on a mount side by side (twin_world.ts). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { mountTest } from "../helpers/mounted.ts";
import { isRoot, ownUmask } from "./identity.ts";
import { umask } from "./sys.ts";
import { walk } from "./twin_world.ts";

/** The calls of one who owns nothing, -1 to -1, are a deviation; attributes of open files without a name are a fault. */
const options = { idleChowns: false, namelessSpecials: false };
const worlds = 8;
const stepsMax = 250;

mountTest("random calls of several users give on a mount what they give on the host", async (mounted) => {
  const seed = Number(Deno.env.get("SLAYERFS_TWIN_SEED") ?? Date.now() % 1_000_000);
  console.log(`walks from seed ${seed} (SLAYERFS_TWIN_SEED)`);
  const host = await Deno.makeTempDir({ prefix: "posix-twin-" });
  const tested = join(mounted.mountPoint, "twin");
  await Deno.mkdir(tested);
  for (const directory of [mounted.directory, host, tested]) await Deno.chmod(directory, 0o755);
  ownUmask();
  const maskBefore = umask(0);
  try {
    for (let i = 0; i < worlds; i++) {
      const { steps, found } = walk(host, tested, seed + i, stepsMax, options);
      assert.deepEqual(found, [], `seed ${seed + i}, the last steps:\n${steps.slice(-25).join("\n")}`);
    }
  } finally {
    umask(maskBefore);
    await Deno.remove(host, { recursive: true });
  }
  await Deno.remove(tested);
  await mounted.finish();
}, { ignore: !isRoot() });

/** The model test through the kernel: the same sequences by system calls on a real mount, with remounts. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mountTest } from "../helpers/mounted.ts";
import { run } from "../helpers/shell.ts";
import { runModel, runOptions } from "../model/harness.ts";
import { libcFs } from "../model/libc_fs.ts";

mountTest("model: a mount behaves as the reference", async (mounted) => {
  const previousUmask = Deno.umask(0o022);
  let count = 0;
  try {
    await runModel({
      name: "mount",
      // Remounting takes a second: it stands at the end, for all sequences, and not in each of them.
      reopen: false,
      dotdot: false,
      async make() {
        const root = join(mounted.mountPoint, String(count++), "root");
        await Deno.mkdir(root, { recursive: true, mode: 0o755 });
        return libcFs(root);
      },
    }, runOptions(150));
    await mounted.finish();
    await mounted.mount();
    await runModel({
      name: "mount with remounts",
      reopen: true,
      dotdot: false,
      async make() {
        const root = join(mounted.mountPoint, String(count++), "root");
        await Deno.mkdir(root, { recursive: true, mode: 0o755 });
        return libcFs(root, () => mounted.remount());
      },
    }, { ...runOptions(8), sequences: 8 });
  } finally {
    Deno.umask(previousUmask);
  }
  await mounted.finish();
});

mountTest(
  "model: five processes at once, three of them compared with the reference, two in each other's way",
  async (mounted) => {
    const seed = runOptions(1).seed;
    console.log(`seed ${seed} (again: SLAYERFS_MODEL_SEED=${seed}; the order of events is not repeated)`);
    const shared = join(mounted.mountPoint, "shared");
    await Deno.mkdir(shared);
    const worker = async (mode: string, directory: string, workerSeed: number, count: number) => {
      await Deno.mkdir(directory, { recursive: true });
      await run(Deno.execPath(), [
        ...["run", "-A", "--no-check", fileURLToPath(new URL("../model/mount_worker.ts", import.meta.url))],
        ...[mode, directory, String(workerSeed), String(count)],
      ], { env: { NO_COLOR: "1" } });
    };
    const results = await Promise.allSettled([
      ...[1, 2, 3].map((i) => worker("model", join(mounted.mountPoint, `own ${i}`), seed + i, 30)),
      ...[4, 5].map((i) => worker("chaos", shared, seed + i, 4000)),
    ]);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    await mounted.finish();
  },
);

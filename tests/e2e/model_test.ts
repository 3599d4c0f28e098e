/** The model test through the kernel: the same sequences by system calls on a real mount, with remounts. */
import { join } from "node:path";
import { mountTest } from "../helpers/mounted.ts";
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

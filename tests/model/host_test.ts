/** The reference itself is tested on the host's own file system: where they differ, the reference is wrong. */
import { libcFs } from "./libc_fs.ts";
import { runModel, runOptions } from "./harness.ts";

Deno.test("model: the reference agrees with the host's own file system", async () => {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-model-" });
  const previousUmask = Deno.umask(0o022);
  let count = 0;
  try {
    await runModel({
      name: "host",
      reopen: true,
      dotdot: false,
      async make() {
        const root = `${directory}/${count++}/root`;
        await Deno.mkdir(root, { recursive: true, mode: 0o755 });
        return libcFs(root);
      },
    }, runOptions(60));
  } finally {
    Deno.umask(previousUmask);
    await Deno.remove(directory, { recursive: true });
  }
});

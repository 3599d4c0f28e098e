/**
 * One of several processes that use a mount at the same time: mount_worker.ts MODE DIRECTORY SEED COUNT.
 * - `model`: runs COUNT sequences in a directory of its own and compares everything with the reference.
 * - `chaos`: runs COUNT commands in a directory that others use as well. What comes out is anybody's guess, but every
 *   error must be one that the calls can have.
 */
import { join } from "node:path";
import { runModel } from "./harness.ts";
import { nextCommand } from "./generate.ts";
import { libcFs } from "./libc_fs.ts";
import { randomOf } from "./random.ts";
import { ReferenceFs } from "./reference_fs.ts";

const POSSIBLE = new Set([
  "EBADF",
  "EBUSY",
  "EEXIST",
  "EINVAL",
  "EISDIR",
  "ELOOP",
  "ENOENT",
  "ENOTDIR",
  "ENOTEMPTY",
  "EPERM",
]);

async function chaos(directory: string, seed: number, commands: number): Promise<void> {
  const random = randomOf(seed);
  const fs = libcFs(directory);
  // Only for making up commands: the directory is not what it says.
  const reference = new ReferenceFs();
  for (let i = 0; i < commands; i++) {
    const command = nextCommand(random, reference, { reopen: false, dotdot: false });
    reference.run(command);
    const outcome = await fs.run(command);
    if ("error" in outcome && !POSSIBLE.has(outcome.error)) {
      throw new Error(`${JSON.stringify(command)} failed with ${outcome.error}`);
    }
  }
  await fs.close();
}

if (import.meta.main) {
  const [mode, directory = "", seed, count] = Deno.args;
  Deno.umask(0o022);
  if (mode === "chaos") {
    await chaos(directory, Number(seed), Number(count));
  } else {
    let made = 0;
    await runModel({
      name: `worker ${directory}`,
      reopen: false,
      dotdot: false,
      async make() {
        const root = join(directory, String(made++), "root");
        await Deno.mkdir(root, { recursive: true, mode: 0o755 });
        return libcFs(root);
      },
    }, { seed: Number(seed), sequences: Number(count), commands: 100 });
  }
}

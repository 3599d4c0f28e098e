/**
 * Random sequences of operations on the library API, compared with the reference after every step and in full at the end.
 * SLAYERFS_MODEL_SEED and SLAYERFS_MODEL_RUNS choose the sequences; every run prints its seed.
 */
import { runModel, runOptions } from "./harness.ts";
import { libsqlSubject, memorySubject } from "./subjects.ts";

Deno.test("model: a volume in memory behaves as the reference", async () => {
  await runModel(memorySubject(), runOptions(700));
});

Deno.test("model: a volume on libSQL and a directory behaves as the reference", async () => {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-model-" });
  try {
    await runModel(libsqlSubject(directory), runOptions(300));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

/**
 * The random exerciser (tests/fsx/) on mounts: more than 20,000 operations, from a new seed each time unless
 * SLAYERFS_FSX_SEED is set; SLAYERFS_FSX_OPS multiplies their number.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fsx, type FsxOptions } from "../fsx/fsx.ts";
import { type Mounted, type MountedOptions, mountTest } from "../helpers/mounted.ts";
import { seedOf } from "../model/random.ts";

const seed = numberOf("SLAYERFS_FSX_SEED") ?? Math.floor(Math.random() * 2 ** 31);
const times = numberOf("SLAYERFS_FSX_OPS") ?? 1;
const CHUNK_BYTES = 64 << 20;

function numberOf(variable: string): number | undefined {
  const text = Deno.env.get(variable);
  if (text === undefined || text === "") return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new Error(`${variable} is not a number: ${text}`);
  return number;
}

type Run = Omit<FsxOptions, "path" | "seed">;

let runsMade = 0;

function fsxTest(
  name: string,
  runs: readonly Run[],
  options: MountedOptions & { remount?: boolean } = {},
): void {
  const firstRun = runsMade;
  runsMade += runs.length;
  mountTest(`fsx: ${name}`, async (mounted: Mounted) => {
    console.log(`SLAYERFS_FSX_SEED=${seed}`);
    for (const [i, run] of runs.entries()) {
      const ran = await fsx({
        ...run,
        path: join(mounted.mountPoint, `file ${i}`),
        seed: seedOf(seed, firstRun + i),
        operations: run.operations * times,
        ...(options.remount === true ? { remount: () => mounted.remount() } : {}),
      });
      assert(ran > run.operations * 0.95, "operations ran");
    }
    await mounted.finish();
  }, options);
}

fsxTest("small files with many overlaps", [
  { operations: 4000, fileBytes: 20_000 },
  { operations: 3000, fileBytes: 256 << 10 },
]);

fsxTest("files of many small blocks", [
  { operations: 3000, fileBytes: 256 << 10 },
  { operations: 2000, fileBytes: 1 << 20, operationBytes: 256 << 10 },
], { formatArgs: ["--block-size", "64"] });

fsxTest("files that cross the border of two chunks", [
  { operations: 1500, fileBytes: 256 << 10, baseBytes: CHUNK_BYTES - (128 << 10) },
  // The border is the end of the file, more often than not.
  { operations: 1000, fileBytes: 40_000, baseBytes: CHUNK_BYTES - 36_000 },
]);

fsxTest("a file of several blocks, large operations", [
  { operations: 500, fileBytes: 12 << 20, operationBytes: 3 << 20 },
]);

fsxTest("O_DIRECT", [
  { operations: 2000, fileBytes: 256 << 10, direct: true },
  { operations: 1000, fileBytes: 256 << 10, direct: true, without: ["mapRead", "mapWrite", "pollute"] },
]);

fsxTest("attributes and names that are never kept", [
  { operations: 1000, fileBytes: 64 << 10 },
], { mountArgs: ["--attr-cache", "0", "--entry-cache", "0"] });

fsxTest("remounts", [
  { operations: 1500, fileBytes: 256 << 10, remounts: 5 },
], { remount: true });

/** The exerciser on the host's own file system, which proves it, and with faults made by hand, which it must find. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Failure, Numbered } from "./exerciser.ts";
import { fsx, type FsxOptions } from "./fsx.ts";
import { makeOperations, weights } from "./operations.ts";
import { shrink } from "./shrink.ts";
import { randomOf } from "../model/random.ts";

const ignore = Deno.build.os !== "linux";
const seed = Number(Deno.env.get("SLAYERFS_FSX_SEED") ?? Math.floor(Math.random() * 2 ** 31));

async function onHost(options: Omit<FsxOptions, "path" | "seed"> & { seed?: number }): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-fsx-" });
  try {
    await fsx({ seed, allowMissing: true, ...options, path: join(directory, "file") });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

for (
  const [name, options] of [
    ["a small file", { operations: 800, fileBytes: 20_000 }],
    ["a file of some pages", { operations: 800, fileBytes: 256 << 10 }],
    ["far into a file", { operations: 200, fileBytes: 256 << 10, baseBytes: (64 << 20) - (128 << 10) }],
  ] as const
) {
  Deno.test({ name: `fsx: the host's file system is right: ${name}`, ignore, fn: () => onHost(options) });
}

/** What fsx says of a file of which `tamper` changes something when it is closed once. */
async function reportOf(tamper: (path: string) => void): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-fsx-" });
  try {
    const remount = async () => {
      for (const { name } of Deno.readDirSync(directory)) tamper(join(directory, name));
      await Promise.resolve();
    };
    const options = {
      path: join(directory, "file"),
      seed: 1,
      operations: 100,
      fileBytes: 30_000,
      remounts: 1,
    };
    await fsx({ ...options, remount, allowMissing: true });
    return "nothing wrong";
  } catch (error) {
    return (error as Error).message;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test({
  name: "fsx: one wrong byte is found, and the sequence made as short as it can be",
  ignore,
  async fn() {
    const report = await reportOf((path) => {
      const { size } = Deno.statSync(path);
      if (size < 100) return;
      const file = Deno.openSync(path, { read: true, write: true });
      const byte = new Uint8Array(1);
      file.seekSync(99, Deno.SeekMode.Start);
      file.readSync(byte);
      file.seekSync(99, Deno.SeekMode.Start);
      file.writeSync(Uint8Array.of((byte[0] ?? 0) ^ 1));
      file.close();
    });
    assert.match(report, /^seed 1, operation 50 of 100, remount: read bytes differ: 1 of 99\.\.99 /);
    // Something that makes the file long enough, and what damaged it.
    assert.match(report, /the shortest sequence that fails \(2 operations, found in \d+ runs\)/);
  },
});

Deno.test({
  name: "fsx: a wrong length is found",
  ignore,
  async fn() {
    const report = await reportOf((path) => Deno.truncateSync(path, Deno.statSync(path).size + 1));
    assert.match(report, /remount: the length is \d+, not \d+/);
    assert.match(report, /\(1 operations, found in/);
  },
});

Deno.test("fsx: the same seed makes the same operations, within the file", () => {
  const shape = { fileBytes: 10_000, baseBytes: 5000, operationBytes: 3000, alignBytes: 1, weights };
  const operations = makeOperations(randomOf(7), 5000, shape);
  assert.deepEqual(makeOperations(randomOf(7), 5000, shape), operations);
  const kinds = new Set(operations.map((each) => each.do));
  assert.deepEqual([...kinds].sort(), Object.keys(weights).filter((kind) => kind !== "remount").sort());
  for (const operation of operations) {
    if (!("at" in operation) || operation.do === "seek") continue;
    const { at, length } = operation;
    assert(length > 0 && at >= 5000 && at + length <= 15_000, JSON.stringify(operation));
    if (operation.do === "copy") {
      assert(operation.to >= 5000 && operation.to + length <= 15_000, JSON.stringify(operation));
      assert(Math.abs(operation.to - at) >= length, "the ranges overlap");
    }
  }
});

Deno.test("fsx: shrinking keeps what the failure needs and nothing else", async () => {
  const list = Array.from({ length: 500 }, (_, number): Numbered => ({ number, operation: { do: "fsync" } }));
  // It fails at 400, if 17 and 230 came before it in this order.
  const run = (part: readonly Numbered[]): Promise<Failure | null> => {
    const numbers = part.map((each) => each.number);
    const last = part.find((each) => each.number === 400);
    const fails = last !== undefined && numbers.includes(17) && numbers.includes(230);
    return Promise.resolve(fails ? { ...last, message: "wrong" } : null);
  };
  const shrunk = await shrink(list, run, 1e6);
  assert.deepEqual(shrunk?.list.map((each) => each.number), [17, 230, 400]);
  assert.equal(await shrink(list, () => Promise.resolve(null), 1e6), null);
});

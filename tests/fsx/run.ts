/**
 * Exercises one file at random and compares it with a copy in memory after each operation:
 *
 *     deno run -A tests/fsx/run.ts PATH [--ops N] [--seed S] [--file-bytes N] [--base-bytes N] [--op-bytes N] [--direct]
 *         [--remount COMMAND --remounts N] [--without KIND,...] [--log FILE]
 *
 * PATH is a file that may be overwritten, on the file system to be tried. COMMAND unmounts and mounts it again. The log has
 * each operation before it runs, for when the process does not survive one (SIGBUS).
 */
import { parseArgs } from "node:util";
import { fsx } from "./fsx.ts";
import { type Kind, weights } from "./operations.ts";

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    ops: { type: "string", default: "10000" },
    seed: { type: "string" },
    "file-bytes": { type: "string", default: "262144" },
    "base-bytes": { type: "string", default: "0" },
    "op-bytes": { type: "string" },
    direct: { type: "boolean", default: false },
    remount: { type: "string" },
    remounts: { type: "string", default: "0" },
    without: { type: "string", default: "" },
    log: { type: "string" },
  },
});

function fail(message: string): never {
  console.error(message);
  Deno.exit(2);
}

function count(
  name: "ops" | "seed" | "file-bytes" | "base-bytes" | "op-bytes" | "remounts",
): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) fail(`--${name} takes a number, not ${text}`);
  return number;
}

function isKind(text: string): text is Kind {
  return Object.hasOwn(weights, text);
}

const path = positionals[0];
if (path === undefined || positionals.length > 1) fail("usage: run.ts PATH [--ops N] [--seed S] ...");
const without = values.without.split(",").filter((kind) => kind !== "").map((kind) => {
  return isKind(kind) ? kind : fail(`--without: no such kind: ${kind} (${Object.keys(weights).join(", ")})`);
});
const { remount: command } = values;
const remount = command === undefined ? undefined : async () => {
  const { success } = await new Deno.Command("/bin/sh", { args: ["-c", command], stdin: "null" }).output();
  if (!success) throw new Error(`${command} failed`);
};
const seed = count("seed") ?? Math.floor(Math.random() * 2 ** 31);
const log = values.log === undefined
  ? undefined
  : await Deno.open(values.log, { write: true, create: true, truncate: true });
const encoder = new TextEncoder();
console.log(`seed ${seed}`);
try {
  const ran = await fsx({
    path,
    seed,
    operations: count("ops") ?? 0,
    fileBytes: count("file-bytes") ?? 0,
    baseBytes: count("base-bytes"),
    operationBytes: count("op-bytes"),
    direct: values.direct,
    remount,
    remounts: count("remounts"),
    allowMissing: true,
    without,
    onStart: log === undefined ? undefined : (line) => void log.writeSync(encoder.encode(`${line}\n`)),
  });
  console.log(`${ran} operations, nothing wrong`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}

/** One run of the exerciser, from a seed to a report. */
import { randomOf } from "../model/random.ts";
import { type Failure, type Numbered, runOperations, type Target, unsupported } from "./exerciser.ts";
import { describe, type Kind, makeOperations, type Shape, weights } from "./operations.ts";
import { shrink } from "./shrink.ts";

export interface FsxOptions {
  /** The file that is worked on; removed in the end unless something failed. */
  readonly path: string;
  readonly seed: number;
  readonly operations: number;
  readonly fileBytes: number;
  /** Where in the file; default 0. */
  readonly baseBytes?: number;
  /** Of one operation; default a quarter of `fileBytes`, at most 64 KiB. */
  readonly operationBytes?: number;
  readonly direct?: boolean;
  /** Unmounts and mounts again. */
  readonly remount?: () => Promise<void>;
  /** How many of the operations are remounts, about. */
  readonly remounts?: number;
  /** What the file system does not have is left out; otherwise it is a failure. */
  readonly allowMissing?: boolean;
  readonly without?: readonly Kind[];
  /** Each operation before it runs. */
  readonly onStart?: (line: string) => void;
}

/** Operations that finding a short sequence may cost. */
const SHRINK_OPERATIONS = 100_000;

/** Throws with a report if the file was ever not what it must be. Returns how many operations ran. */
export async function fsx(options: FsxOptions): Promise<number> {
  const direct = options.direct ?? false;
  const missing = unsupported(options.path);
  if (missing.length > 0 && options.allowMissing !== true) {
    throw new Error(`not supported: ${missing.join(", ")}`);
  }
  const leftOut = new Set([...missing, ...options.without ?? []]);
  const shape: Shape = {
    fileBytes: options.fileBytes,
    baseBytes: options.baseBytes ?? 0,
    operationBytes: options.operationBytes ?? Math.min(64 << 10, Math.ceil(options.fileBytes / 4)),
    alignBytes: direct ? 4096 : 1,
    weights: {
      ...weights,
      ...Object.fromEntries([...leftOut].map((kind) => [kind, 0])),
    },
  };
  const random = randomOf(options.seed);
  const operations = makeOperations(random, options.operations, shape);
  // Evenly: a remount takes a thousand times as long as anything else.
  const remounts = options.remounts ?? 0;
  for (let i = 1; i <= remounts; i++) {
    operations.splice(Math.floor(operations.length * i / (remounts + 1)), 0, { do: "remount" });
  }
  const list = operations.map((operation, number): Numbered => ({ number, operation }));
  const target: Target = { path: options.path, direct, remount: options.remount };
  const failure = await runOperations(list, shape, target, ({ number, operation }) => {
    options.onStart?.(`${number} ${describe(operation)}`);
  });
  if (failure === null) {
    await Deno.remove(options.path);
    return list.length;
  }
  let attempt = 0;
  const prefix = list.slice(0, failure.number + 1);
  const shrunk = await shrink(prefix, async (part) => {
    // Each time a new file; what failed stays to be looked at.
    const path = `${options.path}.${attempt++}`;
    const again = await runOperations(part, shape, { ...target, path });
    await Deno.remove(path);
    return again;
  }, SHRINK_OPERATIONS);
  throw new Error(report(options, failure, shrunk));
}

function report(
  options: FsxOptions,
  failure: Failure,
  shrunk: Awaited<ReturnType<typeof shrink>>,
): string {
  const lines = [
    `seed ${options.seed}, operation ${failure.number} of ${options.operations}, ${
      describe(failure.operation)
    }: ${failure.message}`,
  ];
  lines.push(`again: ${commandOf(options)}`);
  if (shrunk === null) lines.push("the same operations on a new file did not fail again");
  else {
    lines.push(
      `the shortest sequence that fails (${shrunk.list.length} operations, found in ${shrunk.runs} runs): ${shrunk.failure.message}`,
      ...shrunk.list.map(({ number, operation }) => `  ${number} ${describe(operation)}`),
    );
  }
  return lines.join("\n");
}

/** The program that runs the same operations. */
function commandOf(options: FsxOptions): string {
  const { seed, operations, fileBytes, baseBytes, operationBytes, direct, remounts, without } = options;
  const flags = [
    ["seed", seed],
    ["ops", operations],
    ["file-bytes", fileBytes],
    ["base-bytes", baseBytes],
    ["op-bytes", operationBytes],
    ["remounts", remounts],
    ["without", without?.join(",")],
  ].filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => `--${name} ${value}`);
  return ["deno run -A tests/fsx/run.ts PATH", ...flags, ...(direct ? ["--direct"] : [])].join(" ");
}

/**
 * Runs random sequences of commands on a file system and on the reference side by side. The first difference ends a
 * sequence; then the sequence is cut down to what is needed for a difference, and printed with its seed.
 */
import { type Command, difference, type ModelFs, type Outcome, showCommand, SLOTS } from "./commands.ts";
import { type GenerateOptions, nextCommand } from "./generate.ts";
import { type Random, randomOf, seedOf } from "./random.ts";
import { ReferenceFs } from "./reference_fs.ts";

export interface Subject extends GenerateOptions {
  readonly name: string;
  /** A fresh, empty file system. `random` decides its settings: the same in every replay of the sequence. */
  readonly make: (random: Random) => Promise<ModelFs>;
}

export interface RunOptions {
  readonly seed: number;
  readonly sequences: number;
  readonly commands: number;
}

interface Found {
  /** Index of the command after which they differ; -1: at the end, or the program failed there. */
  readonly at: number;
  readonly what: string;
}

/** Seed and number of sequences for a test: from SLAYERFS_MODEL_SEED and SLAYERFS_MODEL_RUNS, else by chance and `runs`. */
export function runOptions(runs: number, commands = 100): RunOptions {
  const given = Deno.env.get("SLAYERFS_MODEL_SEED");
  const seed = given === undefined ? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0 : Number(given) >>> 0;
  return { seed, sequences: Number(Deno.env.get("SLAYERFS_MODEL_RUNS") ?? runs), commands };
}

/** Throws with a printed, minimal sequence at the first difference. */
export async function runModel(subject: Subject, options: RunOptions): Promise<void> {
  const { seed, sequences, commands } = options;
  console.log(
    `${subject.name}: ${sequences} sequences of ${commands} commands, seed ${seed} ` +
      `(again: SLAYERFS_MODEL_SEED=${seed} SLAYERFS_MODEL_RUNS=${sequences})`,
  );
  for (let i = 0; i < sequences; i++) {
    const sequenceSeed = seedOf(seed, i);
    const sequence = generated(sequenceSeed, commands, subject);
    const found = await replay(subject, sequenceSeed, sequence);
    if (found === null) continue;
    throw new Error(await explain(subject, sequenceSeed, sequence, found, `seed ${seed}, sequence ${i}`));
  }
}

/** For named regressions: the sequence must run without a difference. */
export async function replaySequence(
  subject: Subject,
  sequence: readonly Command[],
  seed = 1,
): Promise<void> {
  const found = await replay(subject, seed, sequence);
  if (found !== null) throw new Error(`after command ${found.at}: ${found.what}`);
}

/** What the generator makes up depends on the reference alone. */
function generated(seed: number, count: number, options: GenerateOptions): Command[] {
  const random = randomOf(seed);
  const reference = new ReferenceFs();
  return Array.from({ length: count }, () => {
    const command = nextCommand(random, reference, options);
    reference.run(command);
    return command;
  });
}

async function replay(subject: Subject, seed: number, sequence: readonly Command[]): Promise<Found | null> {
  const reference = new ReferenceFs();
  let at = -1;
  let fs: ModelFs | null = null;
  try {
    fs = await subject.make(randomOf(seed));
    for (const [i, command] of sequence.entries()) {
      at = i;
      const what = difference(reference.run(command), await fs.run(command));
      if (what !== null) return { at, what };
      if (command.op === "reopen") {
        const all = await compareAll(reference, fs);
        if (all !== null) return { at, what: `after reopening: ${all}` };
      }
    }
    at = -1;
    const all = await compareAll(reference, fs);
    if (all !== null) return { at, what: `at the end: ${all}` };
    await fs.close();
    fs = null;
    return null;
  } catch (error) {
    return { at, what: error instanceof Error ? error.stack ?? error.message : String(error) };
  } finally {
    reference.close();
    // What made it fail is known already; what closing says now is a consequence.
    await Promise.resolve(fs?.close()).catch(() => {});
  }
}

/** Every entry, attribute and byte of both, and of the files that are open. */
async function compareAll(reference: ReferenceFs, fs: ModelFs): Promise<string | null> {
  const check = async (command: Command): Promise<string | null> => {
    const expected: Outcome = reference.run(command);
    const what = difference(expected, await fs.run(command));
    return what === null ? null : `${showCommand(command)}: ${what}`;
  };
  const commands: Command[] = [{ op: "readdir", path: "/" }, { op: "lstat", path: "/" }];
  for (const { path, kind } of reference.paths()) {
    // Attributes first: reading changes the time of access.
    commands.push({ op: "lstat", path });
    if (kind === "directory") commands.push({ op: "readdir", path });
    if (kind === "symlink") commands.push({ op: "readlink", path });
  }
  for (let slot = 0; slot < SLOTS; slot++) {
    if (!reference.isOpen(slot)) continue;
    commands.push({ op: "fstat", slot });
    for (const range of reference.interestingOpen(slot)) commands.push({ op: "readAt", slot, ...range });
  }
  const how = { read: true, write: false, append: false, create: false, createNew: false, truncate: false };
  for (const { path, kind } of reference.paths()) {
    if (kind !== "file") continue;
    commands.push({ op: "open", slot: 0, path, how, mode: 0 });
    for (const range of reference.interesting(path)) commands.push({ op: "readAt", slot: 0, ...range });
    commands.push({ op: "close", slot: 0 });
  }
  for (const command of commands) {
    const what = await check(command);
    if (what !== null) return what;
  }
  return null;
}

const SHRINK_RUNS_MAX = 400;

async function explain(
  subject: Subject,
  seed: number,
  sequence: readonly Command[],
  found: Found,
  where: string,
): Promise<string> {
  const start = found.at < 0 ? sequence : sequence.slice(0, found.at + 1);
  const shrunk = await shrink(subject, seed, start, found);
  const lines = shrunk.sequence.map((command) => `  ${showCommand(command)},`);
  const last = shrunk.found.at < 0 ? "at the end" : `after command ${shrunk.found.at}`;
  return `${subject.name} differs from the reference (${where}, settings seed ${seed}):\n${
    lines.join("\n")
  }\n` +
    `${last}: ${shrunk.found.what}`;
}

/** Leaves out ever smaller parts of the sequence while any difference remains. */
async function shrink(subject: Subject, seed: number, sequence: readonly Command[], found: Found) {
  let best = { sequence: [...sequence], found };
  let runs = 0;
  for (let size = Math.ceil(best.sequence.length / 2); size >= 1;) {
    let isShorter = false;
    for (let start = 0; start < best.sequence.length && runs < SHRINK_RUNS_MAX;) {
      const candidate = best.sequence.toSpliced(start, size);
      runs++;
      const found = candidate.length === 0 ? null : await replay(subject, seed, candidate);
      if (found === null) start += size;
      else {
        best = { sequence: found.at < 0 ? candidate : candidate.slice(0, found.at + 1), found };
        isShorter = true;
      }
    }
    if (runs >= SHRINK_RUNS_MAX || (size === 1 && !isShorter)) break;
    if (!isShorter || size > best.sequence.length) size = Math.max(1, Math.floor(size / 2));
  }
  return best;
}

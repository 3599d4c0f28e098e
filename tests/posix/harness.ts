/**
 * Cases, what they assert with, and the loop that runs them. A case gets a directory of its own, empties it by leaving,
 * and goes on after a failed assertion, so that one run shows all that is wrong; `must` ends a case whose set-up failed.
 *
 * Cases run one after another: the umask and the identity are the thread's.
 */
import { type Errno, errnoName } from "./abi.ts";
import { type Kind, make, type MakeOptions, removeTree } from "./files.ts";
import { ownUmask } from "./identity.ts";
import { type Need, probe } from "./needs.ts";
import { chmod, join, lstat, mkdir, type Path, type Stat, stat, umask } from "./sys.ts";

export interface Test {
  /** This case's directory, root's, mode 0755. */
  readonly dir: string;
  /** A path in it. */
  at(name: string): string;
  /** A path in it that names nothing yet. */
  fresh(prefix?: string): string;
  /** The call succeeded. */
  ok(result: number, what?: string): number;
  /** The call failed with this errno ("OK": it succeeded). */
  fails(result: number | unknown, errno: Errno | readonly Errno[], what?: string): void;
  is<V>(actual: V, expected: V, what?: string): void;
  holds(condition: boolean, what: string): void;
  /** The call succeeded, or the case makes no sense. */
  must(result: number, what?: string): number;
  /** Attributes of the name itself, which must exist. */
  stat(path: Path): Stat;
  /** Attributes of what the name leads to. */
  statFollow(path: Path): Stat;
  /** A new file of any kind; answers its path. */
  make(kind: Kind, path?: string, options?: MakeOptions): string;
  /** Lets the clock move on by more than a time stamp's grain. */
  tick(): void;
  /**
   * Runs `action` a tick later: of each named file exactly these times change ("a", "m", "c" in any order, "" for none).
   * A file whose name goes away is named by its other link.
   */
  changes(action: () => void, expected: Readonly<Record<string, string>>, what?: string): void;
  /** Runs `action`, which fails with `errno`: no time of these files changes. */
  refused(action: () => number, errno: Errno, unchanged: readonly string[], what?: string): void;
  /** Done after the case, last first, whatever happened. */
  defer(action: () => void): void;
}

export interface CaseOptions {
  readonly needs?: readonly Need[];
}
export interface Case extends CaseOptions {
  readonly name: string;
  readonly run: (t: Test) => void | Promise<void>;
}
export type Add = (name: string, run: Case["run"], options?: CaseOptions) => void;

/** The cases of one file. */
export function collect(define: (test: Add) => void): Case[] {
  const cases: Case[] = [];
  define((name, run, options = {}) => cases.push({ name, run, ...options }));
  return cases;
}

export interface CaseResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly assertions: number;
  readonly failures: readonly string[];
  /** Of a skipped case: what the directory's file system lacks. */
  readonly missing?: Need;
  readonly durationMs: number;
}

export interface RunOptions {
  /** Only cases whose name holds this. */
  readonly filter?: string;
  readonly onResult?: (result: CaseResult) => void;
}

const caseTimeoutMs = 60_000;
const failuresShownMax = 40;

/** Runs cases in `base`, an existing directory that every user may enter. */
export async function runCases(
  base: string,
  cases: readonly Case[],
  options: RunOptions = {},
): Promise<CaseResult[]> {
  const names = new Set<string>();
  for (const each of cases) {
    if (names.has(each.name)) throw new Error(`two cases named ${each.name}`);
    names.add(each.name);
  }
  const results: CaseResult[] = [];
  ownUmask();
  const maskBefore = umask(0);
  try {
    for (const each of cases) {
      if (options.filter !== undefined && !each.name.includes(options.filter)) continue;
      const result = await runCase(base, each, results.length);
      results.push(result);
      options.onResult?.(result);
    }
  } finally {
    umask(maskBefore);
  }
  return results;
}

async function runCase(base: string, each: Case, index: number): Promise<CaseResult> {
  const start = performance.now();
  const missing = each.needs?.find((need) => !probe(need, base));
  const result = (outcome: CaseResult["outcome"], assertions: number, failures: string[]) => ({
    name: each.name,
    outcome,
    assertions,
    failures: failures.length > failuresShownMax
      ? [...failures.slice(0, failuresShownMax), `... and ${failures.length - failuresShownMax} more`]
      : failures,
    ...(missing === undefined ? {} : { missing }),
    durationMs: performance.now() - start,
  });
  if (missing !== undefined) return result("skipped", 0, []);
  const dir = `${base}/case${index}`;
  const { test, state, leave } = createTest(dir);
  try {
    umask(0);
    test.must(mkdir(dir, 0o755), "the case's directory");
    await withTimeout(each.run(test));
  } catch (error) {
    if (!(error instanceof SetUpFailed)) {
      state.failures.push(error instanceof Error ? `${error.message} ${where(error)}` : String(error));
    }
  } finally {
    umask(0);
    leave();
    removeTree(dir);
  }
  return result(state.failures.length === 0 ? "passed" : "failed", state.assertions, state.failures);
}

async function withTimeout(running: void | Promise<void>): Promise<void> {
  if (running === undefined) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${caseTimeoutMs} ms`)), caseTimeoutMs);
  });
  try {
    await Promise.race([running, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Thrown by `must`; the failure is already recorded. */
class SetUpFailed extends Error {}

const sleeper = new Int32Array(new SharedArrayBuffer(4));
/** Above the 4 to 10 ms of a coarse kernel clock. */
const tickMs = 11;

function createTest(dir: string) {
  const state = { assertions: 0, failures: [] as string[], names: 0 };
  const deferred: (() => void)[] = [];
  const check = (good: boolean, message: () => string) => {
    state.assertions++;
    if (!good) state.failures.push(`${message()} ${where(new Error())}`);
    return good;
  };
  const told = (what: string | undefined) => what === undefined ? "" : `${what}: `;
  const statMust = (read: (path: Path) => Stat | number, path: Path): Stat => {
    const result = read(path);
    if (typeof result !== "number") return result;
    test.must(result, `stat ${String(path)}`);
    throw new SetUpFailed();
  };
  const test: Test = {
    dir,
    at: (name) => `${dir}/${name}`,
    fresh: (prefix = "n") => `${dir}/${prefix}${state.names++}`,
    ok(result, what) {
      check(result >= 0, () => `${told(what)}expected OK, got ${errnoName(result)}`);
      return result;
    },
    fails(result, errno, what) {
      const got = typeof result === "number" ? errnoName(result) : "OK";
      const wanted: readonly string[] = typeof errno === "string" ? [errno] : errno;
      check(wanted.includes(got), () => `${told(what)}expected ${wanted.join(" or ")}, got ${got}`);
    },
    is(actual, expected, what) {
      const [a, b] = [show(actual), show(expected)];
      check(a === b, () => `${told(what)}expected ${b}, got ${a}`);
    },
    holds: (condition, what) => void check(condition, () => `expected ${what}`),
    must(result, what) {
      if (!check(result >= 0, () => `${told(what)}expected OK, got ${errnoName(result)}`)) {
        throw new SetUpFailed();
      }
      return result;
    },
    stat: (path) => statMust(lstat, path),
    statFollow: (path) => statMust(stat, path),
    make(kind, path = test.fresh(kind), options = {}) {
      test.must(make(kind, path, options), `make ${kind}`);
      return path;
    },
    tick: () => void Atomics.wait(sleeper, 0, 0, tickMs),
    changes(action, expected, what) {
      const before = Object.keys(expected).map((path) => test.stat(path));
      test.tick();
      action();
      for (const [index, [path, letters]] of Object.entries(expected).entries()) {
        const was = before[index];
        if (was === undefined) continue;
        const now = test.stat(path);
        const changed = timesChanged(was, now);
        const wanted = [...letters].sort().join("");
        const name = path.slice(path.lastIndexOf("/") + 1);
        check(
          changed === wanted,
          () => `${told(what)}times of ${name} changed: expected "${wanted}", got "${changed}"`,
        );
      }
    },
    refused(action, errno, unchanged, what) {
      const unchangedTimes = Object.fromEntries(unchanged.map((path) => [path, ""]));
      test.changes(() => test.fails(action(), errno, what), unchangedTimes, what);
    },
    defer: (action) => void deferred.push(action),
  };
  const leave = () => {
    for (const action of deferred.reverse()) {
      try {
        action();
      } catch (error) {
        state.failures.push(`cleaning up: ${String(error)}`);
      }
    }
    chmod(dir, 0o700);
  };
  return { test, state, leave };
}

function timesChanged(was: Stat, now: Stat): string {
  const differs = (a: readonly [number, number], b: readonly [number, number]) =>
    a[0] !== b[0] || a[1] !== b[1];
  return (differs(was.atime, now.atime) ? "a" : "") + (differs(was.ctime, now.ctime) ? "c" : "") +
    (differs(was.mtime, now.mtime) ? "m" : "");
}

function show(value: unknown): string {
  if (value instanceof Uint8Array) return show([...value.subarray(0, 300)]);
  const text = typeof value === "string" ? JSON.stringify(value) : JSON.stringify(value) ?? String(value);
  return text.length > 300 ? `${text.slice(0, 300)}... (${text.length})` : text;
}

/** The line of a case that asserted. */
function where(error: Error): string {
  const line = (error.stack ?? "").split("\n").find((each) => each.includes("/cases/"));
  const found = line?.match(/cases\/([^):]+:\d+)/);
  return found === null || found === undefined ? "" : `(${found[1]})`;
}

/** `octal(0o4755)` is "4755": modes in messages. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

export { join };

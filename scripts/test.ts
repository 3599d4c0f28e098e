/**
 * `deno task test [PATH...]`: every test of the repository (or those whose path contains one of the words), each file
 * in a process of its own, so that a crash or a hang costs one file and is named. Files that mount run alone, one
 * after another; the others two at a time. The last line is the result: `N passed, N failed[, N skipped]`.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type FileResult, readJunit } from "./junit.ts";

/** A file that takes longer than this hangs. The longest ones take a few minutes on a slow machine. */
const FILE_TIMEOUT_MS = 15 * 60_000;

const words = Deno.args;
const reports = await Deno.makeTempDir({ prefix: "slayerfs-test-" });
const results: FileResult[] = [];
try {
  const files = (await testFiles("."))
    .filter((path) => words.length === 0 || words.some((word) => path.includes(word)));
  const alone = files.filter((path) => path.startsWith("tests/e2e/"));
  const together = files.filter((path) => !path.startsWith("tests/e2e/"));
  const queue = together.values();
  const worker = async () => {
    for (const path of queue) results.push(await runFile(path, "collected"));
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, worker));
  for (const path of alone) results.push(await runFile(path, "shown"));
} finally {
  await Deno.remove(reports, { recursive: true });
}
Deno.exit(summarize());

async function testFiles(directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(directory)) {
    const path = join(directory, entry.name);
    // A mount under the checkout (mnt/) holds other people's files.
    const skipped = entry.name.startsWith(".") || ["dist", "mnt", "node_modules"].includes(entry.name);
    if (entry.isDirectory && !skipped) found.push(...await testFiles(path));
    else if (entry.isFile && entry.name.endsWith("_test.ts")) found.push(path);
  }
  return found.sort();
}

/** `shown`: the output goes straight to the terminal; `collected`: printed at the end, in full if something failed. */
async function runFile(path: string, output: "shown" | "collected"): Promise<FileResult> {
  const junitPath = join(reports, path.replaceAll("/", "_") + ".xml");
  const startedMs = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    // Types are checked by `deno check` once, not again in every process.
    args: ["test", "--allow-all", "--no-check", `--junit-path=${junitPath}`, path],
    stdin: "null",
    stdout: output === "shown" ? "inherit" : "piped",
    stderr: output === "shown" ? "inherit" : "piped",
  }).spawn();
  let timedOut = false;
  const deadline = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, FILE_TIMEOUT_MS);
  const text = output === "shown"
    ? ""
    : (await Promise.all([child.stdout, child.stderr].map((stream) => new Response(stream).text()))).join("");
  const status = await child.status;
  clearTimeout(deadline);
  const result = await readResult(path, junitPath, status, timedOut);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (result.failed.length > 0) console.log(text.trimEnd());
  const skipped = result.skipped.length > 0 ? `, ${result.skipped.length} skipped` : "";
  console.log(`${path}: ${result.passed} passed, ${result.failed.length} failed${skipped} (${seconds} s)`);
  return result;
}

async function readResult(
  path: string,
  junitPath: string,
  status: Deno.CommandStatus,
  timedOut: boolean,
): Promise<FileResult> {
  let xml: string | null = null;
  try {
    xml = await Deno.readTextFile(junitPath);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const result = xml === null ? { path, passed: 0, failed: [], skipped: [] } : readJunit(path, xml);
  if (timedOut) return withFailure(result, `did not end within ${FILE_TIMEOUT_MS / 60_000} minutes`);
  if (!status.success && result.failed.length === 0) {
    return withFailure(result, `ended with ${status.signal ?? `exit code ${status.code}`}`);
  }
  if (result.passed + result.failed.length + result.skipped.length === 0) {
    return withFailure(result, "has no tests");
  }
  return result;
}

function withFailure(result: FileResult, what: string): FileResult {
  return { ...result, failed: [...result.failed, `(the whole file) ${what}`] };
}

/** Prints what was skipped, what failed, and the result; returns the exit code. */
function summarize(): number {
  const passed = results.reduce((sum, each) => sum + each.passed, 0);
  const failed = results.flatMap((each) => each.failed.map((name) => `${each.path}: ${name}`));
  const skipped = results.flatMap((each) => each.skipped.map((name) => `${each.path}: ${name}`));
  console.log("");
  for (const name of skipped) console.log(`SKIPPED ${name}`);
  for (const name of failed) console.log(`FAILED  ${name}`);
  if (passed + failed.length === 0) console.log("No test ran.");
  console.log(
    `${passed} passed, ${failed.length} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`,
  );
  return passed > 0 && failed.length === 0 ? 0 : 1;
}

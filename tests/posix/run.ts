/**
 * Runs the POSIX cases in a directory: deno run -A tests/posix/run.ts DIR [--filter TEXT] [--json] [--strict] [--verbose]
 *
 * DIR must exist on the file system under test, be enterable by every user, and the program be root's. A case that the
 * file system lacks something for is skipped; with --strict that counts as a failure.
 */
import { parseArgs } from "node:util";
import { type CaseResult, runCases } from "./harness.ts";
import { isRoot } from "./identity.ts";
import { suite } from "./suite.ts";

const { values: flags, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    filter: { type: "string" },
    json: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
    verbose: { type: "boolean", short: "v", default: false },
  },
});
const directory = positionals[0];
if (directory === undefined || !isRoot()) {
  console.error(
    "usage, as root: deno run -A tests/posix/run.ts DIR [--filter TEXT] [--json] [--strict] [--verbose]",
  );
  Deno.exit(2);
}

const base = Deno.makeTempDirSync({ dir: Deno.realPathSync(directory), prefix: "posix-" });
Deno.chmodSync(base, 0o755);
const start = performance.now();
const results = await runCases(base, suite, {
  ...(flags.filter === undefined ? {} : { filter: flags.filter }),
  onResult: flags.json ? undefined : print,
});
Deno.removeSync(base, { recursive: true });

const of = (outcome: CaseResult["outcome"]) => results.filter((each) => each.outcome === outcome);
const summary = {
  cases: results.length,
  assertions: results.reduce((sum, each) => sum + each.assertions, 0),
  passed: of("passed").length,
  failed: of("failed").length,
  skipped: of("skipped").length,
  seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
};
if (flags.json) console.log(JSON.stringify({ ...summary, results }, null, 2));
else console.log(Object.entries(summary).map(([name, value]) => `${name} ${value}`).join(", "));
Deno.exit(summary.failed > 0 || (flags.strict && summary.skipped > 0) || summary.cases === 0 ? 1 : 0);

function print(result: CaseResult): void {
  if (result.outcome === "skipped") return console.log(`skipped ${result.name}: no ${result.missing} here`);
  if (result.outcome === "passed") {
    if (flags.verbose) {
      console.log(`ok ${result.name} (${result.assertions}, ${Math.round(result.durationMs)} ms)`);
    }
    return;
  }
  console.log(`FAILED ${result.name}`);
  for (const failure of result.failures) console.log(`    ${failure}`);
}

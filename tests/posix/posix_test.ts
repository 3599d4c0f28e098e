/**
 * The POSIX cases on the host's own file system, where a failure means that the case is wrong, and on a mount, where it
 * means that the file system is.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { mountTest } from "../helpers/mounted.ts";
import { deviations, faults, notOffered } from "./deviations.ts";
import { type CaseResult, runCases } from "./harness.ts";
import { isRoot } from "./identity.ts";
import { statfs } from "./sys.ts";
import { suite, topics } from "./suite.ts";

/** Of linux/magic.h. The cases ask for what ext4 does where POSIX leaves a choice; XFS chooses otherwise in a few places. */
const ext4Magic = 0xef53;

function hostSkipReason(): string | undefined {
  if (!isRoot()) return "not root";
  const found = statfs(temporaryDirectory());
  const isExt4 = typeof found !== "number" && found.type === ext4Magic;
  return isExt4 ? undefined : "the temporary directory is not on ext4";
}

function temporaryDirectory(): string {
  return Deno.env.get("TMPDIR") ?? "/tmp";
}

/** Each failing case with its failures. */
function told(results: readonly CaseResult[]): string[] {
  return results.filter((each) => each.outcome === "failed")
    .map((each) => `${each.name}\n    ${each.failures.join("\n    ")}`);
}

Deno.test("every topic has cases, every case a name of its own, every deviation a case", () => {
  for (const [topic, cases] of Object.entries(topics)) assert.notEqual(cases.length, 0, topic);
  const names = new Set(suite.map((each) => each.name));
  assert.equal(names.size, suite.length);
  assert.deepEqual(Object.keys({ ...deviations, ...faults }).filter((name) => !names.has(name)), []);
});

const listed = { ...deviations, ...faults };

const hostReason = hostSkipReason();
Deno.test({
  name: `POSIX cases on the host's file system${hostReason === undefined ? "" : ` (skipped: ${hostReason})`}`,
  ignore: hostReason !== undefined,
  async fn(t) {
    const base = await Deno.makeTempDir({ prefix: "posix-" });
    await Deno.chmod(base, 0o755);
    try {
      for (const [topic, cases] of Object.entries(topics)) {
        await t.step(topic, async () => assert.deepEqual(told(await runCases(base, cases)), []));
      }
    } finally {
      await Deno.remove(base, { recursive: true });
    }
  },
});

mountTest("POSIX cases on a mount over libSQL", async (mounted) => {
  // Other users walk through it.
  await Deno.chmod(mounted.directory, 0o755);
  const base = join(mounted.mountPoint, "posix");
  await Deno.mkdir(base, { mode: 0o755 });
  const results = await runCases(base, suite);
  const failed = told(results).filter((each) => listed[each.split("\n")[0] ?? ""] === undefined);
  const skipped = results.filter((each) =>
    each.missing !== undefined && notOffered[each.missing] === undefined
  );
  const mended = results.filter((each) => each.outcome === "passed" && listed[each.name] !== undefined);
  await Deno.remove(base);
  await mounted.finish();
  assert.deepEqual(failed, []);
  assert.deepEqual(skipped.map((each) => `${each.name}: no ${each.missing}`), []);
  assert.deepEqual(
    mended.map((each) => each.name),
    [],
    "they pass now: take them off the list in deviations.ts",
  );
}, { ignore: !isRoot() });

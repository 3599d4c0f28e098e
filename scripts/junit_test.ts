import { deepStrictEqual } from "node:assert/strict";
import { readJunit } from "./junit.ts";

Deno.test("junit: tests are counted without their steps, failures and skips are named", () => {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="7" failures="2" errors="0" time="0.070">
    <testsuite name="./a_test.ts" tests="7" disabled="1" errors="0" failures="2">
        <testcase name="ok &lt;one&gt;" classname="./a_test.ts" time="0.001" line="1" col="6">
        </testcase>
        <testcase name="steps" classname="./a_test.ts" time="0.001" line="2" col="6">
            <failure message="1 test step failed.">1 test step failed.</failure>
        </testcase>
        <testcase name="steps &gt; inner" classname="./a_test.ts" time="0.000" line="2" col="41">
            <failure message="Uncaught Error: no]]&gt;">Error: no &lt;skipped/&gt;</failure>
        </testcase>
        <testcase name="steps &gt; other" classname="./a_test.ts" time="0.000" line="2" col="41">
            <skipped/>
        </testcase>
        <testcase name="not here &amp; now" classname="./a_test.ts" time="0.000" line="3" col="6">
            <skipped/>
        </testcase>
        <testcase name="a &gt; b" classname="./a_test.ts" time="0.001" line="2" col="6"/>
    </testsuite>
</testsuites>`;
  deepStrictEqual(readJunit("a_test.ts", xml), {
    path: "a_test.ts",
    passed: 2,
    failed: ["steps"],
    skipped: ["steps > other", "not here & now"],
  });
});

Deno.test("junit: a report without tests has none", () => {
  deepStrictEqual(readJunit("a_test.ts", '<testsuites name="deno test" tests="0"></testsuites>'), {
    path: "a_test.ts",
    passed: 0,
    failed: [],
    skipped: [],
  });
});

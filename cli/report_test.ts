import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { FsError, StoreError, UserError } from "../core/errors.ts";
import { failureOf } from "./report.ts";

Deno.test("report: one line and a meaningful exit code for every kind of error", () => {
  deepStrictEqual(failureOf(new UserError("no volume\nthere", 3)), { line: "no volume there", exitCode: 3 });
  deepStrictEqual(failureOf(new StoreError("fatal", "disk full")), { line: "disk full", exitCode: 5 });
  const unexpected = failureOf(new TypeError("x is not a function"));
  strictEqual(unexpected.exitCode, 1);
  strictEqual(unexpected.line, "unexpected failure: x is not a function (set SLAYERFS_DEBUG=1 to see where)");
  strictEqual(failureOf(new FsError("EIO", "lost")).line, "EIO: lost (set SLAYERFS_DEBUG=1 to see where)");
  strictEqual(failureOf("text").line.startsWith("unexpected failure: text"), true);
});

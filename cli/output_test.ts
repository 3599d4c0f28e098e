import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { printable, tableLines } from "./output.ts";

Deno.test("output: columns are aligned, the last one is not padded", () => {
  deepStrictEqual(tableLines([["A", "LONG", "C"], ["äöü", "x", "yz"], ["1", "2", ""]]), [
    "A    LONG  C",
    "äöü  x     yz",
    "1    2",
  ]);
  deepStrictEqual(tableLines([]), []);
});

Deno.test("output: control characters are shown, not obeyed", () => {
  strictEqual(printable("a\u001b[2Jb\nc\u0085"), "a\\x1b[2Jb\\x0ac\\x85");
  strictEqual(printable("Grüße 日本"), "Grüße 日本");
});

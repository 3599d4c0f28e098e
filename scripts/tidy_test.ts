import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { moduleReferences, scanSource } from "./source_text.ts";
import { findings } from "./tidy.ts";

const config = JSON.stringify({
  imports: { libsql: "npm:libsql@0.5.29" },
  tasks: { slayerfs: "deno run -A main.ts", bench: { command: "deno run -A tests/bench/mount.ts" } },
});

/** Findings in a repository of these files and a deno.json, as `path:line: message`. */
function tidy(files: Record<string, string>, denoJson = config): string[] {
  return findings(new Map([["deno.json", denoJson], ...Object.entries(files)]))
    .map((each) => `${each.path}:${each.line}: ${each.message}`);
}

/** The one finding of a small file, apart from the one that nothing uses it. */
function only(path: string, text: string): string {
  const found = tidy({ [path]: text }).filter((each) => !each.endsWith("nothing uses this file"));
  strictEqual(found.length, 1, `expected one finding, got: ${JSON.stringify(found)}`);
  return found[0] as string;
}

function clean(path: string, text: string): void {
  deepStrictEqual(tidy({ [path]: text }).filter((each) => !each.endsWith("nothing uses this file")), []);
}

Deno.test("tidy: layers import downwards only", () => {
  match(only("core/vfs/x.ts", 'import { a } from "../../fuse/abi.ts";'), /may not import fuse\/abi\.ts/);
  match(
    only("core/vfs/x.ts", 'import { a } from "../../backends/meta/memory.ts";'),
    /may not import backends/,
  );
  match(only("core/x.ts", 'export * from "../cli/format.ts";'), /may not import cli/);
  match(only("core/meta/x.ts", 'import { a } from "../vfs/types.ts";'), /may not import core\/vfs/);
  match(only("core/chunk/x.ts", 'import { a } from "../vfs/types.ts";'), /may not import core\/vfs/);
  match(only("core/chunk/x.ts", 'import type { A } from "../meta/engine.ts";'), /may not import core\/meta/);
  match(
    only("core/chunk/slice_log.ts", 'import { a } from "../meta/store.ts";'),
    /may not import core\/meta/,
  );
  match(only("fuse/x.ts", 'const m = await import("../backends/registry.ts");'), /may not import backends/);
  match(only("backends/meta/x.ts", 'import "../../fuse/mount.ts";'), /may not import fuse/);
  match(only("main.ts", 'import { a } from "./core/volume.ts";'), /may not import core/);
  match(only("elsewhere/x.ts", 'import { a } from "../core/volume.ts";'), /may not import core/);
});

Deno.test("tidy: what the layers may import passes", () => {
  clean(
    "core/vfs/x.ts",
    'import { a } from "../meta/b.ts"; import { c } from "../chunk/c.ts"; import "../env.ts"; import "./y.ts";',
  );
  clean("core/chunk/slice_log.ts", 'import type { Durability } from "../meta/store.ts";');
  clean("core/chunk/slice_log.ts", 'import { type Durability } from "../meta/store.ts";');
  clean("core/meta/x.ts", 'import { a } from "../chunk/slice_view.ts";');
  clean("core/volume.ts", 'import { a } from "./vfs/vfs.ts"; import { b } from "./meta/engine.ts";');
  clean("backends/meta/x.ts", 'import Database from "libsql"; import { a } from "../../core/meta/store.ts";');
  clean(
    "cli/x.ts",
    'import { a } from "../fuse/mount.ts"; import project from "../deno.json" with { type: "json" };',
  );
  clean("core/meta/x_test.ts", 'import { a } from "../../backends/meta/memory.ts";');
});

Deno.test("tidy: ambient time, randomness and ids are banned in core/ only", () => {
  for (
    const text of ["Date.now()", "new Date()", "performance.now()", "setTimeout(f, 1)", "setInterval(f, 1)"]
  ) {
    match(only("core/meta/x.ts", `const a = ${text};`), /is ambient/);
    clean("core/meta/x_test.ts", `const a = ${text};`);
    clean("core/env.ts", `const a = ${text};`);
    clean("fuse/x.ts", `const a = ${text};`);
  }
  for (const text of ["Math.random()", "crypto.randomUUID()", "Deno.env", "console.log(1)"]) {
    match(only("core/x.ts", `const a = \`\${${text}}\`;`), /is ambient/);
  }
  clean(
    "core/x.ts",
    "// Date.now() is banned\n/* setTimeout */ const a = 'Math.random()' + `Date.now()`; const b = new Date(1);",
  );
});

Deno.test("tidy: imports come from npm, named and pinned", () => {
  match(only("core/x.ts", 'import { a } from "jsr:@std/path";'), /take it from npm/);
  match(only("core/x.ts", 'import { a } from "https://deno.land/x/a.ts";'), /take it from npm/);
  match(only("core/x.ts", 'import { a } from "npm:kysely";'), /do not name/);
  match(only("core/x.ts", 'import { a } from "kysely";'), /do not name/);
  clean("core/x.ts", 'import { a } from "node:zlib";');
  for (const target of ["npm:libsql", "npm:libsql@^0.5.0", "npm:libsql@0.5", "jsr:@std/path@1.0.0"]) {
    match(tidy({}, JSON.stringify({ imports: { libsql: target } })).join(), /pin an exact version/);
  }
  deepStrictEqual(
    tidy({}, JSON.stringify({ imports: { s3: "npm:@aws-sdk/client-s3@3.1.0", x: "npm:x@1.0.0-rc.1" } })),
    [],
  );
});

Deno.test("tidy: notes of things left to do, and long files", () => {
  for (const word of ["TO" + "DO", "FIX" + "ME"]) {
    match(only("core/x.ts", `// ${word}: later`), /do it or write it down/);
  }
  const long = (lines: number) => findings(new Map([["deno.json", "{}"], ["main.ts", "a;\n".repeat(lines)]]));
  deepStrictEqual(long(400), []);
  strictEqual(long(401)[0]?.level, "warning");
  strictEqual(long(601)[0]?.level, "error");
});

Deno.test("tidy: files that nothing uses", () => {
  const files = {
    "main.ts": 'import { main } from "./cli/program.ts";',
    "cli/program.ts": 'const worker = new URL("./worker.ts", import.meta.url);',
    "cli/worker.ts": "",
    "cli/dead.ts": 'import "./also_dead.ts";',
    "cli/also_dead.ts": "",
    "core/tested.ts": "",
    "core/tested_test.ts": 'import "./tested.ts"; spawn("tests/helpers/child.ts");',
    "tests/helpers/child.ts": "",
    "tests/helpers/unused.ts": "",
    "tests/bench/mount.ts": "",
    "tests/posix/run.ts": "const directory = Deno.args[0];",
  };
  deepStrictEqual(tidy(files).sort(), [
    "cli/also_dead.ts:1: nothing uses this file",
    "cli/dead.ts:1: nothing uses this file",
    "core/tested.ts:1: only tests use this file: move it to tests/",
    "tests/helpers/unused.ts:1: nothing uses this file",
  ]);
});

Deno.test("tidy: links between documents", () => {
  const files = {
    "README.md":
      "[a](docs/a.md) [b](docs/a.md#part) [c](docs/) [d](https://example.org/x.md) [e](#here)\n[f](docs/none.md)",
    "docs/a.md": "[up](../README.md) [code](../core/none.ts)",
  };
  deepStrictEqual(tidy(files), [
    "README.md:2: links to docs/none.md, which is not there",
    "docs/a.md:1: links to core/none.ts, which is not there",
  ]);
});

Deno.test("tidy: the scanner knows strings, templates, comments and regular expressions", () => {
  const source = [
    'const a = "// no comment"; // Date.now()',
    "const b = `x ${c + `inner ${d} Date` } }`; const e = 8 / 4 / 2;",
    "const f = /[/\"'`]/.test(g) ? 'it' : h;",
    "/* two",
    "lines */ const i = 1;",
  ].join("\n");
  const { code, withoutComments } = scanSource(source);
  strictEqual(code.length, source.length);
  strictEqual(code.split("\n").length, 5);
  for (const kept of ["const b", "c + `", "d}", "const e = 8 / 4 / 2;", ".test(g)", "const i = 1;"]) {
    strictEqual(code.includes(kept), true, kept);
  }
  for (const gone of ["no comment", "Date", "inner", "it'", "two", "lines"]) {
    strictEqual(code.includes(gone), false, gone);
  }
  strictEqual(withoutComments.includes("// no comment"), true);
  strictEqual(withoutComments.includes("Date.now"), false);
});

Deno.test("tidy: finds every form of import with its line", () => {
  const source = `import a from "./a.ts";
import {
  b,
  type B,
} from "./b.ts";
export { c } from "./c.ts";
import type { D } from "./d.ts";
export type * from "./e.ts";
import "./f.ts";
import * as g from "./g.ts";
const text = 'import x from "./no.ts"';
const h = import("./h.ts");
import { type I, type J } from "./i.ts";
`;
  const found = moduleReferences(scanSource(source)).map((each) =>
    `${each.specifier}:${each.line}:${each.typeOnly}`
  );
  deepStrictEqual(found.sort(), [
    "./a.ts:1:false",
    "./b.ts:2:false",
    "./c.ts:6:false",
    "./d.ts:7:true",
    "./e.ts:8:true",
    "./f.ts:9:false",
    "./g.ts:10:false",
    "./h.ts:12:false",
    "./i.ts:13:true",
  ]);
});

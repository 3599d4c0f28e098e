/** What the documents list is all there is, and what they show works as shown. */
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ExitCode } from "../cli/exit_code.ts";
import { buildProgram } from "../cli/program.ts";
import { tableNames } from "../core/meta/schema.ts";
import project from "../deno.json" with { type: "json" };

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(`../${path}`, import.meta.url));
}

Deno.test("docs: every table is described in formats.md", async () => {
  const text = await read("docs/formats.md");
  const sqlName = (table: string) => table.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  deepStrictEqual(tableNames.map(sqlName).filter((name) => !text.includes(`\`${name}\``)), []);
});

Deno.test("docs: every flag is described in configuration.md or operations.md", async () => {
  const text = await read("docs/configuration.md") + await read("docs/operations.md");
  const flags = new Set(
    buildProgram().commands.flatMap((command) =>
      command.options.map((option) => option.long ?? option.short ?? "")
    ),
  );
  strictEqual(flags.has("--block-size"), true);
  deepStrictEqual([...flags].filter((flag) => !text.includes(`\`${flag}`)), []);
});

Deno.test("docs: every exit code is described in operations.md", async () => {
  const text = await read("docs/operations.md");
  deepStrictEqual(Object.values(ExitCode).filter((code) => !text.includes(`\n| ${code} `)), []);
});

Deno.test("docs: every test that semantics.md names exists", async () => {
  const text = await read("docs/semantics.md");
  const missing: string[] = [];
  // `path/to/x.ts` alone names a whole file; followed by : "..." one test in it.
  const named = [...text.matchAll(/`((?:tests|core|fuse|cli|backends)\/[\w/.]+\.ts)`(?:: "([^"]+)")?/g)];
  strictEqual(named.length > 20, true);
  for (const [, path = "", name] of named) {
    const source = await read(path).catch(() => null);
    if (source === null) missing.push(path);
    else if (name !== undefined && !source.includes(`"${name}"`)) {
      missing.push(`${path}: ${name}`);
    }
  }
  deepStrictEqual(missing, []);
});

Deno.test("docs: every task that the README names exists", async () => {
  const text = await read("README.md");
  const named = [...text.matchAll(/deno(?:@[\d.]+)? task (\w+)/g)].map((match) => match[1] ?? "");
  strictEqual(named.length > 5, true);
  deepStrictEqual(named.filter((name) => !Object.hasOwn(project.tasks, name)), []);
});

Deno.test("docs: the README's example of the library is the one of mod.ts, and runs", async () => {
  const example = /```ts\n([\s\S]*?)```/.exec(await read("README.md"))?.[1] ?? "";
  const commented = example.split("\n").map((line) => ` * ${line}`.trimEnd()).join("\n").replace(/ \*$/, "");
  strictEqual(example.includes("createMemoryVolume"), true);
  strictEqual((await read("mod.ts")).includes(commented), true);

  const path = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(path, example.replace("./mod.ts", new URL("../mod.ts", import.meta.url).href));
    const config = fileURLToPath(new URL("../deno.json", import.meta.url));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", "--config", config, path],
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    strictEqual(text(stdout), "hello\n\n", text(stderr));
    strictEqual(code, 0);
  } finally {
    await Deno.remove(path);
  }
});

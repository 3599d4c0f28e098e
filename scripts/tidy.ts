/**
 * Checks what neither the compiler nor the linter does:
 * - who may import whom (docs/architecture.md has the picture);
 * - no ambient time, randomness, ids or system calls in core/ outside core/env.ts;
 * - imports only from npm, pinned in deno.json, and from Node's built-in modules (docs/adr/0004-no-jsr-imports.md);
 * - no notes of things left to do; no file too long; no file that nothing uses;
 * - no link between documents that leads nowhere.
 *
 * Run it from the root of the repository: deno run -A scripts/tidy.ts
 */
import { posix } from "node:path";
import { lineOf, type ModuleReference, moduleReferences, scanSource } from "./source_text.ts";

export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
  readonly level: "error" | "warning";
}

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly code: string;
  readonly references: readonly ModuleReference[];
  /** String literals: files that are started as programs are named in them. */
  readonly strings: readonly string[];
}

const LINES_WARN = 400;
const LINES_MAX = 600;

/** What each layer may import besides itself. Longest prefix wins. Tests and scripts may import anything. */
const layers: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["cli/"],
  "mod.ts": ["core/", "backends/", "deno.json"],
  "cli/": ["fuse/", "backends/", "core/", "deno.json"],
  "fuse/": ["core/"],
  "backends/": ["core/"],
  "core/vfs/": ["core/meta/", "core/chunk/", "core/*"],
  "core/chunk/": ["core/*"],
  "core/meta/": ["core/chunk/", "core/*"],
  "core/jobs/": ["core/meta/", "core/chunk/", "core/*"],
  // The files directly in core/: volume.ts puts the parts together.
  "core/": ["core/meta/", "core/chunk/", "core/vfs/", "core/jobs/"],
};

/** Exceptions, for types only: from a layer to a file. The contracts know each other's shapes. */
const typeExceptions: Readonly<Record<string, readonly string[]>> = {
  "core/chunk/": ["core/meta/store.ts"],
};

const ambient: readonly [pattern: RegExp, instead: string][] = [
  [/\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\)/g, "Env.now()"],
  [/\bperformance\.(?:now|timeOrigin)\b/g, "Env.monotonicMs()"],
  [/\b(?:setTimeout|setInterval|setImmediate)\b/g, "Env.timer() or Env.sleep()"],
  [/\bMath\.random\b/g, "Env.random()"],
  [/\bcrypto\.(?:randomUUID|getRandomValues)\b/g, "Env.randomBytes()"],
  [/\bconsole\.\w+/g, "Env.log()"],
  [/\bDeno\.\w+/g, "what is injected (core/ knows no operating system)"],
];

/** Everything wrong with these files. `files` maps paths from the root to their text; deno.json must be among them, and files
 *  that documents may link to. */
export function findings(files: ReadonlyMap<string, string>): Finding[] {
  const config = parseConfig(files.get("deno.json") ?? "{}");
  const sources = new Map<string, SourceFile>();
  for (const [path, text] of files) {
    if (!path.endsWith(".ts")) continue;
    const scanned = scanSource(text);
    sources.set(path, {
      path,
      text,
      code: scanned.code,
      references: moduleReferences(scanned),
      strings: scanned.strings.map((each) => each.value),
    });
  }
  const found: Finding[] = [];
  for (const source of sources.values()) {
    found.push(...importFindings(source, config), ...textFindings(source));
    if (source.path.startsWith("core/") && source.path !== "core/env.ts" && !isTest(source.path)) {
      found.push(...ambientFindings(source));
    }
  }
  found.push(...configFindings(config), ...deadFindings(sources, config), ...linkFindings(files));
  return found;
}

function importFindings(source: SourceFile, config: Config): Finding[] {
  const found: Finding[] = [];
  const fail = (reference: ModuleReference, message: string) =>
    found.push({ path: source.path, line: reference.line, message, level: "error" });
  for (const reference of source.references) {
    const { specifier } = reference;
    if (/^(?:jsr|https?):/.test(specifier)) {
      fail(reference, `imports ${specifier}: take it from npm and pin it in deno.json`);
    } else if (specifier.startsWith(".")) {
      const target = posix.join(posix.dirname(source.path), specifier);
      if (!mayImport(source.path, target, reference.typeOnly)) {
        fail(reference, `may not import ${target}: see the import rule in docs/architecture.md`);
      }
    } else if (!specifier.startsWith("node:") && config.imports[packageOf(specifier)] === undefined) {
      fail(reference, `imports ${specifier}, which the "imports" of deno.json do not name`);
    }
  }
  return found;
}

function mayImport(from: string, to: string, typeOnly: boolean): boolean {
  if (isTest(from) || from.startsWith("tests/") || from.startsWith("scripts/")) return true;
  const layer = Object.keys(layers).filter((prefix) => from === prefix || isIn(from, prefix))
    .sort((a, b) => b.length - a.length)[0];
  if (layer === undefined) return false;
  if (layer.endsWith("/") && isIn(to, layer) && layerOf(to) === layer) return true;
  if (typeOnly && typeExceptions[layer]?.includes(to) === true) return true;
  return (layers[layer] ?? []).some((allowed) =>
    allowed === to || (allowed.endsWith("/") && isIn(to, allowed)) ||
    (allowed === "core/*" && posix.dirname(to) === "core")
  );
}

function layerOf(path: string): string | undefined {
  return Object.keys(layers).filter((prefix) => isIn(path, prefix)).sort((a, b) => b.length - a.length)[0];
}

function textFindings(source: SourceFile): Finding[] {
  const found: Finding[] = [];
  const lines = source.text.split("\n").length - (source.text.endsWith("\n") ? 1 : 0);
  if (lines > LINES_WARN) {
    const level = lines > LINES_MAX ? "error" : "warning";
    found.push({ path: source.path, line: 1, level, message: `${lines} lines: one file does one thing` });
  }
  // Written so that this line is not a finding.
  for (const match of source.text.matchAll(/\b(?:TO[D]O|FI[X]ME|XX[X]|HA[C]K)\b/g)) {
    const line = lineOf(source.text, match.index);
    found.push({
      path: source.path,
      line,
      level: "error",
      message: `${match[0]}: do it or write it down as an issue`,
    });
  }
  return found;
}

function ambientFindings(source: SourceFile): Finding[] {
  return ambient.flatMap(([pattern, instead]) =>
    [...source.code.matchAll(pattern)].map((match): Finding => ({
      path: source.path,
      line: lineOf(source.code, match.index),
      level: "error",
      message: `${match[0]} is ambient: use ${instead}`,
    }))
  );
}

interface Config {
  readonly imports: Readonly<Record<string, string>>;
  readonly tasks: readonly string[];
}

function parseConfig(text: string): Config {
  const config = JSON.parse(text) as {
    imports?: Record<string, string>;
    tasks?: Record<string, string | { command?: string }>;
  };
  const tasks = Object.values(config.tasks ?? {}).map((task) =>
    typeof task === "string" ? task : task.command ?? ""
  );
  return { imports: config.imports ?? {}, tasks };
}

function configFindings(config: Config): Finding[] {
  return Object.entries(config.imports).filter(([, target]) =>
    !/^npm:(?:@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+(?:[/-].*)?$/.test(target)
  )
    .map(([name, target]) => ({
      path: "deno.json",
      line: 1,
      level: "error",
      message: `${name} is ${target}: pin an exact version from npm (npm:NAME@X.Y.Z)`,
    }));
}

/** Files that nothing starts from: neither the program, the library, a task, a script nor a test. */
function deadFindings(sources: ReadonlyMap<string, SourceFile>, config: Config): Finding[] {
  const tasked = config.tasks.flatMap((task) => task.match(/[\w./-]+\.ts\b/g) ?? []);
  const product = reach(sources, [
    "main.ts",
    "mod.ts",
    ...tasked.filter((path) => !path.startsWith("tests/")),
  ]);
  const all = reach(sources, [
    ...product,
    ...tasked,
    ...[...sources.values()].filter(isProgram).map((each) => each.path),
  ]);
  const found: Finding[] = [];
  for (const path of sources.keys()) {
    const isProduct = !path.startsWith("tests/") && !path.startsWith("scripts/") && !isTest(path);
    if (isProduct ? product.has(path) : all.has(path)) continue;
    const message = isProduct && all.has(path)
      ? "only tests use this file: move it to tests/"
      : "nothing uses this file";
    found.push({ path, line: 1, level: "error", message });
  }
  return found;
}

/** Links in Markdown to files of the repository; those to other places are not followed. */
function linkFindings(files: ReadonlyMap<string, string>): Finding[] {
  const found: Finding[] = [];
  for (const [path, text] of files) {
    if (!path.endsWith(".md")) continue;
    for (const match of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      const link = match[1] as string;
      if (/^[a-z]+:/i.test(link)) continue;
      const target = posix.join(posix.dirname(path), link);
      const exists = target.endsWith("/")
        ? [...files.keys()].some((each) => each.startsWith(target))
        : files.has(target);
      if (exists) continue;
      found.push({
        path,
        line: lineOf(text, match.index),
        level: "error",
        message: `links to ${target}, which is not there`,
      });
    }
  }
  return found;
}

/** Started by itself: a test, a script, or a program for people among the tests. */
function isProgram({ path, code }: SourceFile): boolean {
  return isTest(path) || path.startsWith("scripts/") ||
    (path.startsWith("tests/") && /\bDeno\.args\b|\bimport\.meta\.main\b/.test(code));
}

function reach(sources: ReadonlyMap<string, SourceFile>, roots: readonly string[]): Set<string> {
  const reached = new Set<string>();
  const queue = roots.filter((path) => sources.has(path));
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    const source = sources.get(path);
    const named = [
      ...(source?.references ?? []).map((each) => each.specifier),
      ...(source?.strings ?? []).filter((each) => each.endsWith(".ts")),
    ];
    for (const name of named) {
      // A program that is started may be named from the root or from the file's own directory.
      for (const target of [posix.join(posix.dirname(path), name), posix.normalize(name)]) {
        if (sources.has(target)) queue.push(target);
      }
    }
  }
  return reached;
}

/** A test or a `deno bench` file: started by itself. */
function isTest(path: string): boolean {
  return /_(?:test|bench)\.ts$/.test(path);
}

function isIn(path: string, prefix: string): boolean {
  return prefix.endsWith("/") && path.startsWith(prefix);
}

/** `@scope/name/part` and `name/part` without the part. */
function packageOf(specifier: string): string {
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The files of the repository that tidy looks at, from the directory it runs in. */
async function readTree(root: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const walk = async (directory: string) => {
    for await (const entry of Deno.readDir(posix.join(root, directory))) {
      const path = posix.join(directory, entry.name);
      // A mount under the checkout (mnt/) holds other people's files.
      if (
        entry.isDirectory && !entry.name.startsWith(".") &&
        !["dist", "mnt", "node_modules"].includes(entry.name)
      ) {
        await walk(path);
      } else if (entry.isFile && (/\.(?:ts|md)$/.test(path) || ["deno.json", "LICENSE"].includes(path))) {
        files.set(path, await Deno.readTextFile(posix.join(root, path)));
      }
    }
  };
  await walk("");
  return files;
}

if (import.meta.main) {
  const found = findings(await readTree("."));
  found.sort((a, b) => a.path < b.path ? -1 : a.path > b.path ? 1 : a.line - b.line);
  for (const each of found) console.error(`${each.path}:${each.line}: ${each.level}: ${each.message}`);
  const errors = found.filter((each) => each.level === "error").length;
  console.error(errors === 0 ? "tidy: ok" : `tidy: ${errors} error${errors === 1 ? "" : "s"}`);
  Deno.exit(errors === 0 ? 0 : 1);
}

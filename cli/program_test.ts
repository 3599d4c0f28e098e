/** What the command line answers to good and bad input, as far as nothing is mounted. */
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { slayerfs } from "../tests/helpers/cli.ts";
import { version } from "./version.ts";

async function inTemporaryDirectory(action: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-cli-" });
  try {
    await action(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** One line on stderr that begins with the program's name, nothing on stdout. */
function oneErrorLine(result: { stdout: string; stderr: string }): string {
  strictEqual(result.stdout, "");
  match(result.stderr, /^slayerfs: [^\n]+\n$/);
  return result.stderr;
}

Deno.test("cli: help and version", async () => {
  const help = await slayerfs(["--help"]);
  strictEqual(help.code, 0);
  for (const command of ["start", "format", "mount", "umount", "status", "version"]) {
    match(help.stdout, new RegExp(`^  ${command} `, "m"));
    const own = await slayerfs([command, "--help"]);
    strictEqual(own.code, 0);
    match(own.stdout, new RegExp(`^Usage: slayerfs ${command} `));
    if (command !== "version") match(own.stdout, /^Examples:$/m);
  }
  strictEqual((await slayerfs(["--version"])).stdout, `${version}\n`);
  match((await slayerfs(["version"])).stdout, new RegExp(`^slayerfs ${RegExp.escape(version)}.*\n$`));
  strictEqual(
    (JSON.parse((await slayerfs(["version", "--json"])).stdout) as { version: string }).version,
    version,
  );
});

Deno.test("cli: usage errors are one line and exit code 2", async () => {
  const cases: [string[], RegExp][] = [
    [["formt"], /unknown command 'formt' \(Did you mean format\?\)/],
    [["format", "libsql:x.db"], /missing required argument 'NAME'/],
    [["status", "--nope", "libsql:x.db"], /unknown option '--nope'/],
    [["status", "foo:x.db"], /'foo:' is not one of a metadata store; known schemes: .*libsql/],
    [["status", "x.db"], /not the URL of a metadata store/],
    [["format", "libsql:/tmp/x.db", "vol", "--block-size", "5"], /--block-size: .*power of two/],
    [["format", "libsql:/tmp/x.db", "vol", "--capacity", "much"], /--capacity: "much" is not a size/],
    [
      ["format", "libsql:/tmp/x.db", "vol", "--storage", "tape"],
      /--storage: "tape" is not one of file, memory/,
    ],
    [["format", "libsql:/tmp/x.db", "vol", "--storage", "memory", "--bucket", "file:x"], /does not fit/],
    [["format", "libsql:/tmp/x.db", "vol", "--bucket", "ftp:x"], /'ftp:' is not one of an object store/],
    [["mount", "libsql:/tmp/x.db", "/tmp", "-o", "ro,frobnicate"], /-o frobnicate is not supported/],
  ];
  for (const [args, expected] of cases) {
    const result = await slayerfs(args);
    match(oneErrorLine(result), expected);
    strictEqual(result.code, 2, args.join(" "));
  }
  strictEqual((await slayerfs([])).code, 2);
});

Deno.test("cli: flags come from the environment, and flags win over it", async () => {
  await inTemporaryDirectory(async (cwd) => {
    const env = { SLAYERFS_BLOCK_SIZE: "1024", SLAYERFS_CAPACITY: "7", SLAYERFS_JSON: "1" };
    const made = await slayerfs(["format", "libsql:a.db", "photos", "--block-size", "256"], { cwd, env });
    const { created, format } = JSON.parse(made.stdout) as {
      created: boolean;
      format: Record<string, unknown>;
    };
    strictEqual(created, true);
    strictEqual(format["blockBytes"], 256 << 10);
    strictEqual(format["capacityBytes"], 7 * 1024 ** 3);
    const wrong = await slayerfs(["status", "libsql:a.db"], { cwd, env: { SLAYERFS_JSON: "maybe" } });
    match(oneErrorLine(wrong), /SLAYERFS_JSON is neither on nor off/);
    strictEqual(wrong.code, 2);
    const off = await slayerfs(["status", "libsql:a.db"], { cwd, env: { SLAYERFS_JSON: "0" } });
    match(off.stdout, /^Volume +photos$/m);
  });
});

Deno.test("cli: format makes a volume, says it again, and refuses other settings", async () => {
  await inTemporaryDirectory(async (cwd) => {
    const first = await slayerfs(["format", "libsql:a.db", "photos"], { cwd });
    strictEqual(first.stderr, "");
    strictEqual(first.code, 0);
    match(first.stdout, /^Formatted volume photos\.$/m);
    match(first.stdout, /slayerfs mount libsql:a\.db MOUNTPOINT/);
    const before = JSON.parse(
      (await slayerfs(["status", "--json", "libsql:a.db"], { cwd })).stdout,
    ) as unknown;

    const again = await slayerfs(["format", "libsql:a.db", "photos"], { cwd });
    strictEqual(again.code, 0);
    match(again.stdout, /nothing changed/);
    for (const other of [["other"], ["photos", "--block-size", "64"], ["photos", "--bucket", "elsewhere"]]) {
      const refused = await slayerfs(["format", "libsql:a.db", ...other], { cwd });
      match(oneErrorLine(refused), /already a volume photos with other settings/);
      strictEqual(refused.code, 8);
    }
    const after = JSON.parse(
      (await slayerfs(["status", "--json", "libsql:a.db"], { cwd })).stdout,
    ) as unknown;
    deepStrictEqual(after, before);
    deepStrictEqual(
      [...Deno.readDirSync(cwd)].map((each) => each.name).filter((name) => name === "elsewhere"),
      [],
    );
  });
});

Deno.test("cli: a format that fails leaves nothing behind", async () => {
  await inTemporaryDirectory(async (cwd) => {
    await Deno.writeTextFile(`${cwd}/file`, "");
    await Deno.writeTextFile(
      `${cwd}/text.db`,
      "not a database, but long enough to be looked at as one\n".repeat(10),
    );
    const cases: [string[], RegExp, number][] = [
      [["libsql:a.db", "Bad Name"], /is no volume name/, 2],
      [["libsql:a.db", "photos", "--bucket", "file/below"], /cannot open the bucket file:.*file\/below/, 5],
      [["libsql:nowhere/a.db", "photos"], /nowhere does not exist: create it first/, 5],
      [
        ["libsql:text.db", "photos"],
        /cannot open the metadata at libsql:text\.db: .*not an SQLite database/,
        5,
      ],
    ];
    for (const [args, expected, code] of cases) {
      const result = await slayerfs(["format", ...args], { cwd });
      match(oneErrorLine(result), expected);
      strictEqual(result.code, code, args.join(" "));
    }
    deepStrictEqual([...Deno.readDirSync(cwd)].map((each) => each.name).sort(), ["file", "text.db"]);
  });
});

Deno.test("cli: status of nothing, of a foreign database, of a locked one", async () => {
  await inTemporaryDirectory(async (cwd) => {
    const nothing = await slayerfs(["status", "libsql:a.db"], { cwd });
    match(
      oneErrorLine(nothing),
      /there is no volume at libsql:a\.db; make one with: .*slayerfs format libsql:a\.db NAME/,
    );
    strictEqual(nothing.code, 3);
    deepStrictEqual([...Deno.readDirSync(cwd)], []);
    await Deno.writeTextFile(`${cwd}/empty.db`, "");
    strictEqual((await slayerfs(["status", "libsql:empty.db"], { cwd })).code, 3);

    const foreign = new DatabaseSync(`${cwd}/foreign.db`);
    foreign.exec("CREATE TABLE t (a)");
    foreign.close();
    const refused = await slayerfs(["status", "libsql:foreign.db"], { cwd });
    match(oneErrorLine(refused), /foreign\.db is an SQLite database of another program/);
    strictEqual(refused.code, 5);

    strictEqual((await slayerfs(["format", "libsql:locked.db", "photos"], { cwd })).code, 0);
    const holder = new DatabaseSync(`${cwd}/locked.db`);
    holder.exec("BEGIN IMMEDIATE");
    const locked = await slayerfs(["status", "libsql:locked.db"], { cwd });
    holder.close();
    match(oneErrorLine(locked), /locked\.db: another program keeps the database locked/);
    strictEqual(locked.code, 5);
  });
});

import assert from "node:assert/strict";
import Driver from "libsql";
import { type Errno, StoreError, type StoreErrorKind } from "../../core/errors.ts";
import { tableNames } from "../../core/meta/schema.ts";
import { currentSchema, type Database, openDatabaseFile } from "./libsql_file.ts";

async function withDirectory(body: (directory: string) => void | Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "slayerfs-file-" });
  try {
    await body(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** The driver itself, as another program would use it. */
function rawOpen(path: string): Database {
  return new Driver(path) as unknown as Database;
}

function refused(call: () => unknown, kind: StoreErrorKind, errno: Errno, message: RegExp): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(error instanceof StoreError, `not a StoreError: ${error}`);
    assert.deepEqual([error.kind, error.errno], [kind, errno], error.message);
    assert.match(error.message, message);
    assert.ok(!error.message.includes("\n"));
    return true;
  });
}

/** Names and contents of a directory. */
function snapshot(directory: string): Record<string, Uint8Array> {
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
  return Object.fromEntries(names.map((name) => [name, Deno.readFileSync(`${directory}/${name}`)]));
}

function numberIn(db: Database, sql: string): unknown {
  return db.prepare(sql).raw().get([])?.[0];
}

Deno.test("libsql file: opening what is not there creates nothing", () =>
  withDirectory((directory) => {
    refused(
      () => openDatabaseFile(`${directory}/meta.db`, "open"),
      "caller",
      "ENOENT",
      /meta\.db: nothing is formatted/,
    );
    Deno.writeTextFileSync(`${directory}/empty`, "");
    refused(() => openDatabaseFile(`${directory}/empty`, "open"), "caller", "ENOENT", /nothing is formatted/);
    assert.deepEqual(snapshot(directory), { empty: new Uint8Array(0) });
  }));

Deno.test("libsql file: an empty file is as good as none for creating", () =>
  withDirectory((directory) => {
    Deno.writeTextFileSync(`${directory}/meta.db`, "");
    openDatabaseFile(`${directory}/meta.db`, "create").db.close();
    openDatabaseFile(`${directory}/meta.db`, "open").db.close();
  }));

Deno.test("libsql file: creating makes a table for each declaration, in a file marked as ours", () =>
  withDirectory((directory) => {
    const { db, path } = openDatabaseFile(`${directory}/meta.db`, "create");
    assert.equal(path, `${directory}/meta.db`);
    assert.equal(numberIn(db, "PRAGMA application_id"), 0x736c6673);
    assert.equal(numberIn(db, "PRAGMA user_version"), currentSchema.version);
    assert.equal(numberIn(db, "PRAGMA journal_mode"), "wal");
    assert.equal(numberIn(db, "PRAGMA synchronous"), 1);
    const made = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").raw().all([])
      .flat();
    const declared = tableNames.map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
    assert.deepEqual(made, [...declared, "slayerfs_store"].sort());
    const columns = db.prepare("SELECT name, type, pk FROM pragma_table_info('slices')").raw().all([]);
    assert.deepEqual(columns, [
      ["ino", "INTEGER", 1],
      ["chunk", "INTEGER", 2],
      ["seq", "INTEGER", 3],
      ["pos", "INTEGER", 0],
      ["slice_id", "INTEGER", 0],
      ["size", "INTEGER", 0],
      ["off", "INTEGER", 0],
      ["len", "INTEGER", 0],
      ["version", "INTEGER", 0],
    ]);
    db.close();
  }));

Deno.test("libsql file: odd characters in the path are taken as they are", () =>
  withDirectory((directory) => {
    for (const name of ["a b", "q?x=1", "h#1", "100%25", "é\u{1F600}", "file:x", "quote'\"", ":memory:"]) {
      openDatabaseFile(`${directory}/${name}`, "create").db.close();
      const { db, path } = openDatabaseFile(`${directory}/${name}`, "open");
      assert.equal(path, `${directory}/${name}`);
      assert.ok(Deno.statSync(path).size > 0);
      db.close();
    }
  }));

Deno.test("libsql file: another program's database is refused and stays as it is", () =>
  withDirectory((directory) => {
    for (const journal of ["DELETE", "WAL"]) {
      const place = `${directory}/${journal}`;
      Deno.mkdirSync(place);
      const other = rawOpen(`${place}/other.db`);
      other.exec(`PRAGMA journal_mode = ${journal}; CREATE TABLE t (x); INSERT INTO t VALUES (1)`);
      // As after the death of its program: the write-ahead log is still there.
      Deno.mkdirSync(`${place}/copy`);
      for (const name of Object.keys(snapshotFiles(place))) {
        Deno.copyFileSync(`${place}/${name}`, `${place}/copy/${name}`);
      }
      const before = snapshot(`${place}/copy`);
      assert.equal("other.db-wal" in before, journal === "WAL");
      for (const mode of ["create", "open"] as const) {
        refused(
          () => openDatabaseFile(`${place}/copy/other.db`, mode),
          "caller",
          "EINVAL",
          /other program|another program/,
        );
        assert.deepEqual(snapshot(`${place}/copy`), before);
      }
      other.close();
    }
  }));

function snapshotFiles(directory: string): Record<string, true> {
  const files = [...Deno.readDirSync(directory)].filter(({ isFile }) => isFile);
  return Object.fromEntries(files.map(({ name }) => [name, true]));
}

Deno.test("libsql file: what is no database is refused and stays as it is", () =>
  withDirectory((directory) => {
    const texts = { text: "hello\n", long: "x".repeat(10_000), cut: "SQLite format 3\0" };
    for (const [name, text] of Object.entries(texts)) Deno.writeTextFileSync(`${directory}/${name}`, text);
    const before = snapshot(directory);
    for (const name of Object.keys(texts)) {
      for (const mode of ["create", "open"] as const) {
        assert.throws(() => openDatabaseFile(`${directory}/${name}`, mode), (error: unknown) => {
          assert.ok(error instanceof StoreError && error.kind !== "retry", `${name}: ${error}`);
          assert.ok(error.message.startsWith(`${directory}/${name}`), error.message);
          return true;
        });
      }
    }
    assert.deepEqual(snapshot(directory), before);
  }));

Deno.test("libsql file: directories, missing directories and files as directories are named", () =>
  withDirectory((directory) => {
    Deno.writeTextFileSync(`${directory}/file`, "x");
    for (const mode of ["create", "open"] as const) {
      refused(() => openDatabaseFile(directory, mode), "caller", "EISDIR", /is a directory: name a file/);
      refused(
        () => openDatabaseFile(`${directory}/file/meta.db`, mode),
        "caller",
        "ENOTDIR",
        /not a directory/,
      );
    }
    refused(
      () => openDatabaseFile(`${directory}/none/meta.db`, "create"),
      "caller",
      "ENOTDIR",
      /the directory .*\/none does not exist: create it first/,
    );
    refused(() => openDatabaseFile("/dev/null", "create"), "caller", "EINVAL", /not a regular file/);
  }));

Deno.test("libsql file: a newer schema is refused", () =>
  withDirectory((directory) => {
    const path = `${directory}/meta.db`;
    const newer = { ...currentSchema, version: currentSchema.version + 1 };
    openDatabaseFile(path, "create", newer).db.close();
    for (const mode of ["create", "open"] as const) {
      refused(
        () => openDatabaseFile(path, mode),
        "caller",
        "ENOTSUP",
        /written by a newer slayerfs .*: upgrade slayerfs/,
      );
    }
    openDatabaseFile(path, "open", newer).db.close();
  }));

Deno.test("libsql file: an older schema is migrated step by step, all or nothing", () =>
  withDirectory((directory) => {
    const path = `${directory}/meta.db`;
    const start = openDatabaseFile(path, "create");
    start.db.exec("INSERT INTO counters VALUES ('a', 1, 1)");
    start.db.close();
    const first = { from: 1, statements: ["ALTER TABLE counters ADD COLUMN note TEXT NOT NULL DEFAULT 'n'"] };
    const second = {
      from: 2,
      statements: ["UPDATE counters SET value = value + 1", "CREATE TABLE more (x INTEGER)"],
    };
    const broken = {
      from: 2,
      statements: ["UPDATE counters SET value = 77", "INSERT INTO nowhere VALUES (1)"],
    };
    assert.throws(
      () => openDatabaseFile(path, "open", { version: 3, migrations: [first, broken] }),
      StoreError,
    );
    refused(
      () => openDatabaseFile(path, "open", { version: 3, migrations: [first] }),
      "caller",
      "ENOTSUP",
      /can no longer migrate/,
    );
    const unchanged = openDatabaseFile(path, "open");
    assert.deepEqual(unchanged.db.prepare("SELECT * FROM counters").raw().all([]), [["a", 1, 1]]);
    unchanged.db.close();
    const { db } = openDatabaseFile(path, "open", { version: 3, migrations: [second, first] });
    assert.deepEqual(db.prepare("SELECT * FROM counters").raw().all([]), [["a", 2, 1, "n"]]);
    assert.equal(numberIn(db, "PRAGMA user_version"), 3);
    db.close();
  }));

Deno.test("libsql file: a database that another program keeps locked is named", () =>
  withDirectory((directory) => {
    const path = `${directory}/meta.db`;
    openDatabaseFile(path, "create").db.close();
    const other = rawOpen(path);
    other.exec("BEGIN IMMEDIATE");
    refused(
      () => openDatabaseFile(path, "open"),
      "fatal",
      "EBUSY",
      /meta\.db: another program keeps the database locked/,
    );
    other.exec("ROLLBACK");
    openDatabaseFile(path, "open").db.close();
    other.close();
  }));

Deno.test("libsql file: processes that create it at the same time all succeed", () =>
  withDirectory(async (directory) => {
    const module = new URL("./libsql_file.ts", import.meta.url).href;
    const code = `import { openDatabaseFile } from ${JSON.stringify(module)};
      const { db } = openDatabaseFile(Deno.args[0], "create");
      db.exec("UPDATE slayerfs_store SET value = value + 1 WHERE name = 'syncs'");`;
    Deno.writeTextFileSync(`${directory}/open.ts`, code);
    const outputs = await Promise.all([1, 2, 3, 4].map(() =>
      new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--quiet",
          "-A",
          "--no-check",
          `--config=${new URL("../../deno.json", import.meta.url).pathname}`,
          `${directory}/open.ts`,
          `${directory}/meta.db`,
        ],
        stderr: "inherit",
      }).output()
    ));
    for (const { success } of outputs) assert.ok(success);
    const { db } = openDatabaseFile(`${directory}/meta.db`, "open");
    assert.equal(numberIn(db, "SELECT value FROM slayerfs_store WHERE name = 'syncs'"), 4);
    db.close();
  }));

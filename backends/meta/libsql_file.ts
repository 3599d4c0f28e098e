/**
 * Opening the database file: is it there, is it ours, does it need its tables or a migration; and the settings under which
 * the store's promises hold.
 *
 * - Somebody else's file is never changed: it is looked at first as immutable, which takes no lock, creates no file beside it
 *   and rolls nothing back. Our `application_id` is written by the transaction that creates the tables, while the
 *   database is still in rollback-journal mode; so it is in the main file from the first moment on, also when a later write-ahead log was
 *   not checkpointed. (Reading the header with a file descriptor of our own would do harm: closing that drops
 *   all POSIX locks that SQLite in this process holds on the file.)
 * - Creating is one transaction: a crash leaves an empty file or a journal that the next open rolls back.
 * - WAL with synchronous=NORMAL: a commit writes its frames to the log without waiting for the disk, checksummed in a chain,
 *   so what survives a power failure is a prefix of the commits. The log is flushed before it is copied into the database.
 */
import { resolve } from "node:path";
import Driver from "libsql";
import { StoreError } from "../../core/errors.ts";
import { SCHEMA_VERSION } from "../../core/meta/schema.ts";
import { isBusy, storeErrorOf } from "./libsql_errors.ts";
import { createTables, type SqlDialect } from "./sql_schema.ts";

/** What is used of the driver. `get` and `all` give rows as arrays once `raw` was called; see libsql_connection.ts. */
export interface Statement {
  get(parameters: readonly unknown[]): unknown[] | undefined;
  all(parameters: readonly unknown[]): unknown[][];
  raw(): Statement;
}
export interface Database {
  readonly inTransaction: boolean;
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** Brings a database from schema version `from` to `from + 1`. */
export interface Migration {
  readonly from: number;
  readonly statements: readonly string[];
}

export interface FileSchema {
  readonly version: number;
  readonly migrations: readonly Migration[];
}

/** What this program writes. Older databases are brought here by the migrations; newer ones are refused. */
export const currentSchema: FileSchema = { version: SCHEMA_VERSION, migrations: [] };

export const sqliteDialect: SqlDialect = {
  types: { int: "INTEGER", bytes: "BLOB", text: "TEXT" },
  parameter: (number) => `?${number}`,
  // A single integer key is the rowid itself. Other keys order a table without rowids.
  tableOptions: ({ key }) =>
    key.length === 1 && key[0]?.type === "int" ? " STRICT" : " STRICT, WITHOUT ROWID",
};

/** `slfs`: https://www.sqlite.org/pragma.html#pragma_application_id */
const APPLICATION_ID = 0x736c6673;
/** Small pages: a commit touches a handful of records in as many pages, and writes each page whole to the log. */
const PAGE_BYTES = 2048;
const CACHE_KIB = 32 << 10;
/** The log is copied into the database when it is this long: 32 MiB. */
const CHECKPOINT_PAGES = 16384;
const LOG_BYTES_MAX = 64 << 20;
/** How long a statement may sleep on the thread for a lock. The store waits longer without blocking. */
export const BUSY_TIMEOUT_MS = 10;
const OPEN_BUSY_TIMEOUT_MS = 2000;
const WAL_PAUSE_MS = 10;

/** Rows that belong to the store itself: `version_epoch` (libsql.ts) and `syncs`, rewritten to have something to sync. */
const STORE_TABLE =
  `CREATE TABLE "slayerfs_store" ("name" TEXT PRIMARY KEY, "value" INTEGER NOT NULL) STRICT, WITHOUT ROWID`;

/** Opens the file, makes it ready, and throws StoreErrors that name it. */
export function openDatabaseFile(
  givenPath: string,
  mode: "create" | "open",
  schema: FileSchema = currentSchema,
): { db: Database; path: string } {
  const path = resolve(givenPath);
  checkFile(path, mode);
  peek(path, mode);
  let db: Database | undefined;
  try {
    db = connect(path);
    prepareSchema(db, path, mode, schema);
    configure(db);
    return { db, path };
  } catch (error) {
    db?.close();
    if (isBusy(error)) {
      throw new StoreError(
        "fatal",
        `${path}: another program keeps the database locked: end it and try again`,
        {
          cause: error,
          errno: "EBUSY",
        },
      );
    }
    throw storeErrorOf(error, path);
  }
}

/** A new connection to a file that was opened before, in place of one that got stuck. */
export function reopenDatabaseFile(path: string): Database {
  try {
    // Connecting would create the file.
    if (!Deno.statSync(path).isFile) throw nothingThere(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw nothingThere(path);
    throw error;
  }
  const db = connect(path);
  configure(db);
  return db;
}

function connect(path: string): Database {
  return new Driver(path) as unknown as Database;
}

function nothingThere(path: string): StoreError {
  return new StoreError("caller", `${path}: nothing is formatted there`, { errno: "ENOENT" });
}

/** Refuses what cannot be a database before the driver would create or touch something. */
function checkFile(path: string, mode: "create" | "open"): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      if (mode === "open") throw nothingThere(path);
      return checkDirectory(path);
    }
    throw accessError(path, error);
  }
  if (info.isDirectory) {
    throw new StoreError("caller", `${path} is a directory: name a file for the database`, {
      errno: "EISDIR",
    });
  }
  if (!info.isFile) {
    throw new StoreError("caller", `${path} is not a regular file: name another for the database`, {
      errno: "EINVAL",
    });
  }
  if (info.size === 0 && mode === "open") throw nothingThere(path);
}

function checkDirectory(path: string): void {
  const directory = resolve(path, "..");
  try {
    if (Deno.statSync(directory).isDirectory) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw accessError(path, error);
    throw new StoreError("caller", `${path}: the directory ${directory} does not exist: create it first`, {
      errno: "ENOTDIR",
      cause: error,
    });
  }
  throw new StoreError("caller", `${path}: ${directory} is not a directory`, { errno: "ENOTDIR" });
}

function accessError(path: string, error: unknown): StoreError {
  if (error instanceof Deno.errors.NotADirectory) {
    return new StoreError("caller", `${path}: a part of this path is not a directory`, {
      errno: "ENOTDIR",
      cause: error,
    });
  }
  const reason = error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable
    ? "permission denied"
    : error instanceof Error
    ? error.message
    : String(error);
  return new StoreError("fatal", `${path}: ${reason}`, {
    errno: reason === "permission denied" ? "EACCES" : "EIO",
    cause: error,
  });
}

/** Looks at an existing file without leaving a trace, and refuses it if it is not ours. */
function peek(path: string, mode: "create" | "open"): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch {
    return; // not there: `create`
  }
  if (info.size === 0) return;
  const escaped = path.replaceAll("%", "%25").replaceAll("?", "%3f").replaceAll("#", "%23");
  let db: Database | undefined;
  let id = 0;
  try {
    db = connect(`file:${escaped}?immutable=1`);
    id = Number(db.prepare("PRAGMA application_id").raw().get([])?.[0]);
  } catch (error) {
    throw storeErrorOf(error, path);
  } finally {
    db?.close();
  }
  if (id !== APPLICATION_ID) throw notOurs(path, mode);
}

function notOurs(path: string, mode: "create" | "open"): StoreError {
  return new StoreError(
    "caller",
    `${path} is an SQLite database of another program: ${
      mode === "create" ? "name a new file" : "name the file that was formatted"
    }`,
    { errno: "EINVAL" },
  );
}

/** Creates or migrates, in one transaction. Who comes second waits for the lock and finds the work done. */
function prepareSchema(db: Database, path: string, mode: "create" | "open", schema: FileSchema): void {
  // The page size takes effect with the first page; later it is ignored.
  db.exec(`PRAGMA busy_timeout = ${OPEN_BUSY_TIMEOUT_MS}; PRAGMA page_size = ${PAGE_BYTES}`);
  // Also proves that the database can be written.
  db.exec("BEGIN IMMEDIATE");
  try {
    const id = numberOf(db, "PRAGMA application_id");
    const version = numberOf(db, "PRAGMA user_version");
    if (id === APPLICATION_ID) migrate(db, path, version, schema);
    else if (numberOf(db, "SELECT count(*) FROM sqlite_schema") > 0 || version !== 0) {
      throw notOurs(path, mode);
    } else if (mode === "open") throw nothingThere(path);
    else createSchema(db, schema);
    db.exec("COMMIT");
  } catch (error) {
    if (db.inTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function createSchema(db: Database, schema: FileSchema): void {
  for (const statement of [...createTables(sqliteDialect), STORE_TABLE]) db.exec(statement);
  db.exec(`INSERT INTO "slayerfs_store" VALUES ('syncs', 0), ('version_epoch', 0)`);
  db.exec(`PRAGMA user_version = ${schema.version}; PRAGMA application_id = ${APPLICATION_ID}`);
}

function migrate(db: Database, path: string, found: number, schema: FileSchema): void {
  if (found > schema.version) {
    throw new StoreError(
      "caller",
      `${path} was written by a newer slayerfs (schema ${found}, this program knows ${schema.version}): upgrade slayerfs`,
      { errno: "ENOTSUP" },
    );
  }
  for (let version = found; version < schema.version; version++) {
    const migration = schema.migrations.find(({ from }) => from === version);
    if (migration === undefined) {
      throw new StoreError(
        "caller",
        `${path} has schema ${found}, which this slayerfs can no longer migrate`,
        {
          errno: "ENOTSUP",
        },
      );
    }
    for (const statement of migration.statements) db.exec(statement);
  }
  if (found < schema.version) db.exec(`PRAGMA user_version = ${schema.version}`);
}

function configure(db: Database): void {
  // Some pragmas take effect when they are prepared and again when they run; exec does both at once.
  enterWal(db);
  if (db.prepare("PRAGMA journal_mode").raw().get([])?.[0] !== "wal") {
    throw new StoreError(
      "fatal",
      "the file system of the database does not support write-ahead logging: use a local one",
    );
  }
  db.exec("PRAGMA synchronous = NORMAL");
  // Where fsync alone does not reach the disk (macOS); nothing elsewhere.
  db.exec("PRAGMA fullfsync = ON");
  db.exec("PRAGMA checkpoint_fullfsync = ON");
  db.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
  db.exec("PRAGMA mmap_size = 0");
  db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  db.exec(`PRAGMA journal_size_limit = ${LOG_BYTES_MAX}`);
  db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
}

/** Turns a new database to WAL, which is for good. It needs the file for itself for a moment, and SQLite does not wait for that. */
function enterWal(db: Database): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0;; waitedMs += WAL_PAUSE_MS) {
    try {
      return db.exec("PRAGMA journal_mode = WAL");
    } catch (error) {
      if (!isBusy(error) || waitedMs >= OPEN_BUSY_TIMEOUT_MS) throw error;
    }
    Atomics.wait(pause, 0, 0, WAL_PAUSE_MS);
  }
}

function numberOf(db: Database, sql: string): number {
  return Number(db.prepare(sql).raw().get([])?.[0]);
}

import assert from "node:assert/strict";
import Driver from "libsql";
import { type Env, systemEnv } from "../../core/env.ts";
import { type Errno, StoreError, type StoreErrorKind } from "../../core/errors.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import { append, checkAbsent, put, read, remove, update } from "../../core/meta/store.ts";
import { openLibsqlMetaStore, plugin } from "./libsql.ts";
import { Committer } from "./libsql_commit.ts";
import { Connection } from "./libsql_connection.ts";
import { type Database, openDatabaseFile } from "./libsql_file.ts";

const env = systemEnv("error");
const ordered = { durability: "ordered" } as const;
const synced = { durability: "synced" } as const;
const usage = (bytes: number) => put("usage", [1], { bytes, inodes: 0 });

async function withStore(
  body: (store: MetaStore, path: string) => Promise<void>,
  storeEnv: Env = env,
): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "slayerfs-libsql-" });
  const path = `${directory}/meta.db`;
  const store = openLibsqlMetaStore(path, { mode: "create", env: storeEnv });
  try {
    await body(store, path);
  } finally {
    await store.close();
    Deno.removeSync(directory, { recursive: true });
  }
}

function rawOpen(path: string): Database {
  return new Driver(path) as unknown as Database;
}

async function fails(
  call: Promise<unknown>,
  kind: StoreErrorKind,
  errno: Errno,
  message: RegExp,
): Promise<void> {
  await assert.rejects(call, (error: unknown) => {
    assert.ok(error instanceof StoreError, `not a StoreError: ${error}`);
    assert.deepEqual([error.kind, error.errno], [kind, errno], error.message);
    assert.match(error.message, message);
    return true;
  });
}

async function bytesUsed(store: MetaStore): Promise<number | undefined> {
  const [found] = await store.get([read("usage", [1])]);
  return found?.row.bytes;
}

Deno.test("libsql: URLs of files, in each form; servers are refused", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "slayerfs-libsql-" });
  const before = Deno.cwd();
  try {
    Deno.chdir(directory);
    const urls = ["libsql:a.db", `libsql:${directory}/b.db`, `libsql://${directory}/c.db`, "sqlite:./d.db"];
    for (const url of urls) await (await plugin.open(url, { mode: "create", env })).close();
    const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
    for (const name of ["a.db", "b.db", "c.db", "d.db"]) assert.ok(names.includes(name), name);
    for (const url of ["libsql://db.example.com", "libsql://127.0.0.1:8080/x?authToken=s3cret"]) {
      await fails(
        plugin.open(url, { mode: "create", env }),
        "caller",
        "ENOTSUP",
        /^remote libSQL servers are not supported yet/,
      );
    }
    for (const url of ["libsql:", "sqlite:", "libsql:a\0b"]) {
      await fails(plugin.open(url, { mode: "create", env }), "caller", "EINVAL", /names no file/);
    }
  } finally {
    Deno.chdir(before);
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("libsql: a shown URL has no secret", () => {
  assert.equal(plugin.redact("libsql:/var/lib/meta?.db"), "libsql:/var/lib/meta?.db");
  assert.equal(plugin.redact("libsql:///var/lib/meta.db"), "libsql:///var/lib/meta.db");
  assert.equal(plugin.redact("libsql://host:8080/x?authToken=s3cret"), "libsql://host:8080/x");
  assert.equal(plugin.redact("libsql://user:s3cret@host/x"), "libsql://host/x");
});

Deno.test("libsql: a commit waits for another process' lock without holding up the event loop", () =>
  withStore(async (store, path) => {
    await store.commit({ checks: [], writes: [usage(1)] }, ordered);
    const other = rawOpen(path);
    other.exec("BEGIN IMMEDIATE; UPDATE usage SET bytes = 10");
    let settled = false;
    const commits = [
      store.commit({ checks: [], writes: [update("usage", [1], { add: { bytes: 5 } })] }, ordered),
      store.commit({ checks: [], writes: [update("usage", [1], { add: { bytes: 7 } })] }, synced),
    ];
    commits[0]?.then(() => settled = true);
    // Reads go on, and see the state before.
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(await bytesUsed(store), 1);
    }
    assert.equal(settled, false);
    other.exec("COMMIT");
    for (const result of await Promise.all(commits)) assert.ok(result.ok);
    assert.equal(await bytesUsed(store), 22);
    other.close();
  }));

Deno.test("libsql: a lock that stays ends in a StoreError of kind retry, and closing waits for it", async () => {
  let nowMs = 0;
  const virtual: Env = {
    ...env,
    monotonicMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += 20 * ms;
      await Promise.resolve();
    },
  };
  await withStore(async (store, path) => {
    const other = rawOpen(path);
    other.exec("BEGIN IMMEDIATE");
    const commit = store.commit({ checks: [], writes: [usage(1)] }, ordered);
    const failure = fails(commit, "retry", "EIO", /meta\.db: another process keeps the database locked$/);
    const closed = store.close().then(() => nowMs);
    await failure;
    assert.ok(nowMs > 1000);
    assert.equal(await closed, nowMs);
    other.exec("ROLLBACK");
    other.close();
  }, virtual);
});

Deno.test("libsql: a statement that another process' lock caught half-way does not pin old data", () =>
  withStore(async (_store, path) => {
    const opened = openDatabaseFile(path, "open");
    const connection = new Connection(opened.db, opened.path);
    const other = rawOpen(path);
    other.exec("INSERT INTO counters VALUES ('a', 1, 1); BEGIN IMMEDIATE");
    const value = () => connection.one("value", [], () => "SELECT value FROM counters")?.[0];
    assert.throws(() => connection.apply("set", [], () => "UPDATE counters SET value = 9"), /locked/);
    other.exec("COMMIT");
    assert.equal(value(), 1);
    other.exec("UPDATE counters SET value = 2");
    connection.renew();
    assert.equal(value(), 2);
    other.exec("UPDATE counters SET value = 3");
    assert.equal(value(), 3);
    connection.close();
    other.close();
  }));

Deno.test("libsql: a statement that failed takes its next parameters", () =>
  withStore(async (store) => {
    // The driver binds the parameters of a statement that was not reset to nothing, and says nothing.
    const slice = (pos: number) => ({ pos, sliceId: 1, size: 1, off: 0, len: 1 });
    const counter = { table: "counters", key: ["c"], column: "value" } as const;
    const log = append("slices", [1, 0], slice(5), counter);
    await store.commit({
      checks: [],
      writes: [put("slices", [1, 0, 1], slice(1)), put("counters", ["c"], { value: 0 })],
    }, ordered);
    await fails(store.commit({ checks: [], writes: [log] }, ordered), "caller", "EINVAL", /append/);
    await store.commit({ checks: [], writes: [put("counters", ["c"], { value: 7 }), log] }, ordered);
    const slices = await store.scan({ table: "slices", prefix: [1, 0], limit: 10 });
    assert.deepEqual(slices.map(({ row }) => [row.seq, row.pos]), [[1, 1], [8, 5]]);
    // A failed commit runs its statements twice, the second time to find out what failed.
    const set = (bytes: number) => update("usage", [1], { set: { bytes } });
    await store.commit({ checks: [], writes: [usage(1)] }, ordered);
    const failed = await store.commit({ checks: [], writes: [set(2), update("usage", [9], {})] }, ordered);
    assert.deepEqual(failed, { ok: false, failed: [], missing: [1] });
    await store.commit({ checks: [], writes: [set(3)] }, ordered);
    assert.equal(await bytesUsed(store), 3);
  }));

Deno.test("libsql: after a failed fsync nothing more is committed until the file is opened again", () =>
  withStore(async (_store, path) => {
    const opened = openDatabaseFile(path, "open");
    class FailingConnection extends Connection {
      override exec(sql: string): void {
        if (sql === "COMMIT") throw Object.assign(new Error("disk I/O error"), { rawCode: 1034 });
        super.exec(sql);
      }
    }
    const committer = new Committer(new FailingConnection(opened.db, opened.path));
    const batch = { checks: [], writes: [usage(1)] };
    const broken = (error: unknown) =>
      error instanceof StoreError && error.kind === "fatal" && /the disk failed/.test(error.message);
    assert.throws(() => committer.commit(batch, true), broken);
    assert.throws(() => committer.commit(batch, false), broken);
    assert.throws(() => committer.commit({ checks: [], writes: [] }, true), broken);
    opened.db.close();
    const again = openLibsqlMetaStore(path, { mode: "open", env });
    assert.equal(await bytesUsed(again), undefined);
    assert.ok((await again.commit(batch, synced)).ok);
    await again.close();
  }));

Deno.test("libsql: a synced commit flushes the log, an ordered one does not", () =>
  withStore(async (_store, path) => {
    const opened = openDatabaseFile(path, "open");
    const levels: unknown[] = [];
    class WatchedConnection extends Connection {
      override exec(sql: string): void {
        if (sql === "COMMIT") levels.push(this.db.prepare("PRAGMA synchronous").raw().get([])?.[0]);
        super.exec(sql);
      }
    }
    const committer = new Committer(new WatchedConnection(opened.db, opened.path));
    const batch = { checks: [], writes: [usage(1)] };
    const failing = { checks: [checkAbsent("usage", [1])], writes: [usage(1)] };
    for (const flush of [false, true, false]) {
      committer.commit(batch, flush);
      committer.commit(failing, flush);
    }
    assert.deepEqual(levels, [1, 2, 1]); // NORMAL, FULL, NORMAL
    opened.db.close();
  }));

Deno.test("libsql: an empty synced commit writes something to flush if anyone has committed since the last", () =>
  withStore(async (store, path) => {
    const other = openLibsqlMetaStore(path, { mode: "open", env });
    const raw = rawOpen(path);
    const syncs = () =>
      raw.prepare(`SELECT value FROM slayerfs_store WHERE name = 'syncs'`).raw().get([])?.[0];
    const empty = { checks: [], writes: [] };
    const nothing = { checks: [], writes: [remove("usage", [77])] };
    await store.commit(empty, synced);
    assert.equal(syncs(), 1, "what was committed before it was opened");
    await store.commit(empty, synced);
    await store.commit(empty, ordered);
    assert.equal(syncs(), 1, "nothing to do");
    await store.commit({ checks: [], writes: [usage(1)] }, ordered);
    await store.commit(empty, synced);
    assert.equal(syncs(), 2, "its own commit");
    await other.commit({ checks: [], writes: [usage(2)] }, ordered);
    await store.commit(empty, synced);
    assert.equal(syncs(), 3, "another client's commit");
    await store.commit({ checks: [], writes: [usage(3)] }, synced);
    await store.commit(empty, synced);
    assert.equal(syncs(), 3, "a synced commit has written something itself");
    await store.commit(nothing, synced);
    assert.equal(syncs(), 4, "a synced commit that changes nothing");
    await other.close();
    raw.close();
  }));

Deno.test("libsql: an epoch of versions ends, and another begins", () =>
  withStore(async (store, path) => {
    const other = rawOpen(path);
    const epoch = () =>
      other.prepare(`SELECT value FROM slayerfs_store WHERE name = 'version_epoch'`).raw().get([])?.[0];
    const version = async () => (await store.get([read("usage", [1])]))[0]?.version;
    assert.equal(epoch(), 0);
    // A first commit that fails gives its epoch back, and takes one again.
    await store.commit({ checks: [], writes: [update("usage", [1], {})] }, ordered);
    assert.equal(epoch(), 0);
    await store.commit({ checks: [], writes: [usage(1)] }, ordered);
    assert.equal(epoch(), 1);
    assert.equal(await version(), 2 ** 20);
    const second = openLibsqlMetaStore(path, { mode: "open", env });
    await second.commit({ checks: [], writes: [usage(2)] }, ordered);
    assert.equal(await version(), 2 * 2 ** 20);
    await store.commit({ checks: [checkAbsent("usage", [5])], writes: [usage(3)] }, ordered);
    assert.equal(await version(), 2 ** 20 + 1);
    await second.close();
    // Near the end of the numbers: refused, not repeated.
    other.exec("UPDATE slayerfs_store SET value = 8589934591 WHERE name = 'version_epoch'");
    const last = openLibsqlMetaStore(path, { mode: "open", env });
    await fails(
      last.commit({ checks: [], writes: [usage(4)] }, ordered),
      "fatal",
      "EIO",
      /no more record versions/,
    );
    await last.close();
    other.close();
  }));

Deno.test("libsql: closing leaves one file without a log, a whole database", () =>
  withStore(async (store, path) => {
    for (let i = 0; i < 100; i++) await store.commit({ checks: [], writes: [usage(i)] }, ordered);
    assert.ok(Deno.statSync(`${path}-wal`).size > 0);
    await store.close();
    assert.equal(Deno.statSync(`${path}-wal`).size, 0);
    const other = rawOpen(path);
    assert.deepEqual(other.prepare("PRAGMA integrity_check").raw().all([]), [["ok"]]);
    assert.equal(other.prepare("SELECT bytes FROM usage").raw().get([])?.[0], 99);
    other.close();
  }));

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;

Deno.test({
  name: "libsql: a full disk fails commits with ENOSPC and nothing else, until there is space again",
  ignore: !isRoot,
  fn: async () => {
    const directory = Deno.makeTempDirSync({ prefix: "slayerfs-full-" });
    const run = (command: string, ...args: string[]) =>
      assert.ok(new Deno.Command(command, { args }).outputSync().success, command);
    run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", directory);
    try {
      Deno.writeFileSync(`${directory}/ballast`, new Uint8Array(1 << 20));
      const store = openLibsqlMetaStore(`${directory}/meta.db`, { mode: "create", env });
      await store.commit({ checks: [], writes: [usage(0)] }, ordered);
      const fill = (i: number, options: typeof ordered | typeof synced) =>
        store.commit({
          checks: [],
          writes: [
            put("sliceObjects", [i], { size: 1, refs: 1, checksums: new Uint8Array(20_000).fill(i) }),
            update("usage", [1], { add: { bytes: 1 } }),
          ],
        }, options);
      let filled = 0;
      await fails(
        (async () => {
          for (; filled < 1000; filled++) await fill(filled, ordered);
        })(),
        "fatal",
        "ENOSPC",
        /no space is left for the database/,
      );
      assert.ok(filled > 10);
      for (const options of [ordered, synced]) {
        await fails(fill(filled, options), "fatal", "ENOSPC", /no space/);
      }
      // What was committed is there, what failed is not, and reads go on.
      assert.equal(await bytesUsed(store), filled);
      const kept = await store.scan({ table: "sliceObjects", prefix: [], limit: 2000 });
      assert.deepEqual(kept.map(({ row }) => row.sliceId), Array.from({ length: filled }, (_, i) => i));
      Deno.removeSync(`${directory}/ballast`);
      assert.ok((await fill(filled, synced)).ok);
      assert.equal(await bytesUsed(store), filled + 1);
      await store.close();
      const other = rawOpen(`${directory}/meta.db`);
      assert.deepEqual(other.prepare("PRAGMA integrity_check").raw().all([]), [["ok"]]);
      other.close();
    } finally {
      // Lazily: the driver keeps the file open until the garbage collector comes by.
      run("umount", "--lazy", directory);
      Deno.removeSync(directory);
    }
  },
});

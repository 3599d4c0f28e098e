/**
 * Postgres with its data directory (sockets too) on a mount, run by a user who is not root: initdb, pgbench, a crash of
 * the server, a crash of the mount, checksums.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { checkVolumeAt } from "../helpers/check_volume.ts";
import { type Mounted, mountTest } from "../helpers/mounted.ts";
import { hasProgram, outputOf, run } from "../helpers/shell.ts";

const binDirectory = await findPostgres();
const skipped = !Deno.env.has("SLAYERFS_TEST_POSTGRES")
  ? " (skipped: takes minutes, SLAYERFS_TEST_POSTGRES=1 runs it)"
  : binDirectory === undefined
  ? " (skipped: no Postgres server)"
  : await hasProgram("setpriv")
  ? ""
  : " (skipped: no setpriv)";

/** Where Debian has the server's programs, or the PATH. */
async function findPostgres(): Promise<string | undefined> {
  const script =
    "ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1; dirname $(command -v initdb) 2>/dev/null";
  const candidates = (await outputOf("/bin/sh", ["-c", script])).stdout.split("\n").filter((line) =>
    line !== ""
  );
  for (const candidate of candidates) {
    const programs = ["initdb", "pg_ctl", "psql", "pgbench", "pg_checksums"].map((name) =>
      join(candidate, name)
    );
    if ((await Promise.all(programs.map(hasProgram))).every(Boolean)) return candidate;
  }
  return undefined;
}

/** Postgres refuses to run as root, and wants its user to have a name. */
const USER = "nobody";

class Cluster {
  readonly data: string;

  private constructor(readonly mounted: Mounted) {
    this.data = join(mounted.mountPoint, "pg");
  }

  static async create(mounted: Mounted): Promise<Cluster> {
    const cluster = new Cluster(mounted);
    // The way there is root's alone.
    await Deno.chmod(mounted.directory, 0o755);
    await Deno.mkdir(cluster.data, { mode: 0o700 });
    await run("chown", [USER, cluster.data]);
    await cluster.run(
      "initdb",
      "-D",
      cluster.data,
      "-U",
      "test",
      "-A",
      "trust",
      "--data-checksums",
      "--no-locale",
    );
    // Little memory, and no port of this machine.
    const settings = [
      `unix_socket_directories = '${cluster.data}'`,
      "listen_addresses = ''",
      "shared_buffers = 16MB",
      "max_connections = 20",
      "autovacuum = on",
      "wal_level = replica",
      "max_wal_size = 64MB",
    ];
    await Deno.writeTextFile(join(cluster.data, "postgresql.conf"), `${settings.join("\n")}\n`, {
      append: true,
    });
    return cluster;
  }

  async run(program: string, ...args: string[]): Promise<string> {
    const identity = ["--reuid", USER, "--regid", "65534", "--clear-groups"];
    return await run("setpriv", [...identity, "--", join(binDirectory ?? "", program), ...args], {
      cwd: "/",
      env: {
        HOME: this.data,
        PGHOST: this.data,
        PGUSER: "test",
        PGDATABASE: "postgres",
        PGCONNECT_TIMEOUT: "20",
      },
    });
  }

  async start(): Promise<void> {
    await this.run("pg_ctl", "-D", this.data, "-w", "-t", "60", "-l", join(this.data, "log"), "start");
  }

  async stop(mode: "fast" | "immediate"): Promise<void> {
    await this.run("pg_ctl", "-D", this.data, "-w", "-t", "60", "-m", mode, "stop");
  }

  async sql(query: string): Promise<string> {
    return (await this.run("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", query)).trim();
  }

  /** Transactions of four clients; rejects if one fails. */
  bench(transactionsEach: number): Promise<string> {
    return this.run("pgbench", "-n", "-c", "4", "-j", "2", "-t", String(transactionsEach));
  }

  /** What every transaction of pgbench keeps: the sums of all tables are the same. */
  async requireConsistent(): Promise<number> {
    const sums = await this.sql(
      `SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
              (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)`,
    );
    assert.equal(new Set(sums.split("|")).size, 1, `the sums of the tables differ: ${sums}`);
    return Number(await this.sql("SELECT count(*) FROM pgbench_history"));
  }

  /** Ends whatever is left of the server. */
  async kill(): Promise<void> {
    const pid = Number(
      (await Deno.readTextFile(join(this.data, "postmaster.pid")).catch(() => "")).split("\n")[0],
    );
    if (pid > 0) await killTree(pid);
  }
}

async function killTree(pid: number): Promise<void> {
  const children = (await outputOf("ps", ["-o", "pid=", "--ppid", String(pid)])).stdout.split("\n").map(
    Number,
  );
  // The parent first, or it starts new ones.
  const all = [pid, ...children.filter((child) => child > 0)];
  all.forEach(kill);
  while ((await Promise.all(all.map(isAlive))).includes(true)) await pause(20);
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function isAlive(pid: number): Promise<boolean> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "State: gone");
  return !/^State:\s+(Z|X|gone)/m.test(status);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

mountTest(
  `postgres: initdb, pgbench, a crash, restarts, a remount; sums, checksums and indexes are right${skipped}`,
  async (mounted) => {
    const cluster = await Cluster.create(mounted);
    try {
      await cluster.start();
      await cluster.run("pgbench", "-i", "-q", "-s", "1");
      await cluster.bench(60);
      assert.equal(await cluster.requireConsistent(), 240);
      await cluster.sql(
        `CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 300) AS text FROM generate_series(1, 2000) AS i;
         CREATE INDEX ON wide (text); ALTER TABLE wide ADD PRIMARY KEY (i)`,
      );
      await cluster.sql("CREATE DATABASE other TEMPLATE template0");
      await cluster.stop("immediate");
      await cluster.start();
      assert.equal(await cluster.requireConsistent(), 240, "after recovery");
      await cluster.bench(40);
      await cluster.sql("VACUUM (FULL, ANALYZE) pgbench_accounts");
      await cluster.stop("fast");
      await requireChecksums(cluster);

      await mounted.remount();
      await cluster.start();
      assert.equal(await cluster.requireConsistent(), 400, "after the remount");
      assert.equal(await cluster.sql("SELECT count(DISTINCT text) FROM wide"), "2000");
      await requireIndexes(cluster);
      await cluster.stop("fast");
    } catch (error) {
      console.log((await Deno.readTextFile(join(cluster.data, "log")).catch(() => "no log")).slice(-3000));
      throw error;
    } finally {
      await cluster.kill();
    }
    await mounted.finish();
  },
  { ignore: skipped !== "" },
);

mountTest(
  `postgres: a killed mount loses no transaction that was committed${skipped}`,
  async (mounted) => {
    const cluster = await Cluster.create(mounted);
    let serverPid = 0;
    try {
      await cluster.start();
      serverPid = Number((await Deno.readTextFile(join(cluster.data, "postmaster.pid"))).split("\n")[0]);
      await cluster.run("pgbench", "-i", "-q", "-s", "1");
      await cluster.sql("CHECKPOINT");
      // It says how many it committed by the moment when the mount dies under it.
      const bench = cluster.run("pgbench", "-n", "-c", "4", "-j", "2", "-T", "120", "-P", "1").then(
        () => assert.fail("pgbench survived the death of the file system"),
        (error: Error) => error.message,
      );
      const committed = await growsPast(cluster, 100);
      await mounted.kill();
      await killTree(serverPid);
      assert.match(await bench, /ended with/);
      await run("umount", ["-l", mounted.mountPoint]);

      await mounted.mount();
      // The dead server's number may be in use, if only by what nobody has buried yet.
      await run("/bin/sh", ["-c", `rm ${cluster.data}/postmaster.pid ${cluster.data}/.s.PGSQL.*`]);
      await cluster.start();
      const kept = await cluster.requireConsistent();
      assert(kept >= committed, `${committed} transactions were seen committed, ${kept} are left`);
      await cluster.bench(10);
      assert.equal(await cluster.requireConsistent(), kept + 40);
      await cluster.stop("fast");
      await requireChecksums(cluster);
    } catch (error) {
      console.log((await Deno.readTextFile(join(cluster.data, "log")).catch(() => "no log")).slice(-3000));
      throw error;
    } finally {
      if (serverPid > 0) await killTree(serverPid);
      await cluster.kill();
    }
    await mounted.unmount();
    // The session that was killed is still on record.
    await checkVolumeAt(mounted.metaUrl, { cleanEnd: false });
  },
  { ignore: skipped !== "" },
);

/** Waits until so many transactions are committed, and returns how many are. */
async function growsPast(cluster: Cluster, count: number): Promise<number> {
  for (;;) {
    const seen = Number(await cluster.sql("SELECT count(*) FROM pgbench_history"));
    if (seen > count) return seen;
    await pause(50);
  }
}

async function requireChecksums(cluster: Cluster): Promise<void> {
  const output = await cluster.run("pg_checksums", "--check", "-D", cluster.data);
  assert.match(output, /Bad checksums:\s+0/);
}

/** Every index has every row of its table, where the extension is installed. */
async function requireIndexes(cluster: Cluster): Promise<void> {
  const found = await cluster.sql("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'");
  if (found !== "1") return;
  await cluster.sql("CREATE EXTENSION amcheck");
  await cluster.sql(
    `SELECT bt_index_check(c.oid, c.relkind = 'i') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relpersistence = 'p'`,
  );
}

/** Programs that people use, on a mount: git, a compiler, SQLite. Each runs on a plain directory first. */
import assert from "node:assert/strict";
import { oracleTest } from "../helpers/mounted.ts";
import { hasProgram, run, shell } from "../helpers/shell.ts";

oracleTest("programs: git init, commit, branch, gc, clone, fsck", async (directory) => {
  const env = {
    HOME: directory,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "A",
    GIT_AUTHOR_EMAIL: "a@example.com",
    GIT_AUTHOR_DATE: "1700000000 +0000",
    GIT_COMMITTER_NAME: "C",
    GIT_COMMITTER_EMAIL: "c@example.com",
    GIT_COMMITTER_DATE: "1700000000 +0000",
  };
  return await shell(
    `git init -q -b main one && cd one
     for i in $(seq 200); do mkdir -p d$((i % 7)); seq $((i * 10)) > d$((i % 7))/file$i; done
     ln -s d1/file1 link && chmod +x d2/file2
     git add -A && git commit -qm first
     git checkout -qb side && seq 5000 > d1/file1 && git mv d3 moved && git commit -qam second
     git checkout -q main && git rm -qr d4 && git commit -qm third && git merge -q side -m merge
     git status --porcelain && git gc -q && git fsck --full --strict 2>&1
     cd .. && git clone -q one two && git -C two fsck --full --strict 2>&1
     git -C two worktree add -q ../three side && git -C three status --porcelain
     git -C two stash list && git -C two log --format=%H%s --all && git -C three rev-parse HEAD^{tree}`,
    { cwd: directory, env },
  );
}, {
  ignore: !await hasProgram("git"),
  // Authors and dates are fixed: the same commits have the same names everywhere.
  compare: (host, mount) => assert.equal(mount, host),
  again: async (directory) => {
    await shell("git -C one fsck --full --strict; git -C two fsck --full --strict", {
      cwd: directory,
      env: { HOME: directory },
    });
  },
});

const hasGcc = await hasProgram("gcc");

oracleTest("programs: compile, link and run a C program", async (directory) => {
  await Deno.writeTextFile(
    `${directory}/part.c`,
    `#include <sys/mman.h>
     int part(const char *p, long n) { long s = 0; for (long i = 0; i < n; i++) s += p[i]; return (int)(s % 251); }`,
  );
  await Deno.writeTextFile(
    `${directory}/main.c`,
    `#include <stdio.h>
     #include <fcntl.h>
     #include <unistd.h>
     #include <sys/mman.h>
     #include <sys/stat.h>
     int part(const char *p, long n);
     int main(int argc, char **argv) {
       int fd = open(argv[0], O_RDONLY);
       struct stat s;
       fstat(fd, &s);
       char *p = mmap(0, s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
       if (p == MAP_FAILED) return 1;
       printf("%d %d\\n", argc, part(p, s.st_size) >= -251);
       return 0;
     }`,
  );
  return await shell(
    `gcc -O1 -c part.c -o part.o && gcc -O1 -c main.c -o main.o && ar rcs libpart.a part.o
     gcc main.o -L. -lpart -o program && ./program a b && chmod -x program && ! ./program 2>/dev/null`,
    { cwd: directory },
  );
}, { ignore: !hasGcc, compare: (host, mount) => assert.equal(mount, host) });

oracleTest("programs: a Deno program written, run and writing there", async (directory) => {
  await Deno.writeTextFile(
    `${directory}/program.ts`,
    `const root = new URL(".", import.meta.url).pathname;
     await Deno.mkdir(root + "out");
     await Promise.all(Array.from({ length: 50 }, (_, i) => Deno.writeTextFile(root + "out/" + i, "x".repeat(i * 1000))));
     await Deno.rename(root + "out", root + "done");
     let total = 0;
     for await (const entry of Deno.readDir(root + "done")) total += (await Deno.readTextFile(root + "done/" + entry.name)).length;
     console.log(total);`,
  );
  return await run(Deno.execPath(), ["run", "-A", "--no-config", "program.ts"], {
    cwd: directory,
    env: { DENO_DIR: `${directory}/deno_dir`, NO_COLOR: "1" },
  });
}, { compare: (host, mount) => assert.equal(mount, host) });

const sqliteScript = (journal: string) =>
  `PRAGMA journal_mode = ${journal};
   CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB);
   BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
     INSERT INTO t SELECT i, 'name ' || i, zeroblob(i % 900) FROM n; COMMIT;
   UPDATE t SET data = CAST(id AS BLOB) WHERE id % 3 = 0;
   DELETE FROM t WHERE id % 5 = 0;
   CREATE INDEX d ON t (length(data), id);
   VACUUM;
   INSERT INTO t VALUES (100000, 'late', x'00ff');
   PRAGMA integrity_check;
   SELECT count(*), sum(length(data)), max(id) FROM t;`;

// WAL needs shared memory between processes; one process in exclusive mode does not.
for (const journal of ["DELETE", "TRUNCATE", "WAL"]) {
  oracleTest(`programs: an SQLite database in journal mode ${journal}`, async (directory) => {
    const database = `${directory}/test.db`;
    if (journal !== "WAL") return await run("sqlite3", [database, sqliteScript(journal)]);
    return await run("sqlite3", [database, `PRAGMA locking_mode = EXCLUSIVE; ${sqliteScript(journal)}`]);
  }, {
    ignore: !await hasProgram("sqlite3"),
    compare: (host, mount) => assert.equal(mount, host),
    again: async (directory) => {
      const answer = await run("sqlite3", [
        `${directory}/test.db`,
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA integrity_check; SELECT count(*) FROM t;",
      ]);
      assert.match(answer, /\bok\b[\s\S]*4001/);
    },
  });
}

oracleTest(
  "programs: an SQLite database of this very runtime, written by two processes",
  async (directory) => {
    await Deno.writeTextFile(
      `${directory}/writer.ts`,
      `import { DatabaseSync } from "node:sqlite";
     const [path, who] = Deno.args;
     const db = new DatabaseSync(path);
     db.exec("PRAGMA busy_timeout = 60000; CREATE TABLE IF NOT EXISTS t (who TEXT, i INTEGER)");
     const insert = db.prepare("INSERT INTO t VALUES (?, ?)");
     for (let i = 0; i < 40; i++) insert.run(who, i);
     db.close();`,
    );
    const database = `${directory}/shared.db`;
    const writer = (who: string) =>
      run(Deno.execPath(), ["run", "-A", "--no-config", `${directory}/writer.ts`, database, who]);
    await Promise.all([writer("a"), writer("b")]);
    const { DatabaseSync } = await import("node:sqlite");
    const db = new DatabaseSync(database);
    try {
      assert.deepEqual(db.prepare("PRAGMA integrity_check").all().map((row) => ({ ...row })), [
        { integrity_check: "ok" },
      ]);
      const counts = db.prepare("SELECT who, count(DISTINCT i) AS n FROM t GROUP BY who ORDER BY who").all();
      assert.deepEqual(counts.map((row) => ({ ...row })), [{ who: "a", n: 40 }, { who: "b", n: 40 }]);
    } finally {
      db.close();
    }
  },
);

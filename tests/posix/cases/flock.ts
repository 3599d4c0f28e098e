/** flock(2): locks of open files. They belong to the open file description: two opens of one process exclude each other. */
import { F, LOCK, O } from "../abi.ts";
import { collect } from "../harness.ts";
import { within, withPeers } from "../peer_client.ts";
import { open, unlink } from "../sys.ts";
import { close, dup, flock, recordLock } from "../sys_file.ts";
import { written } from "./open.ts";

export const cases = collect((test) => {
  test("flock/EAGAIN: shared locks share, exclusive ones exclude, between two opens of one process", (t) => {
    const path = written(t, "x");
    const [one, two] = [t.must(open(path, O.RDWR)), t.must(open(path, O.RDONLY))];
    const table = [
      [LOCK.SH, LOCK.SH, "OK"],
      [LOCK.SH, LOCK.EX, "EAGAIN"],
      [LOCK.EX, LOCK.SH, "EAGAIN"],
      [LOCK.EX, LOCK.EX, "EAGAIN"],
    ] as const;
    for (const [first, second, errno] of table) {
      t.ok(flock(one, first));
      t.fails(flock(two, second | LOCK.NB), errno, `${first} then ${second}`);
      t.ok(flock(two, LOCK.UN));
      t.ok(flock(one, LOCK.UN));
      t.ok(flock(two, LOCK.EX | LOCK.NB), "after the unlock");
      t.ok(flock(two, LOCK.UN));
    }
    close(one);
    close(two);
  });

  test("flock/OK: upgrade and downgrade", (t) => {
    const path = written(t, "x");
    const [one, two] = [t.must(open(path, O.RDWR)), t.must(open(path, O.RDWR))];
    t.ok(flock(one, LOCK.SH));
    t.ok(flock(one, LOCK.EX | LOCK.NB));
    t.fails(flock(two, LOCK.SH | LOCK.NB), "EAGAIN");
    t.ok(flock(one, LOCK.SH | LOCK.NB));
    t.ok(flock(two, LOCK.SH | LOCK.NB));
    t.fails(flock(one, LOCK.EX | LOCK.NB), "EAGAIN");
    close(one);
    t.ok(flock(two, LOCK.EX | LOCK.NB));
    close(two);
  });

  test("flock/OK: a duplicate shares the lock; it goes with the last of them", (t) => {
    const path = written(t, "x");
    const one = t.must(open(path, O.RDWR));
    const duplicate = dup(one);
    const other = t.must(open(path, O.RDWR));
    t.ok(flock(one, LOCK.EX));
    t.ok(flock(duplicate, LOCK.EX | LOCK.NB));
    close(one);
    t.fails(flock(other, LOCK.EX | LOCK.NB), "EAGAIN");
    close(duplicate);
    t.ok(flock(other, LOCK.EX | LOCK.NB));
    close(other);
  });

  test("flock/OK: closing another open of the file gives nothing back", (t) => {
    const path = written(t, "x");
    const [one, two, three] = [0, 1, 2].map(() => t.must(open(path, O.RDWR)));
    if (one === undefined || two === undefined || three === undefined) return;
    t.ok(flock(one, LOCK.EX));
    close(two);
    t.fails(flock(three, LOCK.SH | LOCK.NB), "EAGAIN");
    close(one);
    close(three);
  });

  test("flock/OK: directories, read-only and write-only descriptors, unlinked files", (t) => {
    const path = written(t, "x");
    for (const [of, flags] of [[t.dir, O.RDONLY], [path, O.RDONLY], [path, O.WRONLY]] as const) {
      const fd = t.must(open(of, flags));
      t.ok(flock(fd, LOCK.EX | LOCK.NB));
      close(fd);
    }
    const [one, two] = [t.must(open(path, O.RDWR)), t.must(open(path, O.RDWR))];
    t.ok(unlink(path));
    t.ok(flock(one, LOCK.EX));
    t.fails(flock(two, LOCK.EX | LOCK.NB), "EAGAIN");
    close(one);
    t.ok(flock(two, LOCK.EX | LOCK.NB));
    close(two);
  });

  test("flock/EINVAL, EBADF: no operation, no descriptor", (t) => {
    const fd = t.must(open(written(t, "x"), O.RDWR));
    t.fails(flock(fd, 0), "EINVAL");
    t.fails(flock(fd, LOCK.SH | LOCK.EX), "EINVAL");
    close(fd);
    t.fails(flock(987, LOCK.SH), "EBADF");
  });

  test("flock/OK: record locks of the same file are another matter", (t) => {
    const path = written(t, "x");
    const [one, two] = [t.must(open(path, O.RDWR)), t.must(open(path, O.RDWR))];
    t.ok(flock(one, LOCK.EX));
    t.ok(recordLock(two, F.SETLK, { type: F.WRLCK, start: 0, length: 0 }));
    close(one);
    close(two);
  });

  test("flock/OK: between processes, waiting, and given back when the holder dies", async (t) => {
    const path = written(t, "x");
    const fd = t.must(open(path, O.RDWR));
    await withPeers(2, async (first, second) => {
      if (first === undefined || second === undefined) return;
      const theirs = await first.call("open", path, O.RDWR);
      const others = await second.call("open", path, O.RDWR);
      t.ok(flock(fd, LOCK.EX));
      t.fails(await first.call("flock", theirs, LOCK.EX | LOCK.NB), "EAGAIN");
      t.fails(await first.call("flock", theirs, LOCK.SH | LOCK.NB), "EAGAIN");
      const waiting = await first.blocking(t, "flock", theirs, LOCK.EX);
      t.ok(flock(fd, LOCK.UN));
      t.ok(await within(waiting.done, "the lock"));
      const next = await second.blocking(t, "flock", others, LOCK.SH);
      await first.kill();
      t.ok(await within(next.done, "the lock of the dead"));
      t.ok(flock(fd, LOCK.SH | LOCK.NB));
      t.fails(flock(fd, LOCK.EX | LOCK.NB), "EAGAIN");
    });
    t.ok(flock(fd, LOCK.EX | LOCK.NB), "all others are gone");
    close(fd);
  });

  test("flock/OK: many appends of two processes under one lock", async (t) => {
    const path = written(t, "");
    const fd = t.must(open(path, O.WRONLY | O.APPEND));
    await withPeers(2, async (...peers) => {
      await Promise.all(peers.map(async (peer, index) => {
        const theirs = await peer.call("open", path, O.WRONLY | O.APPEND);
        for (let i = 0; i < 20; i++) {
          t.ok(await peer.call("flock", theirs, LOCK.EX));
          t.is(await peer.call("append", theirs, `${index}`), 1);
          t.is(await peer.call("append", theirs, `${index}`), 1);
          t.ok(await peer.call("flock", theirs, LOCK.UN));
        }
      }));
    });
    const content = Deno.readTextFileSync(path);
    t.is(content.length, 80);
    t.holds(/^(00|11)+$/.test(content), `pairs, got ${content}`);
    close(fd);
  });
});

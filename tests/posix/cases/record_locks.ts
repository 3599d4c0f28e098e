/** POSIX record locks: fcntl_locking(2). They belong to a process, so each case has other processes to ask. */
import { F, O } from "../abi.ts";
import { collect, type Test } from "../harness.ts";
import { type Peer, within, withPeers } from "../peer_client.ts";
import { link, open, unlink } from "../sys.ts";
import { close, dup, type FoundLock, ftruncate, lockFound, lseek, pwrite, recordLock } from "../sys_file.ts";
import { opened } from "./io.ts";
import { written } from "./open.ts";

const set = (fd: number, type: number, start: number, length: number, whence = 0) =>
  recordLock(fd, F.SETLK, { type, start, length, whence });

/** What the peer sees in its way for a write lock of the range: "none", or type, start, length. */
async function seen(peer: Peer, fd: number, start = 0, length = 0, type: number = F.WRLCK): Promise<string> {
  return shown(await peer.call("getlk", fd, type, start, length));
}

function shown(found: FoundLock | number): string {
  if (typeof found === "number") return `errno ${-found}`;
  if (found.type === F.UNLCK) return "none";
  return `${found.type === F.RDLCK ? "read" : "write"} ${found.start}+${found.length}`;
}

/** A case with a file that this process and `count` others have open. */
function shared(
  t: Test,
  count: number,
  action: (file: { fd: number; path: string }, peers: Peer[], fds: number[]) => Promise<void>,
): Promise<void> {
  return withPeers(count, async (...peers) => {
    const file = opened(t, "0123456789");
    const fds = await Promise.all(peers.map((peer) => peer.call("open", file.path, O.RDWR)));
    fds.forEach((fd) => t.must(fd));
    await action(file, peers, fds);
  });
}

const one = <V>(values: readonly V[]): V => {
  const [value] = values;
  if (value === undefined) throw new Error("one expected");
  return value;
};

export const cases = collect((test) => {
  test("fcntl/EAGAIN: read locks share, write locks exclude", (t) =>
    shared(t, 1, async ({ fd }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      const table = [
        [F.RDLCK, F.RDLCK, "OK"],
        [F.RDLCK, F.WRLCK, "EAGAIN"],
        [F.WRLCK, F.RDLCK, "EAGAIN"],
        [F.WRLCK, F.WRLCK, "EAGAIN"],
      ] as const;
      for (const [mine, wanted, errno] of table) {
        t.ok(set(fd, mine, 0, 10));
        t.fails(await peer.call("lock", theirs, F.SETLK, wanted, 5, 10), errno, `${mine} then ${wanted}`);
        t.ok(await peer.call("lock", theirs, F.SETLK, wanted, 10, 10), "beside it");
        t.ok(await peer.call("lock", theirs, F.SETLK, F.UNLCK, 0, 0));
        t.ok(set(fd, F.UNLCK, 0, 0));
      }
    }));

  test("fcntl/OK: F_GETLK tells the first lock in the way: type, range, process", (t) =>
    shared(t, 1, async ({ fd }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.is(await seen(peer, theirs), "none");
      t.ok(set(fd, F.RDLCK, 100, 50));
      t.is(await seen(peer, theirs), "read 100+50");
      t.is(await seen(peer, theirs, 0, 0, F.RDLCK), "none", "a read lock is not in a read lock's way");
      t.is(await seen(peer, theirs, 0, 100), "none");
      t.is(await seen(peer, theirs, 149, 1), "read 100+50");
      t.is(await seen(peer, theirs, 150, 0), "none");
      t.ok(set(fd, F.WRLCK, 200, 0), "to the end of all offsets");
      t.is(await seen(peer, theirs, 300, 5), "write 200+0");
      const found = await peer.call("getlk", theirs, F.WRLCK, 300, 5);
      t.is(typeof found === "number" ? found : found.pid, Deno.pid);
      t.is(
        shown(lockFound(fd, { type: F.WRLCK, start: 0, length: 0 })),
        "none",
        "own locks are never in the way",
      );
    }));

  test("fcntl/OK: unlocking the middle splits, locking between merges", (t) =>
    shared(t, 1, async ({ fd }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.ok(set(fd, F.WRLCK, 0, 100));
      t.ok(set(fd, F.UNLCK, 40, 20));
      t.is(await seen(peer, theirs), "write 0+40");
      t.is(await seen(peer, theirs, 40, 20), "none");
      t.is(await seen(peer, theirs, 40, 0), "write 60+40");
      t.ok(set(fd, F.WRLCK, 40, 20));
      t.is(await seen(peer, theirs), "write 0+100");
      t.ok(set(fd, F.WRLCK, 100, 10));
      t.is(await seen(peer, theirs, 50, 5), "write 0+110", "neighbours are one");
      t.ok(set(fd, F.RDLCK, 20, 10));
      t.is(await seen(peer, theirs), "write 0+20");
      t.is(await seen(peer, theirs, 20, 10), "read 20+10");
      t.is(await seen(peer, theirs, 30, 10), "write 30+80");
      t.ok(set(fd, F.UNLCK, 10, 95));
      t.is(await seen(peer, theirs), "write 0+10");
      t.is(await seen(peer, theirs, 10, 0), "write 105+5");
    }));

  test("fcntl/OK: upgrade and downgrade; an upgrade that is refused keeps the old lock", (t) =>
    shared(t, 1, async ({ fd }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.ok(set(fd, F.RDLCK, 0, 10));
      t.ok(await peer.call("lock", theirs, F.SETLK, F.RDLCK, 0, 10));
      t.fails(set(fd, F.WRLCK, 0, 10), "EAGAIN");
      t.is(await seen(peer, theirs), "read 0+10");
      t.ok(await peer.call("lock", theirs, F.SETLK, F.UNLCK, 0, 10));
      t.ok(set(fd, F.WRLCK, 0, 10));
      t.is(await seen(peer, theirs), "write 0+10");
      t.ok(set(fd, F.RDLCK, 0, 10));
      t.ok(await peer.call("lock", theirs, F.SETLK, F.RDLCK, 0, 10));
    }));

  test("fcntl/OK: offsets count from the start, the descriptor's offset or the end; lengths may be negative", (t) =>
    shared(t, 1, async ({ fd }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.ok(lseek(fd, 4, 0));
      t.ok(set(fd, F.WRLCK, 1, 2, 1));
      t.is(await seen(peer, theirs), "write 5+2");
      t.ok(set(fd, F.UNLCK, 0, 0));
      t.ok(set(fd, F.WRLCK, -3, 2, 2));
      t.is(await seen(peer, theirs), "write 7+2");
      t.ok(set(fd, F.UNLCK, 0, 0));
      t.ok(set(fd, F.WRLCK, 10, -4));
      t.is(await seen(peer, theirs), "write 6+4");
      t.fails(set(fd, F.WRLCK, -1, 1), "EINVAL");
      t.fails(set(fd, F.WRLCK, 3, -4), "EINVAL");
      t.fails(set(fd, 77, 0, 1), "EINVAL");
      t.ok(set(fd, F.WRLCK, 2 ** 40, 5), "far beyond the end");
      t.is(await seen(peer, theirs, 2 ** 40, 1), `write ${2 ** 40}+5`);
    }));

  test("fcntl/EBADF: a lock needs a descriptor that may do what it guards", (t) => {
    const path = written(t, "abc");
    const [reading, writing] = [t.must(open(path, O.RDONLY)), t.must(open(path, O.WRONLY))];
    t.fails(set(reading, F.WRLCK, 0, 1), "EBADF");
    t.fails(set(writing, F.RDLCK, 0, 1), "EBADF");
    t.ok(set(reading, F.RDLCK, 0, 1));
    t.ok(set(writing, F.WRLCK, 5, 1));
    t.fails(set(987, F.RDLCK, 0, 1), "EBADF");
    close(reading);
    close(writing);
  });

  test("fcntl/OK: closing any descriptor of the file gives all of the process's locks back", (t) =>
    shared(t, 1, async ({ fd, path }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.ok(set(fd, F.WRLCK, 0, 10));
      const again = t.must(open(path, O.RDONLY));
      t.is(await seen(peer, theirs), "write 0+10");
      close(again);
      t.is(await seen(peer, theirs), "none");
      t.ok(set(fd, F.WRLCK, 0, 10));
      close(dup(fd));
      t.is(await seen(peer, theirs), "none", "a duplicate, too");
      t.ok(link(path, t.at("second")));
      t.ok(set(fd, F.WRLCK, 0, 10));
      close(t.must(open(t.at("second"), O.RDONLY)));
      t.is(await seen(peer, theirs), "none", "through another link");
    }));

  test("fcntl/OK: a process that dies gives its locks back", (t) =>
    shared(t, 1, async ({ fd }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.ok(await peer.call("lock", theirs, F.SETLK, F.WRLCK, 0, 10));
      t.fails(set(fd, F.WRLCK, 0, 1), "EAGAIN");
      await peer.kill();
      t.ok(set(fd, F.WRLCK, 0, 1));
    }));

  test("fcntl/OK: F_SETLKW waits until the lock is given back", (t) =>
    shared(t, 1, async ({ fd }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.ok(set(fd, F.WRLCK, 0, 10));
      const waiting = await peer.blocking(t, "lock", theirs, F.SETLKW, F.WRLCK, 5, 10);
      t.ok(set(fd, F.UNLCK, 0, 5), "a part that is not in its way");
      t.ok(set(fd, F.UNLCK, 0, 0));
      t.ok(await within(waiting.done, "the lock"));
      t.fails(set(fd, F.RDLCK, 5, 1), "EAGAIN");
      t.ok(set(fd, F.RDLCK, 0, 5));
    }));

  test("fcntl/OK: F_SETLKW waits for several readers; a downgrade and a close let it on", (t) =>
    shared(t, 2, async ({ fd, path }, peers, fds) => {
      const [first, second] = peers;
      const [theirs, others] = fds;
      if (first === undefined || second === undefined || theirs === undefined || others === undefined) return;
      t.ok(set(fd, F.WRLCK, 0, 10));
      const reader = await first.blocking(t, "lock", theirs, F.SETLKW, F.RDLCK, 0, 10);
      t.ok(set(fd, F.RDLCK, 0, 10));
      t.ok(await within(reader.done, "the read lock"));
      const writer = await second.blocking(t, "lock", others, F.SETLKW, F.WRLCK, 0, 10);
      t.ok(await first.call("close", theirs));
      close(t.must(open(path, O.RDONLY)));
      t.ok(await within(writer.done, "the write lock"));
      t.fails(set(fd, F.RDLCK, 0, 10), "EAGAIN");
    }));

  test("fcntl/OK: a waiter is woken when the holder dies, and a dead waiter gets nothing", (t) =>
    shared(t, 2, async ({ fd }, peers, fds) => {
      const [first, second] = peers;
      const [theirs, others] = fds;
      if (first === undefined || second === undefined || theirs === undefined || others === undefined) return;
      t.ok(await first.call("lock", theirs, F.SETLK, F.WRLCK, 0, 10));
      const waiting = await second.blocking(t, "lock", others, F.SETLKW, F.WRLCK, 0, 10);
      await first.kill();
      t.ok(await within(waiting.done, "the lock"));
      t.ok(await second.call("lock", others, F.SETLK, F.UNLCK, 0, 0));
      t.ok(set(fd, F.WRLCK, 0, 10));
      await second.blocking(t, "lock", others, F.SETLKW, F.WRLCK, 0, 10);
      await second.kill();
      t.ok(set(fd, F.UNLCK, 0, 0));
      t.ok(set(fd, F.WRLCK, 0, 10), "the dead waiter holds nothing");
    }));

  test("fcntl/EDEADLK: two processes that wait for each other", (t) =>
    shared(t, 2, async (_, peers, fds) => {
      const [first, second] = peers;
      const [theirs, others] = fds;
      if (first === undefined || second === undefined || theirs === undefined || others === undefined) return;
      t.ok(await first.call("lock", theirs, F.SETLK, F.WRLCK, 0, 1));
      t.ok(await second.call("lock", others, F.SETLK, F.WRLCK, 1, 1));
      const waiting = await first.blocking(t, "lock", theirs, F.SETLKW, F.WRLCK, 1, 1);
      t.fails(await second.call("lock", others, F.SETLKW, F.WRLCK, 0, 1), "EDEADLK");
      t.ok(await second.call("lock", others, F.SETLK, F.UNLCK, 0, 0));
      t.ok(await within(waiting.done, "the lock"));
    }));

  test("fcntl/OK: locks belong to the file, not to its name, size or bytes", (t) =>
    shared(t, 1, async ({ fd, path }, peers, fds) => {
      const [peer, theirs] = [one(peers), one(fds)];
      t.ok(set(fd, F.WRLCK, 0, 100));
      t.ok(ftruncate(fd, 0));
      t.is(pwrite(fd, "x", 500), 1);
      t.ok(unlink(path));
      t.is(await seen(peer, theirs), "write 0+100");
      t.ok(set(fd, F.UNLCK, 0, 0));
      t.ok(await peer.call("lock", theirs, F.SETLK, F.WRLCK, 0, 0), "of a file without a name");
      const fresh = t.must(open(path, O.CREAT | O.RDWR, 0o644));
      t.ok(set(fresh, F.WRLCK, 0, 0), "a new file of that name is free");
      close(fresh);
    }));
});

/** Locks of programs on two mounts of one volume: real system calls of other processes, and util-linux's flock. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { startSlayerfs } from "../helpers/cli.ts";
import { isMounted, type Mounted, mountTest } from "../helpers/mounted.ts";
import { hasProgram, outputOf, shell } from "../helpers/shell.ts";
import { errnoNumbers } from "../../fuse/errno.ts";
import { F, LOCK, O } from "../posix/abi.ts";
import { type Peer, within, withPeers } from "../posix/peer_client.ts";

const OK = 0;
const EAGAIN = -(errnoNumbers.EAGAIN as number);
const EDEADLK = -(errnoNumbers.EDEADLK as number);
const test = { holds: (condition: boolean, what: string) => assert.ok(condition, `expected ${what}`) };

/** Mounts the volume a second time while `body` runs. */
async function withSecondMount(mounted: Mounted, body: (mountPoint: string) => Promise<void>): Promise<void> {
  const mountPoint = join(mounted.directory, "second");
  await Deno.mkdir(mountPoint);
  const second = startSlayerfs(["mount", mounted.metaUrl, mountPoint]);
  try {
    await second.untilSaid("Mounted ");
    await body(mountPoint);
    second.kill("SIGTERM");
    const { code, stderr } = await second.ended;
    assert.equal(code, 0, stderr);
  } finally {
    if (await isMounted(mountPoint)) await outputOf("umount", ["-l", mountPoint]);
    try {
      second.kill("SIGKILL");
    } catch { /* it has ended */ }
    await second.ended;
  }
}

/** A peer with the file open on each mount. */
function withPeerOnEach(
  mounted: Mounted,
  body: (here: Peer, hereFd: number, there: Peer, thereFd: number, second: string) => Promise<void>,
): Promise<void> {
  return withSecondMount(mounted, async (second) => {
    await Deno.writeTextFile(join(mounted.mountPoint, "file"), "0123456789");
    await withPeers(2, async (here, there) => {
      assert.ok(here !== undefined && there !== undefined);
      const hereFd = await here.call("open", join(mounted.mountPoint, "file"), O.RDWR);
      const thereFd = await there.call("open", join(second, "file"), O.RDWR);
      assert.ok(hereFd > 0 && thereFd > 0);
      await body(here, hereFd, there, thereFd, second);
    });
  });
}

mountTest(
  "record locks hold on two mounts: conflicts, waiting, closing, dying",
  (mounted) =>
    withPeerOnEach(mounted, async (here, hereFd, there, thereFd) => {
      const set = (peer: Peer, fd: number, type: number, start: number, length: number) =>
        peer.call("lock", fd, F.SETLK, type, start, length);
      assert.equal(await set(here, hereFd, F.WRLCK, 0, 10), OK);
      assert.equal(await set(there, thereFd, F.RDLCK, 5, 1), EAGAIN);
      assert.equal(await set(there, thereFd, F.WRLCK, 10, 0), OK);
      const found = await there.call("getlk", thereFd, F.RDLCK, 0, 0);
      assert.deepEqual(
        found,
        { type: F.WRLCK, start: 0, length: 10, pid: 0 },
        "no process of this machine's kernel",
      );

      const waiting = await there.blocking(test, "lock", thereFd, F.SETLKW, F.RDLCK, 0, 3);
      assert.equal(await set(here, hereFd, F.UNLCK, 0, 2), OK);
      assert.equal(await set(here, hereFd, F.RDLCK, 2, 5), OK, "a downgrade lets the reader in");
      assert.equal(await within(waiting.done, "the lock"), OK);
      assert.equal(await set(here, hereFd, F.WRLCK, 0, 1), EAGAIN);

      // Any close gives everything back; so does a death.
      const writer = await there.blocking(test, "lock", thereFd, F.SETLKW, F.WRLCK, 0, 0);
      const again = await here.call("open", join(mounted.mountPoint, "file"), O.RDONLY);
      await here.call("close", again);
      assert.equal(await within(writer.done, "the lock"), OK);
      const last = await here.blocking(test, "lock", hereFd, F.SETLKW, F.WRLCK, 3, 1);
      await there.kill();
      assert.equal(await within(last.done, "the lock"), OK);
    }),
);

mountTest(
  "flock holds on two mounts, and a process that is killed while it waits gets nothing",
  (mounted) =>
    withPeerOnEach(mounted, async (here, hereFd, there, thereFd, second) => {
      const flock = (peer: Peer, fd: number, operation: number) => peer.call("flock", fd, operation);
      assert.equal(await flock(here, hereFd, LOCK.SH), OK);
      assert.equal(await flock(there, thereFd, LOCK.SH), OK);
      assert.equal(await flock(there, thereFd, LOCK.EX | LOCK.NB), EAGAIN);
      await flock(there, thereFd, LOCK.UN);
      assert.equal(await flock(here, hereFd, LOCK.EX | LOCK.NB), OK);
      await withPeers(1, async (killed) => {
        assert.ok(killed !== undefined);
        const fd = await killed.call("open", join(second, "file"), O.RDONLY);
        await killed.blocking(test, "flock", fd, LOCK.EX);
        await killed.kill();
      });
      const waiting = await there.blocking(test, "flock", thereFd, LOCK.EX);
      await here.call("close", hereFd);
      assert.equal(await within(waiting.done, "the lock"), OK);
    }),
);

mountTest("a ring of two waiting processes on one mount is refused with EDEADLK", async (mounted) => {
  const path = join(mounted.mountPoint, "file");
  await Deno.writeTextFile(path, "01");
  await withPeers(2, async (one, two) => {
    assert.ok(one !== undefined && two !== undefined);
    const [oneFd, twoFd] = [await one.call("open", path, O.RDWR), await two.call("open", path, O.RDWR)];
    assert.equal(await one.call("lock", oneFd, F.SETLK, F.WRLCK, 0, 1), OK);
    assert.equal(await two.call("lock", twoFd, F.SETLK, F.WRLCK, 1, 1), OK);
    const waiting = await one.blocking(test, "lock", oneFd, F.SETLKW, F.WRLCK, 1, 1);
    assert.equal(await within(two.call("lock", twoFd, F.SETLKW, F.WRLCK, 0, 1), "the refusal"), EDEADLK);
    await two.call("close", twoFd);
    assert.equal(await within(waiting.done, "the lock"), OK);
  });
});

mountTest(
  "who gets a lock reads what was written under it, not what its kernel keeps",
  (mounted) =>
    withPeerOnEach(mounted, async (here, hereFd, there, thereFd, second) => {
      const reader = Deno.openSync(join(second, "file"), { read: true });
      const writer = Deno.openSync(join(mounted.mountPoint, "file"), { write: true });
      try {
        const read = () => {
          const bytes = new Uint8Array(100);
          reader.seekSync(0, Deno.SeekMode.Start);
          return new TextDecoder().decode(bytes.subarray(0, reader.readSync(bytes) ?? 0));
        };
        assert.equal(read(), "0123456789");
        for (let round = 0; round < 20; round++) {
          // The same length every second time: then only the contents tell.
          const text = `round ${round} ${"x".repeat(round >> 1)}`;
          assert.equal(await here.call("flock", hereFd, LOCK.EX), OK);
          writer.seekSync(0, Deno.SeekMode.Start);
          writer.writeSync(new TextEncoder().encode(text));
          assert.equal(await here.call("flock", hereFd, LOCK.UN), OK);
          assert.equal(await there.call("lock", thereFd, F.SETLK, F.RDLCK, 0, 0), OK);
          assert.equal(await there.call("flock", thereFd, LOCK.SH), OK);
          assert.equal(read().slice(0, text.length), text);
          assert.equal(await there.call("flock", thereFd, LOCK.UN), OK);
          assert.equal(await there.call("lock", thereFd, F.SETLK, F.UNLCK, 0, 0), OK);
        }
      } finally {
        reader.close();
        writer.close();
      }
    }),
);

mountTest("a counter that programs on two mounts change under flock(1) loses nothing", async (mounted) => {
  if (!await hasProgram("flock")) return;
  await withSecondMount(mounted, async (second) => {
    await Deno.writeTextFile(join(mounted.mountPoint, "counter"), "0\n");
    const count = (directory: string) =>
      shell(
        `for i in $(seq 15); do flock lock sh -c 'read n < counter; echo $((n + 1)) > counter'; done`,
        { cwd: directory },
      );
    await Promise.all([mounted.mountPoint, second, mounted.mountPoint, second].map(count));
    assert.equal(await Deno.readTextFile(join(second, "counter")), "60\n");
  });
  await mounted.finish();
});

mountTest(
  "lines that two mounts append under a lock all stay",
  (mounted) =>
    withPeerOnEach(mounted, async (_here, _hereFd, _there, _thereFd, second) => {
      const lines = 40;
      await withPeers(2, async (...writers) => {
        const directories = [mounted.mountPoint, second];
        await Promise.all(writers.map(async (writer, i) => {
          const fd = await writer.call("open", join(directories[i] as string, "file"), O.WRONLY | O.APPEND);
          for (let line = 0; line < lines; line++) {
            assert.equal(await writer.call("flock", fd, LOCK.EX), OK);
            const text = `writer ${i} line ${line}\n`;
            assert.equal(await writer.call("append", fd, text), text.length);
            assert.equal(await writer.call("flock", fd, LOCK.UN), OK);
          }
        }));
      });
      for (const directory of [mounted.mountPoint, second]) {
        const text = await Deno.readTextFile(join(directory, "file"));
        const seen = text.replace("0123456789", "").trimEnd().split("\n");
        const expected = [0, 1].flatMap((i) =>
          Array.from({ length: lines }, (_, line) => `writer ${i} line ${line}`)
        );
        assert.deepEqual(seen.toSorted(), expected.toSorted());
      }
    }),
);

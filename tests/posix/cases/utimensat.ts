/** utimensat(2), futimens(3): values, the two special ones, and who may. */
import { AT, O, UTIME } from "../abi.ts";
import { kinds } from "../files.ts";
import { collect, type Test } from "../harness.ts";
import { alice, as, bob, carol, root, type User } from "../identity.ts";
import { open, type Time, utimens } from "../sys.ts";
import { close, futimens, pread, write } from "../sys_file.ts";
import { written } from "./open.ts";

const now: Time = [0, UTIME.NOW];
const omit: Time = [0, UTIME.OMIT];

/** Seconds since 1970 as the file system should know. */
function nowSec(): number {
  return Math.floor(Date.now() / 1000);
}

function isNow(t: Test, time: Time, since: number, what: string): void {
  t.holds(time[0] >= since - 1 && time[0] <= nowSec() + 1, `${what} of now, got ${time}`);
}

/** Values that a 64-bit file system keeps: before 1970, past 2038, past 2106, the last nanosecond of a second. */
const moments: readonly Time[] = [
  [0, 0],
  [1, 1],
  [1_000_000_000, 999_999_999],
  [2_147_483_647, 999_999_999],
  [2_147_483_648, 0],
  [4_294_967_295, 1],
  [4_294_967_296, 123_456_789],
  [13_569_465_600, 42],
  [-1, 0],
  [-1, 999_999_999],
  [-86_400, 5],
  [-2_147_483_647, 0],
];

export const cases = collect((test) => {
  for (const kind of kinds) {
    test(`utimensat/OK: both times of a ${kind}, to the nanosecond; ctime moves`, (t) => {
      const path = t.make(kind);
      t.changes(() => t.ok(utimens(path, [12, 34], [56, 78], AT.SYMLINK_NOFOLLOW)), {
        [path]: "amc",
        [t.dir]: "",
      });
      const { atime, mtime } = t.stat(path);
      t.is([atime, mtime], [[12, 34], [56, 78]]);
      t.changes(
        () => t.ok(utimens(path, [12, 34], [56, 78], AT.SYMLINK_NOFOLLOW)),
        { [path]: "c" },
        "the same times again",
      );
    });

    test(`utimensat/OK: UTIME_NOW and UTIME_OMIT on a ${kind}`, (t) => {
      const path = t.make(kind);
      const set = (atime: Time, mtime: Time) => t.ok(utimens(path, atime, mtime, AT.SYMLINK_NOFOLLOW));
      const since = nowSec();
      set([100, 1], [200, 2]);
      t.changes(() => set(omit, [300, 3]), { [path]: "mc" });
      t.is(t.stat(path).mtime, [300, 3]);
      t.changes(() => set([400, 4], omit), { [path]: "ac" });
      t.is(t.stat(path).atime, [400, 4]);
      t.changes(() => set(omit, omit), { [path]: "" }, "both omitted");
      t.changes(() => set(now, omit), { [path]: "ac" });
      isNow(t, t.stat(path).atime, since, "atime");
      t.changes(() => set(omit, now), { [path]: "mc" });
      isNow(t, t.stat(path).mtime, since, "mtime");
      set([100, 1], [200, 2]);
      t.changes(() => set(now, now), { [path]: "amc" });
      t.is(t.stat(path).atime, t.stat(path).mtime, "one moment for both");
      t.is(t.stat(path).ctime, t.stat(path).mtime, "and for ctime");
      t.changes(() => set([7, 7], now), { [path]: "amc" });
      t.is(t.stat(path).atime, [7, 7]);
    });
  }

  test("utimensat/OK: moments before 1970, past 2038 and past 2106", (t) => {
    const path = t.make("regular");
    for (const moment of moments) {
      t.ok(utimens(path, moment, [moment[0], 7]), `${moment}`);
      const { atime, mtime } = t.stat(path);
      t.is([atime, mtime], [moment, [moment[0], 7]]);
    }
    const directory = t.make("dir");
    for (const moment of moments) {
      t.ok(utimens(directory, [5, 5], moment), `${moment}`);
      t.is(t.stat(directory).mtime, moment);
    }
  });

  test("utimensat/OK: no times at all means now", (t) => {
    const path = t.make("regular");
    const since = nowSec();
    t.ok(utimens(path, [1, 1], [2, 2]));
    t.changes(() => t.ok(utimens(path)), { [path]: "amc" });
    isNow(t, t.stat(path).mtime, since, "mtime");
  });

  test("utimensat/EINVAL: nanoseconds out of range; nothing changes", (t) => {
    const path = t.make("regular");
    for (const nsec of [-1, 1_000_000_000, 2_000_000_000, 0x3fffffff - 5]) {
      t.refused(() => utimens(path, [1, nsec], [1, 1]), "EINVAL", [path], String(nsec));
      t.refused(() => utimens(path, [1, 1], [1, nsec]), "EINVAL", [path], String(nsec));
    }
    t.fails(utimens(path, [1, 1], [1, 1], 0x40000), "EINVAL", "flags");
  });

  test("utimensat/OK: follows a link unless told not to", (t) => {
    const file = t.make("regular");
    const link = t.make("symlink", t.fresh(), { target: file });
    t.ok(utimens(link, [1, 2], [3, 4]));
    t.is(t.stat(file).mtime, [3, 4]);
    t.changes(() => t.ok(utimens(link, [5, 6], [7, 8], AT.SYMLINK_NOFOLLOW)), { [file]: "", [link]: "amc" });
    t.is([t.stat(link).atime, t.stat(link).mtime], [[5, 6], [7, 8]]);
  });

  const strangers: readonly (readonly [string, User, number])[] = [
    ["a stranger with write permission", bob, 0o666],
    ["a stranger without", bob, 0o644],
    ["a member of the group with write permission", { uid: bob.uid, gid: carol.gid }, 0o660],
    ["a member of the group without", { uid: bob.uid, gid: carol.gid }, 0o646],
  ];
  for (const kind of kinds.filter((each) => each !== "symlink")) {
    for (const [who, user, mode] of strangers) {
      const mayWrite = who.endsWith("with write permission");
      test(`utimensat/${mayWrite ? "EPERM" : "EACCES"}: ${who}, on a ${kind}`, (t) => {
        const path = t.make(kind, t.fresh(), { mode, uid: alice.uid, gid: carol.gid });
        const call = (atime?: Time, mtime?: Time) => () => as(user, () => utimens(path, atime, mtime));
        if (mayWrite) {
          t.changes(() => t.ok(call()()), { [path]: "amc" });
          t.changes(() => t.ok(call(now, now)()), { [path]: "amc" });
        } else {
          t.refused(call(), "EACCES", [path]);
          t.refused(call(now, now), "EACCES", [path]);
        }
        for (
          const [atime, mtime] of [[[1, 1], [1, 1]], [now, [1, 1]], [[1, 1], omit], [now, omit], [omit, now]]
        ) {
          t.refused(call(atime as Time, mtime as Time), "EPERM", [path], `${atime} ${mtime}`);
        }
        t.changes(() => t.ok(call(omit, omit)()), { [path]: "" });
      });
    }
    test(`utimensat/OK: the owner of a ${kind} whatever its mode, and root`, (t) => {
      const path = t.make(kind, t.fresh(), { mode: 0, uid: alice.uid });
      for (const user of [alice, root]) {
        for (const times of [[[1, 2], [3, 4]], [now, now], [now, omit], [omit, [9, 9]], []]) {
          t.ok(as(user, () => utimens(path, times[0] as Time | undefined, times[1] as Time | undefined)));
        }
      }
    });
  }

  test("futimens/OK: through a descriptor of any mode", (t) => {
    for (const flags of [O.RDONLY, O.WRONLY]) {
      const path = t.make("regular");
      const fd = t.must(open(path, flags));
      t.ok(futimens(fd, [1, 2], [3, 4]));
      t.is([t.stat(path).atime, t.stat(path).mtime], [[1, 2], [3, 4]]);
      close(fd);
    }
    t.fails(futimens(987, [1, 2], [3, 4]), "EBADF");
  });

  test("futimens/OK: a time set after a write is kept, whatever is flushed later", (t) => {
    const path = written(t, "abc");
    const fd = t.must(open(path, O.RDWR));
    t.is(write(fd, "more"), 4);
    t.ok(futimens(fd, [11, 22], [33, 44]));
    t.is(t.stat(path).mtime, [33, 44]);
    close(fd);
    t.is(t.stat(path).mtime, [33, 44], "after the close");
    t.tick();
    t.is([t.stat(path).atime, t.stat(path).mtime], [[11, 22], [33, 44]], "later");
  });

  test("write/OK: mtime and ctime move, atime does not", (t) => {
    const path = written(t, "abc");
    const fd = t.must(open(path, O.WRONLY));
    t.changes(() => t.is(write(fd, "x"), 1), { [path]: "mc", [t.dir]: "" });
    close(fd);
  });

  test("write/OK: the times after a write, a chmod and a close stay as they were told", (t) => {
    const path = t.fresh();
    const fd = t.must(open(path, O.CREAT | O.WRONLY, 0o600));
    t.is(write(fd, "x"), 1);
    t.tick();
    const before = t.stat(path);
    t.ok(utimens(path, omit, omit));
    t.changes(() => close(fd), { [path]: "" }, "closing");
    t.is(t.stat(path), before);
  });

  test("read/OK: only atime may move", (t) => {
    const path = written(t, "abc");
    t.ok(utimens(path, [1, 1], [2, 2]));
    const fd = t.must(open(path, O.RDONLY));
    const before = t.stat(path);
    t.tick();
    t.is(pread(fd, 3, 0), "abc");
    const after = t.stat(path);
    t.is({ ...after, atime: before.atime }, before);
    close(fd);
  });

  test("read/OK: relatime: an atime older than mtime moves, reading nothing moves nothing", (t) => {
    const path = written(t, "abc");
    t.ok(utimens(path, [1, 1], [2, 2]));
    const since = nowSec();
    const fd = t.must(open(path, O.RDONLY));
    t.changes(() => pread(fd, 0, 0), { [path]: "" });
    t.changes(() => pread(fd, 3, 0), { [path]: "a" });
    isNow(t, t.stat(path).atime, since, "atime");
    t.changes(() => pread(fd, 3, 0), { [path]: "" }, "newer than mtime and ctime: stays");
    close(fd);
  }, { needs: ["relatime"] });
});

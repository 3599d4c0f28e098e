/** chmod(2), fchmod(2). */
import { O, S } from "../abi.ts";
import { type Kind, nonDirKinds, typeBits } from "../files.ts";
import { collect, octal } from "../harness.ts";
import { alice, as, bob, carol, root, type User } from "../identity.ts";
import { chmod, chown, open, truncate, umask } from "../sys.ts";
import { close, fchmod, write } from "../sys_file.ts";
import { written } from "./open.ts";

const chmodKinds: readonly Kind[] = ["dir", ...nonDirKinds.filter((kind) => kind !== "symlink")];

export const cases = collect((test) => {
  for (const kind of chmodKinds) {
    test(`chmod/OK: every mode of a ${kind}, ctime moves, the rest stays`, (t) => {
      const path = t.make(kind);
      for (let mode = 0; mode <= 0o7777; mode += 0o111) {
        t.ok(chmod(path, mode));
        t.is(t.stat(path).mode.toString(8), (typeBits[kind] | mode).toString(8));
      }
      t.changes(() => t.ok(chmod(path, 0o701)), { [path]: "c", [t.dir]: "" });
      t.changes(() => t.ok(chmod(path, 0o701)), { [path]: "c" }, "the same mode again");
    });

    test(`chmod/EPERM: a ${kind} of somebody else; nothing changes`, (t) => {
      const path = t.make(kind, t.fresh(), { mode: 0o777, uid: bob.uid, gid: alice.gid });
      for (const mode of [0, 0o777, 0o4777]) {
        t.refused(() => as(alice, () => chmod(path, mode)), "EPERM", [path]);
        t.is(octal(t.stat(path).mode), "0777");
      }
      t.refused(() => as({ ...alice, groups: [bob.gid] }, () => chmod(path, 0)), "EPERM", [path]);
    });

    test(`chmod/OK: the owner of a ${kind}, whatever its mode`, (t) => {
      const path = t.make(kind, t.fresh(), { mode: 0, uid: alice.uid, gid: alice.gid });
      for (const mode of [0o644, 0o4755, 0o6711, 0o1777, 0]) {
        t.ok(as(alice, () => chmod(path, mode)));
        t.is(octal(t.stat(path).mode), octal(mode));
      }
    });

    test(`chmod/OK: set-group-ID of a ${kind} needs the group, or root`, (t) => {
      const path = t.make(kind, t.fresh(), { uid: alice.uid, gid: carol.gid });
      const wanted: readonly (readonly [User, number])[] = [
        [alice, 0o755],
        [{ ...alice, groups: [carol.gid] }, 0o2755],
        [{ uid: alice.uid, gid: carol.gid }, 0o2755],
        [root, 0o2755],
      ];
      for (const [user, mode] of wanted) {
        t.ok(chmod(path, 0o600));
        t.ok(as(user, () => chmod(path, 0o2755)));
        t.is(octal(t.stat(path).mode), octal(mode), `gid ${user.gid}, groups ${user.groups ?? ""}`);
      }
      t.ok(chmod(path, 0o6755));
      t.ok(as(alice, () => chmod(path, 0o4711)), "set-user-ID is the owner's to set");
      t.is(octal(t.stat(path).mode), "4711");
    });
  }

  test("chmod/OK: bits above the mode are ignored, the umask too", (t) => {
    umask(0o777);
    const path = t.make("regular");
    t.ok(chmod(path, S.IFDIR | 0o751));
    t.is(t.stat(path).mode.toString(8), "100751");
  });

  test("chmod/OK: the sticky bit of a regular file", (t) => {
    const path = t.make("regular", t.fresh(), { uid: alice.uid, gid: alice.gid });
    t.ok(as(alice, () => chmod(path, 0o1644)));
    t.is(octal(t.stat(path).mode), "1644");
  });

  test("fchmod/OK: through a descriptor of any mode", (t) => {
    for (const flags of [O.RDONLY, O.WRONLY]) {
      const path = t.make("regular");
      const fd = t.must(open(path, flags));
      t.changes(() => t.ok(fchmod(fd, 0o4711)), { [path]: "c" });
      t.is(octal(t.stat(path).mode), "4711");
      close(fd);
    }
    const directory = t.must(open(t.make("dir"), O.RDONLY));
    t.ok(fchmod(directory, 0o2700));
    close(directory);
  });

  test("fchmod/EPERM: the descriptor gives no right", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o666 });
    const fd = t.must(open(path, O.RDWR));
    t.fails(as(alice, () => fchmod(fd, 0o777)), "EPERM");
    close(fd);
    t.fails(fchmod(987, 0o777), "EBADF");
  });

  test("write/OK: an unprivileged write clears set-user-ID and set-group-ID", (t) => {
    const wanted = [[0o6777, 0o777], [0o4777, 0o777], [0o2777, 0o777], [0o4666, 0o666], [
      0o6666,
      0o666,
    ]] as const;
    for (const [mode, after] of wanted) {
      const path = written(t, "abc", t.fresh(), mode);
      const fd = t.must(open(path, O.RDWR));
      t.is(octal(t.stat(path).mode), octal(mode), "opening leaves them");
      t.is(as(alice, () => write(fd, "x")), 1);
      t.is(octal(t.stat(path).mode), octal(after), `${octal(mode)} after a write`);
      close(fd);
    }
  });

  test("write/OK: also for the owner, also through a descriptor that another user opened", (t) => {
    const path = written(t, "abc", t.fresh(), 0o644);
    chown(path, alice.uid, alice.gid);
    chmod(path, 0o6755);
    const fd = t.must(as(alice, () => open(path, O.WRONLY)));
    t.is(as(alice, () => write(fd, "x")), 1);
    t.is(octal(t.stat(path).mode), "0755");
    chmod(path, 0o6755);
    t.is(as(alice, () => write(fd, "x")), 1, "a second time");
    t.is(octal(t.stat(path).mode), "0755");
    close(fd);
  });

  test("write/OK: set-group-ID without group execute is no privilege for the group's members", (t) => {
    const path = written(t, "abc", t.fresh(), 0o644);
    chown(path, 0, alice.gid);
    for (const [user, after] of [[alice, "2666"], [bob, "0666"]] as const) {
      chmod(path, 0o2666);
      const fd = t.must(open(path, O.WRONLY));
      t.is(as(user, () => write(fd, "x")), 1);
      t.is(octal(t.stat(path).mode), after);
      close(fd);
    }
  });

  test("write/OK: root's write leaves the set-id bits", (t) => {
    const path = written(t, "abc", t.fresh(), 0o6777);
    const fd = t.must(open(path, O.WRONLY));
    t.is(write(fd, "x"), 1);
    t.is(octal(t.stat(path).mode), "6777");
    close(fd);
  });

  test("write/OK: writing nothing changes nothing", (t) => {
    const path = written(t, "abc", t.fresh(), 0o6777);
    const fd = t.must(open(path, O.WRONLY));
    t.changes(() => t.is(as(alice, () => write(fd, "")), 0), { [path]: "" });
    t.is(octal(t.stat(path).mode), "6777");
    close(fd);
  });

  test("truncate/OK: an unprivileged truncation clears the set-id bits, root's does not", (t) => {
    for (const length of [0, 2, 3, 10]) {
      const path = written(t, "abc", t.fresh(), 0o6777);
      t.ok(truncate(path, length));
      t.is(octal(t.stat(path).mode), "6777", "by root");
      t.ok(as(alice, () => truncate(path, length === 3 ? 4 : length + 1)));
      t.is(octal(t.stat(path).mode), "0777", `to ${length + 1}`);
    }
  });

  test("open/OK: an unprivileged O_TRUNC clears the set-id bits, root's does not", (t) => {
    for (const [user, after] of [[root, "6777"], [alice, "0777"]] as const) {
      const path = written(t, "abc", t.fresh(), 0o6777);
      close(t.ok(as(user, () => open(path, O.WRONLY | O.TRUNC))));
      t.is(octal(t.stat(path).mode), after);
    }
  });
});

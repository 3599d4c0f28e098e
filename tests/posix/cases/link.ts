/** Hard links: link(2), linkat(2). */
import { AT, O } from "../abi.ts";
import { kinds, nonDirKinds } from "../files.ts";
import { collect } from "../harness.ts";
import { alice, as } from "../identity.ts";
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  open,
  rename,
  rmdir,
  stat,
  unlink,
  utimens,
} from "../sys.ts";
import { close, pread, pwrite } from "../sys_file.ts";
import { contentOf, written } from "./open.ts";

const protectedLinks = () => {
  try {
    return Deno.readTextFileSync("/proc/sys/fs/protected_hardlinks").trim() === "1";
  } catch {
    return false;
  }
};

export const cases = collect((test) => {
  for (const kind of nonDirKinds) {
    test(`link/OK: a second name for a ${kind}: same inode, links 2, ctime moves, parent's times move`, (t) => {
      const [one, two] = [t.make("dir"), t.make("dir")];
      const path = t.make(kind, `${one}/a`);
      const second = `${two}/b`;
      t.changes(() => t.ok(link(path, second)), { [path]: "c", [one]: "", [two]: "mc" });
      t.is(t.stat(second), t.stat(path));
      t.is(t.stat(path).nlink, 2);
    });

    test(`link/OK: the links of a ${kind} share every attribute`, (t) => {
      const path = t.make(kind);
      const second = t.fresh();
      t.ok(link(path, second));
      if (kind !== "symlink") t.ok(chmod(second, 0o401));
      t.ok(lchown(path, 12, 34));
      t.ok(utimens(second, [5, 6], [7, 8], AT.SYMLINK_NOFOLLOW));
      t.is(t.stat(path), t.stat(second));
      t.is([t.stat(second).uid, t.stat(second).gid, t.stat(path).mtime], [12, 34, [7, 8]]);
      t.ok(unlink(path));
      t.is([t.stat(second).nlink, t.stat(second).uid], [1, 12]);
    });
  }

  for (const kind of kinds) {
    test(`link/EEXIST: the new name is a ${kind}`, (t) => {
      const path = t.make("regular");
      const existing = t.make(kind);
      t.refused(() => link(path, existing), "EEXIST", [path, existing, t.dir]);
    });
  }

  test("link/EEXIST: to itself", (t) => {
    const path = t.make("regular");
    t.fails(link(path, path), "EEXIST");
    t.is(t.stat(path).nlink, 1);
  });

  test("link/EPERM: a directory, for root too", (t) => {
    const directory = t.make("dir");
    t.refused(() => link(directory, t.at("l")), "EPERM", [directory, t.dir]);
    chmod(t.dir, 0o777);
    const own = t.make("dir", t.fresh(), { uid: alice.uid });
    t.fails(as(alice, () => link(own, t.at("l"))), "EPERM");
    t.fails(link(`${directory}/.`, t.at("l")), "EPERM");
    t.fails(link(`${directory}/`, t.at("l")), "EPERM");
  });

  test("link/OK: data written through one name is read through the other", (t) => {
    const path = written(t, "abc");
    const second = t.fresh();
    t.ok(link(path, second));
    written(t, "defgh", second);
    t.is(contentOf(path), "defgh");
    t.is(t.stat(path).size, 5);
  });

  test("link/OK: an open file gets a name while another goes", (t) => {
    const path = written(t, "abc");
    const fd = t.must(open(path, O.RDWR));
    const second = t.fresh();
    t.ok(link(path, second));
    t.ok(unlink(path));
    t.is(pwrite(fd, "X", 0), 1);
    t.is(contentOf(second), "Xbc");
    t.is(t.stat(second).nlink, 1);
    close(fd);
  });

  test("link/OK: many links, counted up and down", (t) => {
    const path = t.make("regular");
    for (let i = 0; i < 200; i++) t.must(link(path, t.at(`l${i}`)));
    t.is(t.stat(path).nlink, 201);
    for (let i = 0; i < 200; i += 2) t.must(unlink(t.at(`l${i}`)));
    t.is(t.stat(path).nlink, 101);
    t.is(t.stat(t.at("l199")).ino, t.stat(path).ino);
  });

  test("link/OK: link(2) names the symbolic link itself, AT_SYMLINK_FOLLOW its target", (t) => {
    const file = t.make("regular");
    const symbolic = t.make("symlink", t.fresh(), { target: file });
    t.ok(link(symbolic, t.at("l")));
    t.is(t.stat(t.at("l")).ino, t.stat(symbolic).ino);
    t.ok(link(symbolic, t.at("f"), AT.SYMLINK_FOLLOW));
    t.is(t.stat(t.at("f")).ino, t.stat(file).ino);
    t.fails(link(file, t.at("x"), 0x40000), "EINVAL");
  });

  test("link/ENOENT: the last name is gone", (t) => {
    const path = t.make("regular");
    const fd = t.must(open(path, O.RDONLY));
    t.ok(unlink(path));
    t.fails(link(path, t.at("l")), "ENOENT");
    t.fails(
      link(`/proc/self/fd/${fd}`, t.at("l"), AT.SYMLINK_FOLLOW),
      "ENOENT",
      "an open file without a name",
    );
    close(fd);
  });

  test("link/ENOTDIR: a slash after either name", (t) => {
    const path = t.make("regular");
    t.fails(link(`${path}/`, t.at("l")), "ENOTDIR");
    t.fails(link(path, t.at("l/")), "ENOENT");
  });

  test("link/EPERM: protected_hardlinks: not the owner, and no right to read and write", (t) => {
    const parent = t.make("dir", t.fresh(), { mode: 0o777 });
    const errno = protectedLinks() ? "EPERM" : "OK";
    for (const [mode, wanted] of [[0o644, errno], [0o600, errno], [0o666, "OK"], [0o4666, errno]] as const) {
      const path = t.make("regular", t.fresh(), { mode });
      t.fails(as(alice, () => link(path, `${parent}/l${mode}`)), wanted, mode.toString(8));
      chown(path, alice.uid, -1);
      t.ok(as(alice, () => link(path, `${parent}/own${mode}`)), `own ${mode.toString(8)}`);
    }
    for (const kind of ["fifo", "char", "socket"] as const) {
      const path = t.make(kind);
      t.fails(as(alice, () => link(path, `${parent}/${kind}`)), errno, kind);
    }
  });

  test("rename/OK: two links of one file: nothing happens and both names stay", (t) => {
    const path = written(t, "abc");
    const second = t.fresh();
    t.ok(link(path, second));
    t.changes(() => t.ok(rename(path, second)), { [path]: "", [second]: "", [t.dir]: "" });
    t.is(t.stat(path).nlink, 2);
    t.ok(rename(second, path));
    t.is(t.stat(second).ino, t.stat(path).ino);
  });

  test("link/OK: names in several directories outlive the directory of the first", (t) => {
    mkdir(t.at("d"));
    const path = written(t, "abc", t.at("d/f"));
    t.ok(link(path, t.at("kept")));
    t.ok(unlink(path));
    t.ok(rmdir(t.at("d")));
    t.is(contentOf(t.at("kept")), "abc");
    t.fails(lstat(path), "ENOENT");
    t.fails(stat(t.at("d")), "ENOENT");
    const fd = t.must(open(t.at("kept"), O.RDONLY));
    t.is(pread(fd, 1, 1), "b");
    close(fd);
  });
});

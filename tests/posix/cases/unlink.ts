/** unlink(2), rmdir(2), and files that live on without a name. The sticky bit is in sticky.ts. */
import { O } from "../abi.ts";
import { kinds, nonDirKinds, sortedNames } from "../files.ts";
import { collect } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { fstat, link, mkdir, mount, open, rmdir, type Stat, stat, umount, unlink, unlinkAt } from "../sys.ts";
import {
  close,
  fchmod,
  fchown,
  fsync,
  ftruncate,
  futimens,
  getdents,
  pread,
  pwrite,
  read,
  write,
} from "../sys_file.ts";
import { written } from "./open.ts";

const MS_BIND = 4096;

function attributes(fd: number): Partial<Stat> {
  const found = fstat(fd);
  return typeof found === "number" ? {} : found;
}

export const cases = collect((test) => {
  for (const kind of nonDirKinds) {
    test(`unlink/OK: the name of a ${kind} goes, the parent's mtime and ctime move`, (t) => {
      const parent = t.make("dir");
      const path = t.make(kind, `${parent}/x`);
      t.changes(() => t.ok(unlink(path)), { [parent]: "mc" });
      t.fails(stat(path), "ENOENT");
      t.fails(unlink(path), "ENOENT");
      t.is(sortedNames(parent), []);
    });

    test(`unlink/OK: one of two links of a ${kind}: the count falls, ctime moves`, (t) => {
      const path = t.make(kind);
      const second = t.fresh();
      t.must(link(path, second));
      t.is(t.stat(path).nlink, 2);
      t.changes(() => t.ok(unlink(second)), { [path]: "c", [t.dir]: "mc" });
      t.is(t.stat(path).nlink, 1);
    });

    test(`unlink/OK: needs nothing of the ${kind} itself`, (t) => {
      const parent = t.make("dir", t.fresh(), { mode: 0o777 });
      const path = t.make(kind, `${parent}/x`, { mode: 0, uid: 0 });
      t.ok(as(alice, () => unlink(path)));
    });

    test(`rmdir/ENOTDIR: a ${kind}`, (t) => {
      const path = t.make(kind);
      t.refused(() => rmdir(path), "ENOTDIR", [path, t.dir]);
      t.refused(() => rmdir(`${path}/`), "ENOTDIR", [path, t.dir]);
    });
  }

  test("unlink/EISDIR: a directory", (t) => {
    const directory = t.make("dir");
    t.refused(() => unlink(directory), "EISDIR", [directory, t.dir]);
    t.refused(() => unlink(`${directory}/`), "EISDIR", [directory, t.dir]);
    t.fails(unlink(`${directory}/.`), "EISDIR");
    t.fails(unlink(`${directory}/..`), "EISDIR");
    t.fails(unlinkAt(-100, directory, 0), "EISDIR");
  });

  test("unlink/EACCES: somebody else's directory", (t) => {
    const parent = t.make("dir");
    const directory = t.make("dir", `${parent}/d`);
    t.fails(as(alice, () => unlink(directory)), "EACCES");
  });

  test("unlink/ENOTDIR: a slash after a file", (t) => {
    const path = t.make("regular");
    t.fails(unlink(`${path}/`), "ENOTDIR");
    const toDirectory = t.make("symlink", t.fresh(), { target: t.make("dir") });
    t.fails(unlink(`${toDirectory}/`), "ENOTDIR", "a link is not walked through");
  });

  test("unlink/OK: a link goes, its target stays", (t) => {
    const file = t.make("regular");
    const path = t.make("symlink", t.fresh(), { target: file });
    t.changes(() => t.ok(unlink(path)), { [file]: "" });
  });

  test("unlink/EINVAL: unknown flags of unlinkat", (t) => {
    t.fails(unlinkAt(-100, t.make("regular"), 0x1000000), "EINVAL");
  });

  test("unlink/OK: an open file lives on: read, write, truncate, chmod, chown, times, fsync", (t) => {
    const path = written(t, "content");
    const fd = t.must(open(path, O.RDWR));
    t.changes(() => t.ok(unlink(path)), { [t.dir]: "mc" });
    t.is(attributes(fd).nlink, 0);
    t.is(attributes(fd).size, 7);
    t.is(pread(fd, 20, 0), "content");
    t.is(pwrite(fd, "more", 7), 4);
    t.is(pread(fd, 20, 0), "contentmore");
    t.ok(ftruncate(fd, 3));
    t.is(pread(fd, 20, 0), "con");
    t.ok(ftruncate(fd, 5));
    t.is(pread(fd, 20, 0), "con\0\0");
    t.ok(fchmod(fd, 0o640));
    t.ok(fchown(fd, 5, 6));
    t.ok(futimens(fd, [1000, 5], [2000, 6]));
    t.ok(fsync(fd));
    const found = attributes(fd);
    t.is([found.size, found.mode, found.uid, found.gid, found.mtime], [5, 0o100640, 5, 6, [2000, 6]]);
    close(fd);
  });

  test("unlink/OK: the ctime of an open file moves when its last name goes", (t) => {
    const path = written(t, "x");
    const fd = t.must(open(path, O.RDONLY));
    const before = attributes(fd).ctime;
    t.tick();
    t.ok(unlink(path));
    t.holds(JSON.stringify(attributes(fd).ctime) !== JSON.stringify(before), "another ctime");
    close(fd);
  });

  test("unlink/OK: a new file of the same name is another file", (t) => {
    const path = written(t, "old");
    const fd = t.must(open(path, O.RDWR));
    t.ok(unlink(path));
    written(t, "new", path);
    t.is(pread(fd, 9, 0), "old");
    t.is(pwrite(fd, "xyz", 0), 3);
    const again = t.must(open(path, O.RDONLY));
    t.is(pread(again, 9, 0), "new");
    t.holds(attributes(fd).ino !== attributes(again).ino, "two inode numbers");
    close(fd);
    close(again);
  });

  test("unlink/OK: an open fifo goes on, and keeps its attributes", (t) => {
    const fifo = t.make("fifo");
    const fd = t.must(open(fifo, O.RDWR));
    t.ok(unlink(fifo));
    t.is(write(fd, "x"), 1);
    t.is(read(fd, 1), "x");
    t.ok(fchmod(fd, 0o640));
    t.ok(fchown(fd, 5, 6));
    t.ok(futimens(fd, [1000, 5], [2000, 6]));
    const found = attributes(fd);
    t.is([found.nlink, found.mode, found.uid, found.mtime], [0, 0o010640, 5, [2000, 6]]);
    close(fd);
  });

  for (const kind of kinds) {
    test(`unlink/OK: a ${kind} that is held without being opened (O_PATH) keeps its attributes`, (t) => {
      const path = t.make(kind);
      const before = t.stat(path);
      const fd = t.must(open(path, O.PATH | O.NOFOLLOW));
      t.tick();
      t.ok(kind === "dir" ? rmdir(path) : unlink(path));
      const found = attributes(fd);
      t.is([found.ino, found.mode, found.nlink], [before.ino, before.mode, 0]);
      t.holds(found.ctime?.join() !== before.ctime.join(), "the ctime of the unlink");
      close(fd);
    });
  }

  test("rmdir/OK: a removed directory that is open keeps its attributes", (t) => {
    const directory = t.make("dir");
    const fd = t.must(open(directory, O.RDONLY));
    t.ok(rmdir(directory));
    t.ok(fchmod(fd, 0o700));
    t.ok(fchown(fd, 5, 6));
    t.ok(fsync(fd));
    t.is([attributes(fd).mode, attributes(fd).uid], [0o040700, 5]);
    t.fails(open("x", O.CREAT | O.WRONLY, 0o644, fd), "ENOENT");
    t.fails(open("none", O.RDONLY, 0, fd), "ENOENT");
    close(fd);
  });

  test("rmdir/OK: an empty directory goes: parent's links, mtime, ctime", (t) => {
    const parent = t.make("dir");
    const directory = t.make("dir", `${parent}/d`);
    t.is(t.stat(parent).nlink, 3);
    t.changes(() => t.ok(rmdir(directory)), { [parent]: "mc" });
    t.is(t.stat(parent).nlink, 2);
    t.fails(stat(directory), "ENOENT");
    t.fails(rmdir(directory), "ENOENT");
    t.ok(mkdir(directory), "the name is free again");
  });

  test("rmdir/OK: a slash at the end", (t) => void t.ok(rmdir(`${t.make("dir")}/`)));

  test("rmdir/OK: unlinkat with AT_REMOVEDIR", (t) => {
    const directory = t.make("dir");
    const fd = t.must(open(t.dir, O.RDONLY));
    t.fails(unlinkAt(fd, "regular", 0x200), "ENOENT");
    t.ok(unlinkAt(fd, directory.slice(t.dir.length + 1), 0x200));
    close(fd);
  });

  for (const kind of kinds) {
    test(`rmdir/ENOTEMPTY: a ${kind} is in it`, (t) => {
      const directory = t.make("dir");
      const inside = t.make(kind, `${directory}/x`);
      t.refused(() => rmdir(directory), "ENOTEMPTY", [directory, inside, t.dir]);
    });
  }

  test("rmdir/ENOTEMPTY: until the last of many entries is gone", (t) => {
    const directory = t.make("dir");
    for (let i = 0; i < 20; i++) t.make("regular", `${directory}/${i}`);
    for (let i = 0; i < 20; i++) {
      t.fails(rmdir(directory), "ENOTEMPTY");
      unlink(`${directory}/${i}`);
    }
    t.ok(rmdir(directory));
  });

  test("rmdir/EINVAL: the path ends in .", (t) => {
    const directory = t.make("dir");
    t.refused(() => rmdir(`${directory}/.`), "EINVAL", [directory]);
  });

  test("rmdir/ENOTEMPTY: the path ends in ..", (t) => {
    const directory = t.make("dir");
    t.make("dir", `${directory}/inner`);
    t.fails(rmdir(`${directory}/inner/..`), "ENOTEMPTY");
  });

  test("rmdir/EBUSY: the root, and a mount point", (t) => {
    t.fails(rmdir("/"), "EBUSY");
    const directory = t.make("dir");
    const source = t.make("dir");
    if (mount(source, directory, MS_BIND) < 0) return;
    t.defer(() => umount(directory));
    t.fails(rmdir(directory), "EBUSY");
  });

  test("rmdir/ENOTDIR: a link to a directory", (t) => {
    const link = t.make("symlink", t.fresh(), { target: t.make("dir") });
    t.fails(rmdir(link), "ENOTDIR");
    t.fails(rmdir(`${link}/`), "ENOTDIR");
  });

  test("rmdir/OK: a removed directory that is open lists nothing and has no links", (t) => {
    const directory = t.make("dir");
    const fd = t.must(open(directory, O.RDONLY));
    t.ok(rmdir(directory));
    t.is(attributes(fd).nlink, 0);
    const entries = getdents(fd);
    // Linux says ENOENT or gives no entry.
    if (typeof entries === "number") t.fails(entries, "ENOENT");
    else t.is(entries.filter((each) => each.name[0] !== 0x2e).length, 0);
    close(fd);
  });

  test("rmdir/OK: needs nothing of the directory itself", (t) => {
    const parent = t.make("dir", t.fresh(), { mode: 0o777 });
    const directory = t.make("dir", `${parent}/d`, { mode: 0 });
    t.ok(as(alice, () => rmdir(directory)));
  });
});

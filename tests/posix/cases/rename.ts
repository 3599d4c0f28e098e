/** rename(2), renameat2(2). Permission and the sticky bit are in sticky.ts. */
import { O, RENAME } from "../abi.ts";
import { type Kind, kinds, nonDirKinds, sortedNames } from "../files.ts";
import { collect, type Test } from "../harness.ts";
import { chmod, fstat, link, mkdir, mount, open, rename, renameAt, stat, symlink, umount } from "../sys.ts";
import { close, pread, pwrite } from "../sys_file.ts";
import { contentOf, written } from "./open.ts";

const MS_BIND = 4096;

function linksOf(fd: number): number {
  const found = fstat(fd);
  return typeof found === "number" ? found : found.nlink;
}

/** Two directories, and a file of the kind in the first. */
function scene(t: Test, kind: Kind): { one: string; two: string; path: string } {
  const [one, two] = [t.make("dir"), t.make("dir")];
  return { one, two, path: t.make(kind, `${one}/x`) };
}

export const cases = collect((test) => {
  for (const kind of kinds) {
    test(`rename/OK: a ${kind} within its directory: same file, parent's times and its own ctime move`, (t) => {
      const { one, path } = scene(t, kind);
      const before = t.stat(path);
      t.changes(() => t.ok(rename(path, `${one}/y`)), { [one]: "mc" });
      const after = t.stat(`${one}/y`);
      t.is({ ...after, ctime: before.ctime }, before);
      t.holds(after.ctime.join() !== before.ctime.join(), "the file's ctime moved");
      t.is(sortedNames(one), ["y"]);
      t.fails(stat(path), "ENOENT");
    });

    test(`rename/OK: a ${kind} into another directory: both parents' times move`, (t) => {
      const { one, two, path } = scene(t, kind);
      const ino = t.stat(path).ino;
      t.changes(() => t.ok(rename(path, `${two}/y`)), { [one]: "mc", [two]: "mc" });
      t.is(t.stat(`${two}/y`).ino, ino);
      t.is([sortedNames(one), sortedNames(two)], [[], ["y"]]);
      const [left, gained] = [t.stat(one).nlink, t.stat(two).nlink];
      t.is([left, gained], kind === "dir" ? [2, 3] : [2, 2], "links of the parents");
    });

    test(`rename/OK: a ${kind} onto itself is nothing`, (t) => {
      const { one, path } = scene(t, kind);
      t.changes(() => t.ok(rename(path, path)), { [one]: "", [path]: "" });
    });

    for (const target of nonDirKinds) {
      test(`rename/${kind === "dir" ? "ENOTDIR" : "OK"}: a ${kind} over a ${target}`, (t) => {
        const { one, two, path } = scene(t, kind);
        const existing = t.make(target, `${two}/y`);
        const kept = t.fresh("kept");
        t.must(link(existing, kept));
        const ino = t.stat(path).ino;
        if (kind === "dir") {
          return t.refused(() => rename(path, existing), "ENOTDIR", [one, two, path, existing]);
        }
        t.changes(() => t.ok(rename(path, existing)), { [one]: "mc", [two]: "mc", [kept]: "c" });
        t.is(t.stat(existing).ino, ino);
        t.is(t.stat(kept).nlink, 1, "links of what was replaced");
        t.is(sortedNames(two), ["y"]);
      });
    }

    if (kind !== "dir") {
      test(`rename/EISDIR: a ${kind} over a directory`, (t) => {
        const { one, two, path } = scene(t, kind);
        const empty = t.make("dir", `${two}/d`);
        t.refused(() => rename(path, empty), "EISDIR", [one, two, path, empty]);
        t.refused(() => rename(path, `${empty}/`), "ENOTDIR", [one, two, path, empty]);
        t.make("regular", `${empty}/in`);
        t.refused(() => rename(path, empty), "EISDIR", [one, two, path, empty], "not empty");
      });
    }
    for (const inside of kind === "dir" ? kinds : []) {
      test(`rename/ENOTEMPTY: a directory over one that holds a ${inside}`, (t) => {
        const { one, two, path } = scene(t, "dir");
        const full = t.make("dir", `${two}/d`);
        t.make(inside, `${full}/in`);
        t.refused(() => rename(path, full), "ENOTEMPTY", [one, two, path, full]);
      });
    }
  }

  test("rename/OK: a directory over an empty directory, in the same and in another parent", (t) => {
    const { one, two, path } = scene(t, "dir");
    t.make("regular", `${path}/in`);
    const ino = t.stat(path).ino;
    t.must(mkdir(`${two}/empty`));
    t.changes(() => t.ok(rename(path, `${two}/empty`)), { [one]: "mc", [two]: "mc" });
    t.is([t.stat(one).nlink, t.stat(two).nlink], [2, 3]);
    t.is(t.stat(`${two}/empty`).ino, ino);
    t.must(mkdir(`${two}/next`));
    t.changes(() => t.ok(rename(`${two}/empty`, `${two}/next`)), { [two]: "mc" });
    t.is(t.stat(two).nlink, 3);
    t.is(sortedNames(`${two}/next`), ["in"]);
  });

  test("rename/OK: a replaced directory that is open has no links", (t) => {
    const { two, path } = scene(t, "dir");
    t.must(mkdir(`${two}/empty`));
    const fd = t.must(open(`${two}/empty`, O.RDONLY));
    t.ok(rename(path, `${two}/empty`));
    t.is(linksOf(fd), 0);
    close(fd);
  });

  test("rename/OK: .. of a moved directory is its new parent", (t) => {
    const { two, path } = scene(t, "dir");
    const fd = t.must(open(path, O.RDONLY));
    t.ok(rename(path, `${two}/y`));
    t.is(t.stat(`${two}/y/..`).ino, t.stat(two).ino);
    const up = t.must(open("..", O.RDONLY, 0, fd));
    t.is(t.stat(`/proc/self/fd/${up}/.`).ino, t.stat(two).ino);
    close(up);
    close(fd);
  });

  test("rename/OK: a full tree moves and stays whole", (t) => {
    const { two, path } = scene(t, "dir");
    mkdir(`${path}/a`);
    mkdir(`${path}/a/b`);
    written(t, "deep", `${path}/a/b/f`);
    t.ok(rename(path, `${two}/y`));
    t.is(contentOf(`${two}/y/a/b/f`), "deep");
  });

  test("rename/EINVAL: a directory into itself or below", (t) => {
    const { one, path } = scene(t, "dir");
    t.must(mkdir(`${path}/a`));
    t.must(mkdir(`${path}/a/b`));
    for (const target of ["new", "a", "a/new", "a/b", "a/b/new"]) {
      t.refused(() => rename(path, `${path}/${target}`), "EINVAL", [one, path, `${path}/a`], target);
    }
    t.fails(rename(`${path}/a`, `${path}/a/b/../new`), "EINVAL");
    t.fails(rename(one, `${path}/a/b/c`), "EINVAL", "two levels up");
  });

  test("rename/ENOTEMPTY: over a directory that holds the source", (t) => {
    const { one, path } = scene(t, "dir");
    t.must(mkdir(`${path}/a`));
    t.fails(rename(`${path}/a`, path), "ENOTEMPTY");
    t.fails(rename(`${path}/a`, one), "ENOTEMPTY");
    const file = t.make("regular", `${path}/f`);
    t.fails(rename(file, path), "ENOTEMPTY");
  });

  test("rename/EBUSY: . and .. as last component", (t) => {
    const { two, path } = scene(t, "dir");
    for (const dots of [".", ".."]) {
      t.fails(rename(`${path}/${dots}`, `${two}/n`), "EBUSY", `from ${dots}`);
      t.fails(rename(two, `${path}/${dots}`), "EBUSY", `to ${dots}`);
    }
  });

  test("rename/OK: a slash after a directory's name, old or new", (t) => {
    const { one, two, path } = scene(t, "dir");
    t.ok(rename(`${path}/`, `${two}/y`));
    t.ok(rename(`${two}/y`, `${one}/z/`));
    t.is(sortedNames(one), ["z"]);
  });

  test("rename/ENOTDIR: a slash after a file's name, old or new", (t) => {
    const { one, path } = scene(t, "regular");
    t.fails(rename(`${path}/`, `${one}/y`), "ENOTDIR");
    t.fails(rename(path, `${one}/y/`), "ENOTDIR");
  });

  test("rename/OK: the link itself moves, not its target", (t) => {
    const { one, two, path } = scene(t, "regular");
    symlink(path, `${one}/l`);
    symlink("../nowhere", `${two}/m`);
    t.ok(rename(`${one}/l`, `${two}/l`));
    t.is(t.statFollow(`${two}/l`).ino, t.stat(path).ino);
    t.ok(rename(path, `${two}/m`), "over a dangling link");
    t.is(sortedNames(two), ["l", "m"]);
  });

  test("rename/OK: over an open file: it lives on without a name", (t) => {
    const { two, path } = scene(t, "regular");
    const old = written(t, "old", `${two}/y`);
    const fd = t.must(open(old, O.RDWR));
    t.ok(rename(path, old));
    t.is(linksOf(fd), 0);
    t.is(pread(fd, 9, 0), "old");
    t.is(pwrite(fd, "more", 3), 4);
    t.is(pread(fd, 9, 0), "oldmore");
    t.is(contentOf(old), "");
    close(fd);
  });

  test("rename/OK: an open file keeps working under its new name", (t) => {
    const { two } = scene(t, "dir");
    const path = written(t, "abc");
    const fd = t.must(open(path, O.RDWR));
    t.ok(rename(path, `${two}/y`));
    t.is(pwrite(fd, "X", 1), 1);
    t.is(contentOf(`${two}/y`), "aXc");
    t.is(linksOf(fd), 1);
    close(fd);
  });

  test("rename/OK: relative to open directories", (t) => {
    const { one, two } = scene(t, "regular");
    const [from, to] = [t.must(open(one, O.RDONLY)), t.must(open(two, O.RDONLY))];
    t.ok(renameAt(from, "x", to, "y"));
    t.is(sortedNames(two), ["y"]);
    close(from);
    close(to);
  });

  test("rename/EXDEV: to another mount", (t) => {
    const { two, path } = scene(t, "regular");
    const other = t.make("dir");
    if (mount(two, other, MS_BIND) < 0) return;
    t.defer(() => umount(other));
    t.refused(() => rename(path, `${other}/y`), "EXDEV", [path, two]);
    t.refused(() => link(path, `${other}/y`), "EXDEV", [path, two]);
    t.fails(rename(path, "/proc/self/x"), "EXDEV");
  });

  test("rename/EBUSY: a mount point", (t) => {
    const { two, path } = scene(t, "dir");
    if (mount(two, path, MS_BIND) < 0) return;
    t.defer(() => umount(path));
    t.fails(rename(path, t.at("n")), "EBUSY");
    t.fails(rename(two, path), "EBUSY");
  });

  for (const kind of kinds) {
    test(`rename/EEXIST: RENAME_NOREPLACE over a ${kind}`, (t) => {
      const existing = t.make(kind);
      for (const from of ["regular", "dir"] as const) {
        const path = t.make(from);
        t.refused(() => rename(path, existing, RENAME.NOREPLACE), "EEXIST", [path, existing, t.dir], from);
      }
    });
    for (const other of kinds) {
      test(`rename/OK: RENAME_EXCHANGE of a ${kind} and a ${other}`, (t) => {
        const { one, two, path } = scene(t, kind);
        const second = t.make(other, `${two}/y`);
        const [a, b] = [t.stat(path).ino, t.stat(second).ino];
        t.changes(() => t.ok(rename(path, second, RENAME.EXCHANGE)), { [one]: "mc", [two]: "mc" });
        t.is([t.stat(path).ino, t.stat(second).ino], [b, a]);
        const links = (inside: Kind) => inside === "dir" ? 3 : 2;
        t.is([t.stat(one).nlink, t.stat(two).nlink], [links(other), links(kind)], "links of the parents");
      }, { needs: ["exchange"] });
    }
  }

  test("rename/OK: RENAME_NOREPLACE to a free name", (t) => {
    const { two, path } = scene(t, "regular");
    t.ok(rename(path, `${two}/y`, RENAME.NOREPLACE));
    t.is(sortedNames(two), ["y"]);
  });

  test("rename/EEXIST: RENAME_NOREPLACE onto itself", (t) => {
    const { path } = scene(t, "regular");
    t.fails(rename(path, path, RENAME.NOREPLACE), "EEXIST");
  });

  test("rename/ENOENT: RENAME_EXCHANGE with a name that is not there", (t) => {
    const { one, path } = scene(t, "regular");
    t.refused(() => rename(path, `${one}/none`, RENAME.EXCHANGE), "ENOENT", [path, one]);
    t.refused(() => rename(`${one}/none`, path, RENAME.EXCHANGE), "ENOENT", [path, one]);
  }, { needs: ["exchange"] });

  test("rename/OK: RENAME_EXCHANGE of full directories, and of names in one directory", (t) => {
    const { one, two, path } = scene(t, "dir");
    t.make("regular", `${path}/in`);
    t.make("regular", `${two}/in2`);
    t.ok(rename(path, two, RENAME.EXCHANGE));
    t.is([sortedNames(path), sortedNames(two)], [["in2"], ["in"]]);
    t.is(t.stat(`${path}/..`).ino, t.stat(one).ino);
    t.make("regular", `${one}/f`);
    const ino = t.stat(path).ino;
    t.ok(rename(path, `${one}/f`, RENAME.EXCHANGE));
    t.is(t.stat(`${one}/f`).ino, ino);
    t.is(t.stat(one).nlink, 3);
  }, { needs: ["exchange"] });

  test("rename/EINVAL: RENAME_EXCHANGE with what is below", (t) => {
    const { path } = scene(t, "dir");
    t.must(mkdir(`${path}/a`));
    t.fails(rename(path, `${path}/a`, RENAME.EXCHANGE), "EINVAL");
    t.fails(rename(`${path}/a`, path, RENAME.EXCHANGE), "EINVAL");
  }, { needs: ["exchange"] });

  test("rename/EINVAL: flags that exclude each other, unknown flags", (t) => {
    const { two, path } = scene(t, "regular");
    for (const flags of [3, 6, 0x100]) t.fails(rename(path, `${two}/y`, flags), "EINVAL", String(flags));
  });

  test("rename/OK: a file without permissions, and from a directory that cannot be listed", (t) => {
    const { one, two, path } = scene(t, "regular");
    chmod(path, 0);
    chmod(one, 0o300);
    t.ok(rename(path, `${two}/y`));
  });
});

/** Immutable and append-only files: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR; chattr(1) says what they do. */
import { FALLOC, FS_IOC, O } from "../abi.ts";
import { collect, type Test } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { closed } from "../ops.ts";
import {
  chmod,
  chown,
  link,
  mkdir,
  open,
  rename,
  rmdir,
  setxattr,
  symlink,
  truncate,
  unlink,
  utimens,
} from "../sys.ts";
import { close, fallocate, ftruncate, ioctlWord, pwrite, write } from "../sys_file.ts";
import { contentOf, written } from "./open.ts";

function flagsOf(path: string): number {
  const fd = open(path, O.RDONLY | O.NONBLOCK);
  if (fd < 0) return fd;
  const { result, word } = ioctlWord(fd, FS_IOC.GETFLAGS);
  close(fd);
  return result < 0 ? result : word;
}

/** Sets and clears flags, others stay; takes them back after the case. */
function setFlags(t: Test, path: string, set: number, clear = 0): number {
  const fd = t.must(open(path, O.RDONLY | O.NONBLOCK));
  const { word } = ioctlWord(fd, FS_IOC.GETFLAGS);
  const { result } = ioctlWord(fd, FS_IOC.SETFLAGS, (word | set) & ~clear);
  if (set !== 0 && result >= 0) {
    t.defer(() => {
      const again = open(path, O.RDONLY | O.NONBLOCK);
      if (again < 0) return;
      ioctlWord(again, FS_IOC.SETFLAGS, word & ~(FS_IOC.IMMUTABLE | FS_IOC.APPEND));
      close(again);
    });
  }
  close(fd);
  return result;
}

const needs = ["inode flags"] as const;

export const cases = collect((test) => {
  for (const flag of ["IMMUTABLE", "APPEND"] as const) {
    test(`ioctl/OK: ${flag} is set, read and cleared; ctime moves`, (t) => {
      for (const kind of ["regular", "dir"] as const) {
        const path = t.make(kind);
        t.is(flagsOf(path) & FS_IOC[flag], 0);
        t.changes(() => t.ok(setFlags(t, path, FS_IOC[flag])), { [path]: "c" });
        t.is(flagsOf(path) & FS_IOC[flag], FS_IOC[flag]);
        t.ok(setFlags(t, path, 0, FS_IOC[flag]));
        t.is(flagsOf(path) & FS_IOC[flag], 0);
      }
    }, { needs });

    test(`ioctl/EPERM: ${flag} takes privilege, not ownership`, (t) => {
      const path = t.make("regular", t.fresh(), { uid: alice.uid });
      const fd = t.must(open(path, O.RDONLY));
      const { word } = ioctlWord(fd, FS_IOC.GETFLAGS);
      t.fails(as(alice, () => ioctlWord(fd, FS_IOC.SETFLAGS, word | FS_IOC[flag]).result), "EPERM");
      t.ok(setFlags(t, path, FS_IOC[flag]));
      t.fails(as(alice, () => ioctlWord(fd, FS_IOC.SETFLAGS, word).result), "EPERM", "clearing");
      close(fd);
    }, { needs });
  }

  test("ioctl/OK: FSGETXATTR tells the same flags", (t) => {
    const path = t.make("regular");
    t.ok(setFlags(t, path, FS_IOC.IMMUTABLE));
    const fd = t.must(open(path, O.RDONLY));
    const { result, word } = ioctlWord(fd, FS_IOC.FSGETXATTR);
    t.ok(result);
    // FS_XFLAG_IMMUTABLE is 8, FS_XFLAG_APPEND 16
    t.is(word & 24, 8);
    close(fd);
  }, { needs });

  test("immutable/EPERM: nothing about the file changes, for root too", (t) => {
    const path = written(t, "content");
    const fd = t.must(open(path, O.RDWR));
    t.ok(setFlags(t, path, FS_IOC.IMMUTABLE));
    const calls: Record<string, () => number> = {
      "open O_WRONLY": () => closed(open(path, O.WRONLY)),
      "open O_RDWR": () => closed(open(path, O.RDWR)),
      "open O_APPEND": () => closed(open(path, O.WRONLY | O.APPEND)),
      "open O_TRUNC": () => closed(open(path, O.RDONLY | O.TRUNC)),
      truncate: () => truncate(path, 1),
      chmod: () => chmod(path, 0o600),
      chown: () => chown(path, 1, 1),
      utimensat: () => utimens(path, [1, 1], [1, 1]),
      "utimensat now": () => utimens(path),
      unlink: () => unlink(path),
      rename: () => rename(path, t.at("n")),
      "rename over": () => rename(t.make("regular"), path),
      link: () => link(path, t.at("n")),
      setxattr: () => setxattr(path, "user.a", "x"),
      ftruncate: () => ftruncate(fd, 1),
      fallocate: () => fallocate(fd, 0, 0, 100),
      "fallocate punch": () => fallocate(fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 0, 3),
    };
    for (const [name, call] of Object.entries(calls)) {
      t.changes(() => t.fails(call(), "EPERM", name), { [path]: "" }, name);
    }
    t.is(contentOf(path), "content");
    t.ok(setFlags(t, path, 0, FS_IOC.IMMUTABLE));
    t.is(pwrite(fd, "C", 0), 1);
    t.ok(unlink(path));
    close(fd);
  }, { needs });

  test("immutable/EPERM: a directory takes and loses no names; its files can be written", (t) => {
    const directory = t.make("dir");
    const inside = written(t, "content", `${directory}/f`);
    t.must(mkdir(`${directory}/d`));
    t.ok(setFlags(t, directory, FS_IOC.IMMUTABLE));
    const calls: Record<string, () => number> = {
      "open O_CREAT": () => open(`${directory}/n`, O.CREAT | O.WRONLY, 0o644),
      mkdir: () => mkdir(`${directory}/n`),
      symlink: () => symlink("t", `${directory}/n`),
      link: () => link(t.make("regular"), `${directory}/n`),
      unlink: () => unlink(inside),
      rmdir: () => rmdir(`${directory}/d`),
      "rename from": () => rename(inside, t.at("n")),
      "rename to": () => rename(t.make("regular"), `${directory}/n`),
      "rename within": () => rename(inside, `${directory}/n`),
      "rename itself": () => rename(directory, t.at("n")),
      "rmdir itself": () => rmdir(directory),
      "chmod itself": () => chmod(directory, 0o700),
    };
    for (const [name, call] of Object.entries(calls)) {
      t.changes(() => t.fails(call(), "EPERM", name), { [directory]: "" }, name);
    }
    written(t, "changed", inside);
    t.is(contentOf(inside), "changed");
  }, { needs });

  test("append-only/EPERM: only appending, for root too", (t) => {
    const path = written(t, "content");
    t.ok(setFlags(t, path, FS_IOC.APPEND));
    const calls: Record<string, () => number> = {
      "open O_WRONLY": () => closed(open(path, O.WRONLY)),
      "open O_RDWR": () => closed(open(path, O.RDWR)),
      "open O_APPEND|O_TRUNC": () => closed(open(path, O.WRONLY | O.APPEND | O.TRUNC)),
      truncate: () => truncate(path, 1),
      chmod: () => chmod(path, 0o600),
      chown: () => chown(path, 1, 1),
      utimensat: () => utimens(path, [1, 1], [1, 1]),
      unlink: () => unlink(path),
      rename: () => rename(path, t.at("n")),
      link: () => link(path, t.at("n")),
    };
    for (const [name, call] of Object.entries(calls)) {
      t.changes(() => t.fails(call(), "EPERM", name), { [path]: "" }, name);
    }
    const fd = t.ok(open(path, O.WRONLY | O.APPEND));
    t.is(write(fd, "+"), 1);
    t.fails(ftruncate(fd, 1), "EPERM");
    t.fails(fallocate(fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 0, 3), "EPERM");
    close(fd);
    t.is(contentOf(path), "content+");
    t.ok(utimens(path), "now");
  }, { needs });

  test("append-only/EPERM: a directory gains names and loses none", (t) => {
    const directory = t.make("dir");
    const inside = t.make("regular", `${directory}/f`);
    t.ok(setFlags(t, directory, FS_IOC.APPEND));
    t.ok(closed(open(`${directory}/n`, O.CREAT | O.WRONLY, 0o644)));
    t.ok(mkdir(`${directory}/d`));
    t.fails(unlink(inside), "EPERM");
    t.fails(rmdir(`${directory}/d`), "EPERM");
    t.fails(rename(inside, `${directory}/m`), "EPERM");
    t.fails(rename(inside, t.at("m")), "EPERM");
    t.ok(rename(t.make("regular"), `${directory}/moved`), "a name may come from elsewhere");
    t.ok(setFlags(t, directory, 0, FS_IOC.APPEND));
    t.ok(unlink(inside));
  }, { needs });
});

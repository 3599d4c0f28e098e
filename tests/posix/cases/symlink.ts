/** Symbolic links: symlink(2), readlink(2), symlink(7). */
import { O, S } from "../abi.ts";
import { nonDirKinds } from "../files.ts";
import { collect } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { chmod, lchown, mkdir, open, readlink, stat, symlink, umask, unlink } from "../sys.ts";
import { close } from "../sys_file.ts";

const text = (bytes: Uint8Array | number) =>
  typeof bytes === "number" ? bytes : new TextDecoder("latin1").decode(bytes);

export const cases = collect((test) => {
  test("symlink/OK: type, mode 0777 whatever the umask, size of the text, one link, owner", (t) => {
    chmod(t.dir, 0o777);
    umask(0o77);
    const path = t.fresh();
    t.ok(as(alice, () => symlink("some/where", path)));
    umask(0);
    const made = t.stat(path);
    t.is(made.mode, S.IFLNK | 0o777);
    t.is([made.size, made.nlink, made.uid, made.gid], [10, 1, alice.uid, alice.gid]);
  });

  test("symlink/OK: times of now, the parent's mtime and ctime move", (t) => {
    const parent = t.make("dir");
    t.changes(() => t.ok(symlink("t", `${parent}/l`)), { [parent]: "mc" });
    const made = t.stat(`${parent}/l`);
    t.is(made.ctime, made.mtime);
  });

  test("symlink/OK: any text of 1 to 4095 bytes, as it is", (t) => {
    const texts = [
      "a",
      "/",
      "x".repeat(59),
      "x".repeat(60),
      "x".repeat(255),
      "d/".repeat(500),
      "y".repeat(4094),
    ];
    for (const target of [...texts, "z".repeat(4095), "\xff\xfe\n", "ü语"]) {
      const bytes = target.startsWith("\xff")
        ? Uint8Array.from(target, (each) => each.charCodeAt(0))
        : target;
      const path = t.fresh();
      t.ok(symlink(bytes, path), `${target.length} bytes`);
      const got = readlink(path);
      const wanted = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
      t.is(text(got), text(wanted), `${target.length} bytes`);
      t.is(t.stat(path).size, wanted.length, "size");
    }
  });

  test("symlink/ENAMETOOLONG: a text of 4096 bytes", (t) => {
    t.fails(symlink("x".repeat(4096), t.fresh()), "ENAMETOOLONG");
    t.fails(symlink("x".repeat(5000), t.fresh()), "ENAMETOOLONG");
  });

  test("symlink/ENOENT: an empty text", (t) => t.fails(symlink("", t.fresh()), "ENOENT"));

  test("symlink/OK: the text is not looked at", (t) => {
    for (const target of ["/no/such", "..", `${"x".repeat(300)}`, "a//b/./c"]) {
      t.ok(symlink(target, t.fresh()));
    }
  });

  test("readlink/OK: a short buffer gets the beginning", (t) => {
    const path = t.make("symlink", t.fresh(), { target: "abcdef" });
    t.is(text(readlink(path, 3)), "abc");
    t.is(text(readlink(path, 6)), "abcdef");
  });

  test("readlink/EINVAL: something else than a symbolic link", (t) => {
    for (const kind of nonDirKinds.filter((each) => each !== "symlink")) {
      t.fails(readlink(t.make(kind)), "EINVAL", kind);
    }
    t.fails(readlink(t.make("dir")), "EINVAL", "dir");
  });

  test("readlink/OK: needs no permission on the link", (t) => {
    const path = t.make("symlink");
    t.is(text(as(alice, () => readlink(path))), "target");
  });

  test("symlink/OK: leads to its target, relative to its own directory", (t) => {
    mkdir(t.at("d"));
    const file = t.make("regular", t.at("d/f"));
    t.ok(symlink("f", t.at("d/l")));
    t.ok(symlink("d/l", t.at("ll")));
    t.ok(symlink(t.dir, t.at("here")));
    t.is(t.statFollow(t.at("ll")).ino, t.stat(file).ino);
    t.is(t.statFollow(t.at("here/ll")).ino, t.stat(file).ino);
    t.is(t.statFollow(t.at("here/d/l")).ino, t.stat(file).ino);
    unlink(file);
    t.fails(stat(t.at("ll")), "ENOENT");
  });

  test("symlink/OK: a slash after a link to a directory walks through it", (t) => {
    const directory = t.make("dir");
    const link = t.make("symlink", t.fresh(), { target: directory });
    t.is(t.stat(`${link}/`).ino, t.stat(directory).ino);
    t.is(t.stat(`${link}/.`).ino, t.stat(directory).ino);
    const toFile = t.make("symlink", t.fresh(), { target: t.make("regular") });
    t.fails(stat(`${toFile}/`), "ENOTDIR");
  });

  test("symlink/OK: open follows it, O_NOFOLLOW is ELOOP, O_PATH|O_NOFOLLOW is the link", (t) => {
    const file = t.make("regular");
    const link = t.make("symlink", t.fresh(), { target: file });
    const fd = t.ok(open(link, O.RDONLY));
    close(fd);
    t.fails(open(link, O.RDONLY | O.NOFOLLOW), "ELOOP");
    t.fails(open(link, O.WRONLY | O.NOFOLLOW | O.CREAT), "ELOOP");
    t.fails(open(link, O.RDONLY | O.NOFOLLOW | O.DIRECTORY), "ENOTDIR");
    close(t.ok(open(link, O.PATH | O.NOFOLLOW)));
  });

  test("symlink/OK: open O_CREAT through a dangling link makes its target", (t) => {
    const link = t.make("symlink", t.fresh(), { target: "made" });
    close(t.ok(open(link, O.CREAT | O.WRONLY, 0o640)));
    t.is(t.stat(t.at("made")).mode.toString(8), "100640");
    t.is(t.stat(link).mode & S.IFMT, S.IFLNK);
  });

  test("symlink/OK: chmod and chown follow it, lchown does not", (t) => {
    const file = t.make("regular");
    const link = t.make("symlink", t.fresh(), { target: file });
    t.ok(chmod(link, 0o600));
    t.is(t.stat(file).mode & 0o7777, 0o600);
    t.is(t.stat(link).mode & 0o7777, 0o777);
    t.ok(lchown(link, 7, 8));
    t.is([t.stat(file).uid, t.stat(link).uid, t.stat(link).gid], [0, 7, 8]);
  });
});

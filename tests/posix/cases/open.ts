/** open(2): flags, kinds of files, what is refused. Permission bits are in permission.ts. */
import { O, S } from "../abi.ts";
import { type Kind, kinds, plainKinds } from "../files.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { closed } from "../ops.ts";
import { chmod, open, truncate, unlink } from "../sys.ts";
import {
  bindSocket,
  close,
  fchmod,
  ftruncate,
  getFlags,
  lseek,
  pread,
  pwrite,
  read,
  setFlags,
  write,
} from "../sys_file.ts";

/** A regular file with this content. */
export function written(t: Test, content: string, path = t.fresh("file"), mode = 0o644): string {
  const fd = t.must(open(path, O.CREAT | O.WRONLY | O.TRUNC, 0o666));
  t.must(write(fd, content));
  t.must(fchmod(fd, mode));
  close(fd);
  return path;
}

export function contentOf(path: string, room = 65536): string | number {
  const fd = open(path, O.RDONLY);
  if (fd < 0) return fd;
  const content = pread(fd, room, 0);
  close(fd);
  return content;
}

export const cases = collect((test) => {
  test("open/OK: O_CREAT on an existing file changes nothing, its mode and owner either", (t) => {
    const path = written(t, "content", t.fresh(), 0o600);
    t.changes(() => t.ok(closed(open(path, O.CREAT | O.RDWR, 0o777))), { [path]: "", [t.dir]: "" });
    t.is(octal(t.stat(path).mode), "0600");
    t.is(contentOf(path), "content");
  });

  test("open/OK: a new file may be written whatever its mode", (t) => {
    const parent = t.make("dir", t.fresh(), { mode: 0o777 });
    for (const mode of [0, 0o400, 0o444]) {
      const path = `${parent}/f${mode}`;
      const fd = t.ok(as(alice, () => open(path, O.CREAT | O.RDWR, mode)));
      t.is(write(fd, "abc"), 3);
      t.is(pread(fd, 10, 0), "abc");
      close(fd);
      t.fails(as(alice, () => open(path, O.RDWR)), "EACCES");
    }
  });

  test("open/OK: O_TRUNC empties: size 0, mtime and ctime move, the parent stays", (t) => {
    const path = written(t, "content");
    t.changes(() => t.ok(closed(open(path, O.WRONLY | O.TRUNC))), { [path]: "mc", [t.dir]: "" });
    t.is(t.stat(path).size, 0);
    t.is(contentOf(path), "");
  });

  test("open/OK: O_TRUNC|O_CREAT on an existing file empties it, too", (t) => {
    const path = written(t, "content");
    t.changes(() => t.ok(closed(open(path, O.WRONLY | O.TRUNC | O.CREAT, 0o644))), {
      [path]: "mc",
      [t.dir]: "",
    });
    t.is(t.stat(path).size, 0);
  });

  test("open/EACCES: O_TRUNC without write permission leaves the file", (t) => {
    const path = written(t, "content", t.fresh(), 0o644);
    t.refused(() => as(alice, () => open(path, O.RDONLY | O.TRUNC)), "EACCES", [path]);
    t.refused(() => as(alice, () => open(path, O.WRONLY | O.TRUNC)), "EACCES", [path]);
    t.is(t.stat(path).size, 7);
  });

  test("open/OK: O_APPEND writes at the end, wherever the offset is", (t) => {
    const path = written(t, "0123");
    const fd = t.must(open(path, O.RDWR | O.APPEND));
    lseek(fd, 0, 0);
    t.is(write(fd, "45"), 2);
    t.is(lseek(fd, 0, 1), 6);
    truncate(path, 3);
    t.is(write(fd, "x"), 1);
    t.is(pwrite(fd, "y", 0), 1);
    t.is(pread(fd, 10, 0), "012xy");
    close(fd);
  });

  test("open/OK: appends through two descriptors never overwrite each other", (t) => {
    const path = written(t, "");
    const fds = [t.must(open(path, O.WRONLY | O.APPEND)), t.must(open(path, O.WRONLY | O.APPEND))];
    let wanted = "";
    for (let i = 0; i < 50; i++) {
      const line = `${i % 2}:${i};`;
      wanted += line;
      t.is(write(fds[i % 2] ?? -1, line), line.length);
    }
    fds.forEach(close);
    t.is(contentOf(path), wanted);
  });

  test("open/OK: the descriptor's flags read back; O_APPEND can be switched", (t) => {
    const fd = t.must(open(written(t, "abc"), O.RDWR | O.NONBLOCK));
    t.is(getFlags(fd) & (O.RDWR | O.APPEND | O.NONBLOCK), O.RDWR | O.NONBLOCK);
    t.ok(setFlags(fd, O.APPEND));
    t.is(write(fd, "d"), 1);
    t.is(pread(fd, 10, 0), "abcd");
    close(fd);
  });

  test("open/EBADF: reading what is open for writing, and the other way round", (t) => {
    const path = written(t, "abc");
    const writing = t.must(open(path, O.WRONLY));
    t.fails(pread(writing, 1, 0), "EBADF");
    const reading = t.must(open(path, O.RDONLY));
    t.fails(write(reading, "x"), "EBADF");
    t.fails(ftruncate(reading, 0), "EINVAL");
    const nothing = t.must(open(path, O.PATH));
    t.fails(pread(nothing, 1, 0), "EBADF");
    [writing, reading, nothing].forEach(close);
  });

  test("open/EISDIR: a directory is not opened for writing or made", (t) => {
    const directory = t.make("dir");
    for (
      const flags of [O.WRONLY, O.RDWR, O.RDONLY | O.TRUNC, O.WRONLY | O.TRUNC, O.CREAT, O.CREAT | O.RDWR]
    ) {
      t.fails(open(directory, flags, 0o644), "EISDIR", flags.toString(8));
    }
    for (const flags of [O.WRONLY, O.RDWR]) t.fails(as(alice, () => open(directory, flags)), "EISDIR");
  });

  test("open/EISDIR: reading a directory as a file", (t) => {
    const fd = t.must(open(t.make("dir"), O.RDONLY));
    t.fails(pread(fd, 10, 0), "EISDIR");
    t.fails(read(fd, 10), "EISDIR");
    close(fd);
  });

  test("open/ENOTDIR: O_DIRECTORY on anything else", (t) => {
    for (const kind of plainKinds) t.fails(open(t.make(kind), O.RDONLY | O.DIRECTORY), "ENOTDIR", kind);
    const link = t.make("symlink", t.fresh(), { target: t.make("regular") });
    t.fails(open(link, O.RDONLY | O.DIRECTORY), "ENOTDIR");
  });

  test("open/ENOTDIR: a slash after a regular file", (t) => {
    const file = t.make("regular");
    for (const flags of [O.RDONLY, O.WRONLY, O.RDWR]) t.fails(open(`${file}/`, flags), "ENOTDIR");
  });

  test("open/EISDIR: O_CREAT with a slash at the end", (t) => {
    t.fails(open(`${t.fresh()}/`, O.CREAT | O.WRONLY, 0o644), "EISDIR");
    t.fails(open(`${t.make("dir")}/`, O.CREAT | O.WRONLY, 0o644), "EISDIR");
  });

  for (const kind of kinds) {
    test(`open/EEXIST: O_CREAT|O_EXCL on an existing ${kind}`, (t) => {
      const existing = t.make(kind);
      for (const flags of [O.RDONLY, O.WRONLY, O.RDWR, O.WRONLY | O.TRUNC, O.WRONLY | O.APPEND]) {
        t.refused(() => open(existing, flags | O.CREAT | O.EXCL, 0o644), "EEXIST", [existing, t.dir]);
        t.fails(as(alice, () => open(existing, flags | O.CREAT | O.EXCL, 0o644)), "EEXIST");
      }
    });
  }

  test("open/ENXIO: a fifo without reader, opened for writing and O_NONBLOCK", (t) => {
    const fifo = t.make("fifo");
    t.fails(open(fifo, O.WRONLY | O.NONBLOCK), "ENXIO");
    const reading = t.ok(open(fifo, O.RDONLY | O.NONBLOCK));
    const writing = t.ok(open(fifo, O.WRONLY | O.NONBLOCK));
    t.is(write(writing, "through"), 7);
    t.is(read(reading, 20), "through");
    t.fails(read(reading, 20), "EAGAIN");
    close(writing);
    t.is(read(reading, 20), "", "end of file");
    close(reading);
    t.fails(open(fifo, O.WRONLY | O.NONBLOCK), "ENXIO", "after the reader left");
  });

  test("open/OK: O_RDWR on a fifo does not block", (t) => {
    const fd = t.ok(open(t.make("fifo"), O.RDWR));
    t.is(write(fd, "x"), 1);
    t.is(read(fd, 5), "x");
    t.fails(lseek(fd, 0, 0), "ESPIPE");
    t.fails(pread(fd, 1, 0), "ESPIPE");
    close(fd);
  });

  test("open/OK: what goes through a fifo moves its times", (t) => {
    const fifo = t.make("fifo");
    const fd = t.ok(open(fifo, O.RDWR));
    t.changes(() => write(fd, "x"), { [fifo]: "mc" });
    close(fd);
    t.is(t.stat(fifo).size, 0);
  }, { needs: ["pipe times"] });

  test("open/ENXIO: a socket is not opened", (t) => {
    const made = t.make("socket");
    // The address has room for 108 bytes.
    const bound = `${t.dir}/s`;
    const socket = bound.length < 108 ? t.ok(bindSocket(bound)) : -1;
    for (const path of socket < 0 ? [made] : [made, bound]) {
      for (const flags of [O.RDONLY, O.WRONLY, O.RDWR]) {
        t.fails(open(path, flags), "ENXIO");
        t.fails(open(path, flags | O.NONBLOCK), "ENXIO");
      }
    }
    if (socket < 0) return;
    t.is(t.stat(bound).mode & S.IFMT, S.IFSOCK);
    t.fails(bindSocket(bound), "EADDRINUSE");
    close(socket);
    t.ok(unlink(bound));
  });

  test("open/OK: the null device works through a node of its own", (t) => {
    const fd = open(t.make("char", t.fresh(), { mode: 0o666 }), O.RDWR);
    // A mount with nodev refuses; then nothing more is asked.
    if (fd < 0) return t.fails(fd, "EACCES");
    t.is(write(fd, "gone"), 4);
    t.is(read(fd, 4), "");
    close(fd);
  });

  test("open/ENXIO: a device that nobody serves", (t) => {
    t.ok(t.stat(t.make("block")).ino);
    const fd = open(t.make("block"), O.RDONLY);
    t.fails(fd, ["ENXIO", "EACCES"]);
    if (fd >= 0) close(fd);
  });

  test("open/ETXTBSY: a program that runs is not opened for writing, nor run while written", async (t) => {
    const program = t.at("sleep");
    Deno.copyFileSync("/bin/sleep", program);
    chmod(program, 0o755);
    const child = new Deno.Command(program, { args: ["30"] }).spawn();
    // It runs once its process shows it; spawn may return before that.
    for (let tries = 0; tries < 1000 && Deno.readLinkSync(`/proc/${child.pid}/exe`) !== program; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    try {
      for (const flags of [O.WRONLY, O.RDWR, O.WRONLY | O.APPEND, O.RDONLY | O.TRUNC]) {
        t.fails(open(program, flags), "ETXTBSY", flags.toString(8));
      }
      t.fails(truncate(program, 10), "ETXTBSY");
      t.ok(closed(open(program, O.RDONLY)));
      t.ok(chmod(program, 0o700));
      t.ok(unlink(program), "unlinking it is fine");
    } finally {
      child.kill("SIGKILL");
      await child.status;
    }
    Deno.copyFileSync("/bin/sleep", program);
    chmod(program, 0o755);
    const fd = t.must(open(program, O.WRONLY));
    let refused = "";
    try {
      new Deno.Command(program, { args: ["0"] }).outputSync();
    } catch (error) {
      refused = String(error);
    }
    t.holds(/busy/i.test(refused), `"Text file busy", got ${JSON.stringify(refused)}`);
    close(fd);
    t.is(new Deno.Command(program, { args: ["0"] }).outputSync().code, 0, "and runs once it is closed");
  });

  test("open/EPERM: O_NOATIME for the owner and root only", (t) => {
    const path = written(t, "x", t.fresh(), 0o666);
    t.fails(as(alice, () => open(path, O.RDONLY | O.NOATIME)), "EPERM");
    t.ok(closed(open(path, O.RDONLY | O.NOATIME)));
  });

  test("open/OK: an open file survives chmod, unlink and rename of its name", (t) => {
    const path = written(t, "content", t.fresh(), 0o644);
    const fd = t.ok(as(alice, () => open(path, O.RDONLY)));
    t.ok(chmod(path, 0));
    t.is(as(alice, () => pread(fd, 20, 0)), "content");
    t.ok(unlink(path));
    t.is(as(alice, () => pread(fd, 20, 0)), "content");
    close(fd);
  });

  test("open/OK: many descriptors of one file each have an offset", (t) => {
    const path = written(t, "0123456789");
    const fds = Array.from({ length: 100 }, () => t.must(open(path, O.RDONLY)));
    fds.forEach((fd, index) => lseek(fd, index % 10, 0));
    fds.forEach((fd, index) => t.is(read(fd, 1), String(index % 10)));
    fds.forEach(close);
  });

  test("open/OK: a hard link and a symbolic link open the same file", (t) => {
    const kindsOpened: Kind[] = ["regular", "fifo"];
    for (const kind of kindsOpened) {
      const file = t.make(kind);
      const link = t.make("symlink", t.fresh(), { target: file });
      t.ok(closed(open(link, O.RDWR)));
      t.is(t.statFollow(link).ino, t.stat(file).ino);
    }
  });
});

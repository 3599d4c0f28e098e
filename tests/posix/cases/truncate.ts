/** truncate(2), ftruncate(2): one table, both calls. */
import { O } from "../abi.ts";
import { type Kind, plainKinds } from "../files.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as, bob, root } from "../identity.ts";
import { chmod, chown, open, truncate } from "../sys.ts";
import { close, ftruncate, pread, pwrite } from "../sys_file.ts";
import { contentOf, written } from "./open.ts";

type Call = (path: string, length: number | bigint) => number;

function viaDescriptor(path: string, length: number | bigint): number {
  const fd = open(path, O.RDWR);
  if (fd < 0) return fd;
  const result = ftruncate(fd, length);
  close(fd);
  return result;
}

const calls: readonly (readonly [string, Call])[] = [["truncate", truncate], ["ftruncate", viaDescriptor]];
const GiB = 1024 ** 3;

function refuse(t: Test, call: () => number, path: string, errno: "EACCES" | "EINVAL"): void {
  const size = t.stat(path).size;
  t.refused(call, errno, [path]);
  t.is(t.stat(path).size, size, "size");
}

export const cases = collect((test) => {
  for (const [name, call] of calls) {
    test(`${name}/OK: shorter, longer with zeros, and shorter again does not bring old bytes back`, (t) => {
      const path = written(t, "0123456789");
      for (
        const [length, content] of [
          [7, "0123456"],
          [7, "0123456"],
          [9, "0123456\0\0"],
          [3, "012"],
          [8, "012\0\0\0\0\0"],
          [0, ""],
          [4, "\0\0\0\0"],
        ] as const
      ) {
        t.ok(call(path, length));
        t.is(t.stat(path).size, length);
        t.is(contentOf(path), content, `to ${length}`);
      }
    });

    test(`${name}/OK: mtime and ctime move; the parent stays`, (t) => {
      const path = written(t, "abc");
      for (const length of [2, 5, 0, 1]) {
        t.changes(() => t.ok(call(path, length)), { [path]: "mc", [t.dir]: "" }, `to ${length}`);
      }
    });

    test(`${name}/OK: to the size it has: mtime may move, ctime does`, (t) => {
      const path = written(t, "abc");
      const before = t.stat(path);
      t.tick();
      t.ok(call(path, 3));
      t.is(t.stat(path).size, 3);
      if (name === "ftruncate") t.holds(t.stat(path).ctime.join() !== before.ctime.join(), "another ctime");
    });

    test(`${name}/OK: across blocks and chunks, up and down`, (t) => {
      const path = written(t, "head");
      const lengths = [4095, 4096, 4097, 65536, 1 << 20, (4 << 20) - 1, (4 << 20) + 1, (64 << 20) + 5, 12];
      for (const length of lengths) {
        t.ok(call(path, length));
        t.is(t.stat(path).size, length);
        const fd = t.must(open(path, O.RDWR));
        t.is(pread(fd, 6, 0), "head\0\0");
        t.is(pread(fd, 10, length - 2), "\0\0");
        t.is(pread(fd, 10, length), "");
        close(fd);
      }
    });

    test(`${name}/OK: what is cut off from the middle of written data reads as zeros when grown again`, (t) => {
      const path = written(t, "x".repeat(300_000));
      t.ok(call(path, 123_457));
      t.ok(call(path, 300_000));
      const fd = t.must(open(path, O.RDONLY));
      t.is(pread(fd, 4, 123_455), "xx\0\0");
      t.is(pread(fd, 176_543, 123_457), "\0".repeat(176_543));
      close(fd);
    });

    test(`${name}/OK: past 2 GiB, 4 GiB and 1 TiB, sparse`, (t) => {
      const path = written(t, "abc");
      for (const length of [2 * GiB - 1, 2 * GiB, 2 * GiB + 1, 4 * GiB + 1, 1024 * GiB]) {
        t.ok(call(path, length));
        t.is(t.stat(path).size, length);
        t.holds(t.stat(path).blocks * 512 < 1 << 20, "few blocks for a hole");
      }
      t.ok(call(path, 3));
      t.is(contentOf(path), "abc");
    });

    test(`${name}/EINVAL: a negative length`, (t) => {
      const path = written(t, "abc");
      for (const length of [-1, -2147483648, -(2n ** 63n)]) {
        refuse(
          t,
          () => call(path, length),
          path,
          "EINVAL",
        );
      }
    });

    test(`${name}/EFBIG or OK: a length beyond what can be: refused whole, or the size is what was asked`, (t) => {
      const path = written(t, "abc");
      for (const length of [999_999_999_999_999n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n]) {
        const result = call(path, length);
        t.fails(result, ["OK", "EFBIG", "EINVAL"], String(length));
        t.is(t.stat(path).size, result >= 0 ? Number(length) : 3);
        t.ok(call(path, 3));
        t.is(contentOf(path), "abc", String(length));
      }
    });
  }

  for (const kind of plainKinds.filter((each) => each !== "regular") as readonly Kind[]) {
    test(`truncate/EINVAL: a ${kind}`, (t) => {
      const path = t.make(kind);
      refuse(t, () => truncate(path, 5), path, "EINVAL");
    });
  }

  test("truncate/EISDIR: a directory", (t) => {
    const directory = t.make("dir");
    t.refused(() => truncate(directory, 0), "EISDIR", [directory]);
    t.refused(() => as(alice, () => truncate(directory, 0)), "EISDIR", [directory]);
  });

  test("truncate/EACCES: no write permission", (t) => {
    for (
      const [mode, uid, gid, user] of [
        [0o555, alice.uid, 0, alice],
        [0o757, 0, alice.gid, alice],
        [0o775, 0, 0, alice],
        [0o577, alice.uid, alice.gid, alice],
        [0o444, bob.uid, bob.gid, bob],
      ] as const
    ) {
      const file = written(t, "abc", t.fresh(), mode);
      chown(file, uid, gid);
      refuse(t, () => as(user, () => truncate(file, 1)), file, "EACCES");
      t.ok(as(root, () => truncate(file, 1)), octal(mode));
    }
  });

  test("truncate/OK: write permission is enough", (t) => {
    for (const [mode, uid, gid] of [[0o200, alice.uid, 0], [0o020, 0, alice.gid], [0o002, 0, 0]] as const) {
      const file = written(t, "abc", t.fresh(), mode);
      chown(file, uid, gid);
      t.ok(as(alice, () => truncate(file, 1)), octal(mode));
      t.is(t.stat(file).size, 1);
    }
  });

  test("truncate/ENOTDIR: a slash after the file", (t) => {
    t.fails(truncate(`${written(t, "abc")}/`, 0), "ENOTDIR");
  });

  test("ftruncate/EINVAL: a descriptor for reading only", (t) => {
    const file = written(t, "abc");
    const fd = t.must(open(file, O.RDONLY));
    t.refused(() => ftruncate(fd, 1), "EINVAL", [file]);
    close(fd);
    t.fails(ftruncate(987, 0), "EBADF");
  });

  test("ftruncate/EINVAL: a directory, a fifo", (t) => {
    const directory = t.must(open(t.make("dir"), O.RDONLY));
    t.fails(ftruncate(directory, 0), "EINVAL");
    const fifo = t.must(open(t.make("fifo"), O.RDWR));
    t.fails(ftruncate(fifo, 0), "EINVAL");
    close(directory);
    close(fifo);
  });

  test("ftruncate/OK: a descriptor keeps its right when the mode changes", (t) => {
    const file = written(t, "abc", t.fresh(), 0o666);
    const fd = t.must(as(alice, () => open(file, O.WRONLY)));
    t.ok(chmod(file, 0));
    t.ok(as(alice, () => ftruncate(fd, 1)));
    t.is(t.stat(file).size, 1);
    close(fd);
  });

  test("ftruncate/OK: seen at once through other descriptors, with data not yet flushed", (t) => {
    const file = written(t, "");
    const [one, two] = [t.must(open(file, O.RDWR)), t.must(open(file, O.RDWR))];
    t.is(pwrite(one, "0123456789", 0), 10);
    t.ok(ftruncate(two, 4));
    t.is(pread(one, 20, 0), "0123");
    t.is(pwrite(one, "AB", 6), 2);
    t.is(pread(two, 20, 0), "0123\0\0AB");
    t.ok(ftruncate(one, 7));
    t.is(contentOf(file), "0123\0\0A");
    close(one);
    close(two);
  });
});

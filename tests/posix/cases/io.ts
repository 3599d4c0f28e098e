/** Reading and writing: offsets, holes, sizes past 2 and 4 GiB, O_DIRECT, O_SYNC, O_TMPFILE. read(2), write(2), open(2). */
import { AT, O, SEEK } from "../abi.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { fstat, link, open, umask, unlink } from "../sys.ts";
import {
  close,
  dup,
  fdatasync,
  fsync,
  ftruncate,
  lseek,
  MAP,
  mmap,
  pread,
  preadMapped,
  PROT,
  pwrite,
  pwriteMapped,
  read,
  write,
} from "../sys_file.ts";
import { contentOf, written } from "./open.ts";

const GiB = 1024 ** 3;

/** A new file, open for reading and writing. */
export function opened(t: Test, content = "", flags = 0): { fd: number; path: string } {
  const path = written(t, content);
  const fd = t.must(open(path, O.RDWR | flags));
  t.defer(() => close(fd));
  return { fd, path };
}

/** Bytes that differ from place to place. */
function pattern(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed) & 0xff;
  return bytes;
}

const latin = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

export const cases = collect((test) => {
  test("write/OK: moves the offset, pwrite does not; a duplicate shares it", (t) => {
    const { fd } = opened(t);
    t.is(write(fd, "abc"), 3);
    t.is(lseek(fd, 0, SEEK.CUR), 3);
    t.is(pwrite(fd, "Z", 1), 1);
    t.is(lseek(fd, 0, SEEK.CUR), 3);
    const second = dup(fd);
    t.is(write(second, "def"), 3);
    t.is(lseek(fd, 0, SEEK.CUR), 6);
    t.is(pread(fd, 10, 0), "aZcdef");
    close(second);
  });

  test("lseek/OK: SET, CUR, END, past the end; EINVAL below zero", (t) => {
    const { fd, path } = opened(t, "0123456789");
    t.is(lseek(fd, 4, SEEK.SET), 4);
    t.is(lseek(fd, -2, SEEK.CUR), 2);
    t.is(lseek(fd, -1, SEEK.END), 9);
    t.is(read(fd, 5), "9");
    t.is(read(fd, 5), "", "end of file");
    t.is(lseek(fd, 100, SEEK.END), 110);
    t.is(read(fd, 5), "", "beyond the end");
    t.is(t.stat(path).size, 10, "seeking changes no size");
    t.fails(lseek(fd, -1, SEEK.SET), "EINVAL");
    t.fails(lseek(fd, -11, SEEK.END), "EINVAL");
    t.fails(lseek(fd, 0, 99), "EINVAL");
    t.is(lseek(fd, 0, SEEK.CUR), 110, "a failed seek moves nothing");
  });

  test("write/OK: past the end leaves zeros between", (t) => {
    const { fd, path } = opened(t, "ab");
    t.is(pwrite(fd, "z", 6), 1);
    t.is(t.stat(path).size, 7);
    t.is(pread(fd, 10, 0), "ab\0\0\0\0z");
    t.is(pwrite(fd, "Y", 9000), 1);
    t.is(pread(fd, 8993, 7), "\0".repeat(8993));
    t.is(pread(fd, 3, 8999), "\0Y");
  });

  test("write/OK: over what is there, at odd places, in odd lengths", (t) => {
    const { fd } = opened(t);
    const shadow = new Uint8Array(40_000);
    let end = 0;
    for (let i = 0; i < 60; i++) {
      const at = (i * 7919) % 30_000;
      const data = pattern(1 + ((i * 3571) % 9000), i);
      t.is(pwrite(fd, data, at), data.length);
      shadow.set(data, at);
      end = Math.max(end, at + data.length);
    }
    t.holds(pread(fd, 50_000, 0) === latin(shadow.subarray(0, end)), "every byte as written");
  });

  test("write/OK: two descriptors see each other's bytes at once", (t) => {
    const { fd, path } = opened(t, "aaaa");
    const second = t.must(open(path, O.RDWR));
    t.is(pwrite(fd, "b", 1), 1);
    t.is(pread(second, 9, 0), "abaa");
    t.is(pwrite(second, "cccc", 3), 4);
    t.is(pread(fd, 9, 0), "abacccc");
    t.is(t.stat(path).size, 7);
    close(second);
  });

  test("write/OK: a large write and a large read in one call", (t) => {
    const { fd, path } = opened(t);
    const data = pattern((9 << 20) + 123, 5);
    t.is(pwrite(fd, data, 77), data.length);
    t.ok(fsync(fd));
    t.is(t.stat(path).size, data.length + 77);
    t.holds(pread(fd, data.length + 100, 77) === latin(data), "all bytes back");
  });

  for (
    const [name, at] of [
      ["2 GiB", 2 * GiB],
      ["4 GiB", 4 * GiB],
      ["1 TiB", 1024 * GiB],
      ["a chunk's end", 64 << 20],
      ["a block's end", 4 << 20],
    ] as const
  ) {
    test(`write/OK: across ${name}, in a hole`, (t) => {
      const { fd, path } = opened(t, "head");
      t.is(pwrite(fd, "0123456789", at - 5), 10);
      t.is(t.stat(path).size, at + 5);
      t.is(pread(fd, 20, at - 7), "\0\x000123456789");
      t.is(pread(fd, 20, at), "56789");
      t.is(lseek(fd, 0, SEEK.END), at + 5);
      t.is(pread(fd, 6, 0), "head\0\0");
      t.ok(fsync(fd));
      t.is(pread(fd, 20, at - 7), "\0\x000123456789", "after fsync");
      t.ok(ftruncate(fd, at + 1));
      t.is(pread(fd, 20, at - 2), "345");
    });
  }

  test("write/EINVAL: beyond the largest offset", (t) => {
    const { fd, path } = opened(t, "abc");
    t.fails(pwrite(fd, "xy", 2n ** 63n - 1n), "EINVAL");
    t.fails(pwrite(fd, "x", -1), "EINVAL");
    t.fails(pread(fd, 1, -1), "EINVAL");
    t.is(t.stat(path).size, 3);
  });

  for (const [name, flags] of [["O_SYNC", O.SYNC], ["O_DSYNC", O.DSYNC]] as const) {
    test(`write/OK: ${name} writes like any other`, (t) => {
      const { fd } = opened(t, "", flags);
      for (let i = 0; i < 5; i++) t.is(write(fd, "abc"), 3);
      t.is(pread(fd, 20, 0), "abcabcabcabcabc");
    });
  }

  test("fsync/OK: files, directories, read-only descriptors; EINVAL for a fifo", (t) => {
    const { fd } = opened(t, "abc");
    t.ok(fsync(fd));
    t.ok(fdatasync(fd));
    for (const path of [t.dir, written(t, "x")]) {
      const reading = t.must(open(path, O.RDONLY));
      t.ok(fsync(reading), path);
      t.ok(fdatasync(reading), path);
      close(reading);
    }
    const fifo = t.must(open(t.make("fifo"), O.RDWR));
    t.fails(fsync(fifo), "EINVAL");
    close(fifo);
    t.fails(fsync(987), "EBADF");
  });

  test("open/OK: O_DIRECT reads and writes whole blocks, coherent with other descriptors", (t) => {
    const { fd, path } = opened(t, "x".repeat(100));
    const direct = t.must(open(path, O.RDWR | O.DIRECT));
    const page = mmap(-1, 16384, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS);
    if (typeof page === "number") return t.fails(page, "OK");
    page.bytes.fill(65);
    t.is(pwriteMapped(direct, page, 0, 8192, 4096), 8192);
    t.is(t.stat(path).size, 12288);
    t.is(pread(fd, 4, 4094), "\0\0AA");
    t.is(pwrite(fd, "bb", 5000), 2);
    page.bytes.fill(0);
    t.is(preadMapped(direct, page, 16384, 4096), 8192, "short at the end");
    t.is(latin(page.bytes.subarray(902, 908)), "AAbbAA");
    close(direct);
    page.unmap();
  }, { needs: ["direct"] });

  test("open/OK: O_DIRECT and a mapping see the same bytes", (t) => {
    const { path } = opened(t, "m".repeat(8192));
    const direct = t.must(open(path, O.RDWR | O.DIRECT));
    const map = mmap(direct, 8192, PROT.READ | PROT.WRITE, MAP.SHARED);
    const page = mmap(-1, 4096, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS);
    if (typeof map === "number" || typeof page === "number") return t.fails(-1, "OK");
    map.bytes[10] = 77;
    t.ok(map.sync());
    t.is(preadMapped(direct, page, 4096, 0), 4096);
    t.is(page.bytes[10], 77);
    page.bytes.fill(68);
    t.is(pwriteMapped(direct, page, 0, 4096, 0), 4096);
    t.is(contentOf(path, 4), "DDDD");
    t.is(map.bytes[3], 68);
    [map, page].forEach((each) => each.unmap());
    close(direct);
  }, { needs: ["direct"] });

  test("open/OK: O_TMPFILE has no name and no links, reads, writes, and can get a name", (t) => {
    umask(0o22);
    const fd = t.must(open(t.dir, O.RDWR | O.TMPFILE, 0o666));
    umask(0);
    const made = fstat(fd);
    if (typeof made === "number") return t.fails(made, "OK");
    t.is([made.nlink, made.size, octal(made.mode)], [0, 0, "0644"]);
    t.is(write(fd, "hidden"), 6);
    t.is(pread(fd, 9, 0), "hidden");
    t.ok(link(`/proc/self/fd/${fd}`, t.at("shown"), AT.SYMLINK_FOLLOW));
    t.is(contentOf(t.at("shown")), "hidden");
    t.is(t.stat(t.at("shown")).nlink, 1);
    t.is(t.stat(t.at("shown")).ino, made.ino);
    close(fd);
    t.is(contentOf(t.at("shown")), "hidden");
    t.ok(unlink(t.at("shown")));
  }, { needs: ["tmpfile"] });

  test("open/ENOENT: O_TMPFILE|O_EXCL never gets a name", (t) => {
    const fd = t.must(open(t.dir, O.RDWR | O.TMPFILE | O.EXCL, 0o600));
    t.fails(link(`/proc/self/fd/${fd}`, t.at("no"), AT.SYMLINK_FOLLOW), "ENOENT");
    close(fd);
  }, { needs: ["tmpfile"] });

  test("open/EINVAL: O_TMPFILE for reading only, or on a file; EACCES without write permission", (t) => {
    t.fails(open(t.dir, O.RDONLY | O.TMPFILE, 0o600), "EINVAL");
    t.fails(open(t.make("regular"), O.RDWR | O.TMPFILE, 0o600), "ENOTDIR");
    t.fails(as(alice, () => open(t.dir, O.RDWR | O.TMPFILE, 0o600)), "EACCES");
    const shared = t.make("dir", t.fresh(), { mode: 0o2777, gid: 4711 });
    const fd = t.ok(as(alice, () => open(shared, O.RDWR | O.TMPFILE, 0o600)));
    const made = fstat(fd);
    if (typeof made !== "number") t.is([made.uid, made.gid], [alice.uid, 4711]);
    close(fd);
  }, { needs: ["tmpfile"] });

  test("open/OK: O_TMPFILE changes no time of the directory", (t) => {
    t.changes(() => close(t.ok(open(t.dir, O.RDWR | O.TMPFILE, 0o600))), { [t.dir]: "" });
  }, { needs: ["tmpfile"] });
});

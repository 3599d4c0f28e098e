/** Mapped files: mmap(2). A page that is not there shows as EFAULT when a system call reads it for us. */
import { O } from "../abi.ts";
import { collect, type Test } from "../harness.ts";
import { open, unlink } from "../sys.ts";
import {
  close,
  fsync,
  ftruncate,
  MAP,
  type Mapping,
  mmap,
  pipe,
  pread,
  PROT,
  pwrite,
  pwriteMapped,
} from "../sys_file.ts";
import { opened } from "./io.ts";
import { contentOf, written } from "./open.ts";

const both = PROT.READ | PROT.WRITE;
const page = 4096;

function map(t: Test, fd: number, length: number, prot: number, flags: number, offset = 0): Mapping {
  const mapping = mmap(fd, length, prot, flags, offset);
  if (typeof mapping !== "number") {
    t.defer(() => mapping.unmap());
    return mapping;
  }
  t.must(mapping, "mmap");
  throw new Error("unreachable");
}

const text = (mapping: Mapping, from: number, to: number) =>
  new TextDecoder("latin1").decode(mapping.bytes.subarray(from, to));

function put(mapping: Mapping, at: number, value: string): void {
  for (let i = 0; i < value.length; i++) mapping.bytes[at + i] = value.charCodeAt(i);
}

export const cases = collect((test) => {
  test("mmap/OK: a shared mapping shows the file and zeros to the end of its last page", (t) => {
    const { fd } = opened(t, "content");
    const mapping = map(t, fd, page, PROT.READ, MAP.SHARED);
    t.is(text(mapping, 0, 9), "content\0\0");
    t.is(text(mapping, page - 2, page), "\0\0");
  });

  test("mmap/OK: what is stored in a shared mapping is read, what is written is seen", (t) => {
    const { fd, path } = opened(t, "a".repeat(3 * page));
    const mapping = map(t, fd, 3 * page, both, MAP.SHARED);
    put(mapping, 10, "mapped");
    t.is(pread(fd, 8, 9), "amappeda");
    t.is(pwrite(fd, "written", page + 5), 7);
    t.is(text(mapping, page + 4, page + 13), "awrittena");
    put(mapping, 2 * page, "third");
    t.ok(mapping.sync());
    const other = t.must(open(path, O.RDONLY));
    t.is(pread(other, 6, 2 * page), "thirda");
    close(other);
  });

  test("mmap/OK: msync, fsync and close keep what was stored", (t) => {
    const { fd, path } = opened(t, "a".repeat(2 * page));
    const mapping = map(t, fd, 2 * page, both, MAP.SHARED);
    put(mapping, 100, "one");
    t.ok(mapping.sync());
    put(mapping, page, "two");
    t.ok(fsync(fd));
    put(mapping, page + 500, "three");
    mapping.unmap();
    t.is(contentOf(path, 2 * page)?.toString().slice(page + 499, page + 506), "athreea");
    t.is(pread(fd, 5, 99), "aonea");
    t.is(pread(fd, 4, page), "twoa");
  });

  test("mmap/OK: storing in a shared mapping moves mtime and ctime, by msync at the latest", (t) => {
    const { fd, path } = opened(t, "a".repeat(page));
    const mapping = map(t, fd, page, both, MAP.SHARED);
    t.changes(() => {
      put(mapping, 0, "x");
      t.ok(mapping.sync());
    }, { [path]: "mc" });
  });

  test("mmap/OK: a private mapping keeps its changes to itself", (t) => {
    const { fd } = opened(t, "a".repeat(2 * page));
    const mapping = map(t, fd, 2 * page, both, MAP.PRIVATE);
    put(mapping, 0, "mine");
    t.is(pread(fd, 4, 0), "aaaa");
    t.is(text(mapping, 0, 5), "minea");
    t.is(pwrite(fd, "theirs", 0), 6);
    t.is(text(mapping, 0, 5), "minea", "a copied page stays");
  });

  test("mmap/OK: a private mapping of a file that is open for reading only", (t) => {
    const path = written(t, "abc");
    const fd = t.must(open(path, O.RDONLY));
    const mapping = map(t, fd, page, both, MAP.PRIVATE);
    put(mapping, 0, "X");
    t.is(contentOf(path), "abc");
    t.fails(asNumber(mmap(fd, page, both, MAP.SHARED)), "EACCES");
    close(fd);
    const writing = t.must(open(path, O.WRONLY));
    t.fails(asNumber(mmap(writing, page, PROT.READ, MAP.SHARED)), "EACCES");
    close(writing);
  });

  test("mmap/OK: a mapping outlives close and unlink", (t) => {
    const path = written(t, "a".repeat(page));
    const fd = t.must(open(path, O.RDWR));
    const mapping = map(t, fd, page, both, MAP.SHARED);
    close(fd);
    t.ok(unlink(path));
    put(mapping, 5, "still");
    t.ok(mapping.sync());
    t.is(text(mapping, 4, 11), "astilla");
  });

  test("mmap/EFAULT: pages beyond the end of the file, also after truncation", (t) => {
    const { fd } = opened(t, "a".repeat(3 * page));
    const mapping = map(t, fd, 4 * page, both, MAP.SHARED);
    const [reading, writing] = pipe();
    t.defer(() => (close(reading), close(writing)));
    const target = opened(t).fd;
    t.fails(pwriteMapped(target, mapping, 3 * page, 10, 0), "EFAULT", "beyond the end");
    t.is(pwriteMapped(target, mapping, 2 * page, 10, 0), 10);
    t.ok(ftruncate(fd, page + 5));
    t.fails(pwriteMapped(target, mapping, 2 * page, 10, 0), "EFAULT", "cut off");
    t.is(text(mapping, page, page + 8), "aaaaa\0\0\0", "zeros after the new end");
    t.ok(ftruncate(fd, 3 * page));
    t.is(text(mapping, 2 * page, 2 * page + 3), "\0\0\0", "zeros when it grows again");
    t.is(text(mapping, page + 4, page + 7), "a\0\0");
  });

  test("mmap/OK: bytes stored behind the end are not part of the file", (t) => {
    const { fd, path } = opened(t, "abc");
    const mapping = map(t, fd, page, both, MAP.SHARED);
    put(mapping, 3, "beyond");
    t.ok(mapping.sync());
    t.is(t.stat(path).size, 3);
    t.is(contentOf(path), "abc");
    t.ok(ftruncate(fd, 20));
    t.is(contentOf(path), "abc" + "\0".repeat(17));
  });

  test("mmap/OK: a mapping with an offset, into a hole and over it", (t) => {
    const { fd, path } = opened(t);
    t.ok(ftruncate(fd, 8 << 20));
    const mapping = map(t, fd, 2 * page, both, MAP.SHARED, 4 << 20);
    t.is(text(mapping, 0, 3), "\0\0\0");
    put(mapping, page - 2, "over");
    t.ok(mapping.sync());
    t.is(pread(fd, 6, (4 << 20) + page - 3), "\0over\0");
    t.is(t.stat(path).size, 8 << 20);
    t.fails(asNumber(mmap(fd, page, PROT.READ, MAP.SHARED, 5)), "EINVAL", "not at a page");
  });

  test("mmap/OK: two mappings of one file show each other's bytes", (t) => {
    const { fd, path } = opened(t, "a".repeat(page));
    const other = t.must(open(path, O.RDWR));
    const [one, two] = [map(t, fd, page, both, MAP.SHARED), map(t, other, page, both, MAP.SHARED)];
    put(one, 7, "seen");
    t.is(text(two, 6, 12), "aseena");
    close(other);
  });

  test("mmap/OK: a write past the end is seen in the mapped last page", (t) => {
    const { fd } = opened(t, "abc");
    const mapping = map(t, fd, page, PROT.READ, MAP.SHARED);
    t.is(text(mapping, 0, 4), "abc\0");
    t.is(pwrite(fd, "def", 3), 3);
    t.is(text(mapping, 0, 7), "abcdef\0");
  });

  test("mmap/ENODEV: a directory", (t) => {
    const fd = t.must(open(t.dir, O.RDONLY));
    t.fails(asNumber(mmap(fd, page, PROT.READ, MAP.SHARED)), "ENODEV");
    close(fd);
  });
});

function asNumber(mapping: Mapping | number): number {
  if (typeof mapping === "number") return mapping;
  mapping.unmap();
  return 0;
}

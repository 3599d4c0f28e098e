/** Holes and their making: lseek SEEK_DATA/SEEK_HOLE, fallocate(2), copy_file_range(2). */
import { FALLOC, O, SEEK } from "../abi.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { chmod, open } from "../sys.ts";
import {
  close,
  copyFileRange,
  fallocate,
  fsync,
  ftruncate,
  lseek,
  pread,
  pwrite,
  write,
} from "../sys_file.ts";
import { contentOf, written } from "./open.ts";
import { opened } from "./io.ts";

const MiB = 1 << 20;
const punch = FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE;

/** Data at 1 MiB and 3 MiB, holes elsewhere, a size of 5 MiB. */
function sparse(t: Test): { fd: number; path: string } {
  const file = opened(t);
  t.must(ftruncate(file.fd, 5 * MiB));
  t.must(pwrite(file.fd, "a".repeat(65536), MiB));
  t.must(pwrite(file.fd, "b".repeat(65536), 3 * MiB));
  return file;
}

export const cases = collect((test) => {
  for (const [when, settle] of [["before", () => 0], ["after", fsync]] as const) {
    test(`lseek/OK: SEEK_DATA and SEEK_HOLE around two islands, ${when} fsync`, (t) => {
      const { fd } = sparse(t);
      t.ok(settle(fd));
      t.is(lseek(fd, 0, SEEK.DATA), MiB);
      t.is(lseek(fd, MiB + 5, SEEK.DATA), MiB + 5);
      t.is(lseek(fd, 0, SEEK.HOLE), 0);
      t.is(lseek(fd, MiB, SEEK.HOLE), MiB + 65536);
      t.is(lseek(fd, MiB + 65536, SEEK.DATA), 3 * MiB);
      t.is(lseek(fd, 3 * MiB + 7, SEEK.HOLE), 3 * MiB + 65536);
      t.fails(lseek(fd, 3 * MiB + 65536, SEEK.DATA), "ENXIO");
      t.is(lseek(fd, 4 * MiB, SEEK.HOLE), 4 * MiB);
      t.fails(lseek(fd, 5 * MiB, SEEK.DATA), "ENXIO");
      t.fails(lseek(fd, 5 * MiB, SEEK.HOLE), "ENXIO");
      t.fails(lseek(fd, -1, SEEK.DATA), "ENXIO");
    }, { needs: ["seek hole"] });
  }

  test("lseek/OK: the end of the file is a hole; an empty file has neither", (t) => {
    const { fd } = opened(t, "data");
    t.is(lseek(fd, 0, SEEK.DATA), 0);
    t.is(lseek(fd, 0, SEEK.HOLE), 4);
    t.is(lseek(fd, 3, SEEK.HOLE), 4);
    t.fails(lseek(fd, 4, SEEK.DATA), "ENXIO");
    const empty = opened(t);
    t.fails(lseek(empty.fd, 0, SEEK.DATA), "ENXIO");
    t.fails(lseek(empty.fd, 0, SEEK.HOLE), "ENXIO");
  });

  test("stat/OK: blocks count what is allocated, not the size", (t) => {
    const { fd, path } = sparse(t);
    t.ok(fsync(fd));
    const blocks = t.stat(path).blocks;
    t.holds(blocks >= 256 && blocks < 2048, `128 KiB of data in blocks of 512, got ${blocks}`);
    const full = written(t, "x".repeat(100_000));
    const fullFd = t.must(open(full, O.RDONLY));
    fsync(fullFd);
    close(fullFd);
    t.holds(t.stat(full).blocks * 512 >= 100_000, "blocks for every byte of a full file");
  });

  test("fallocate/OK: grows the file with zeros, keeps what is there", (t) => {
    const { fd, path } = opened(t, "abc");
    t.changes(() => t.ok(fallocate(fd, 0, 0, 10_000)), { [path]: "mc" });
    t.is(t.stat(path).size, 10_000);
    t.is(pread(fd, 5, 0), "abc\0\0");
    t.ok(fallocate(fd, 0, 0, 100));
    t.is(t.stat(path).size, 10_000, "never shrinks");
    t.ok(fallocate(fd, 0, 20_000, 5));
    t.is(t.stat(path).size, 20_005);
  }, { needs: ["fallocate"] });

  test("fallocate/OK: KEEP_SIZE keeps the size, and bytes written there later count", (t) => {
    const { fd, path } = opened(t, "abc");
    t.ok(fallocate(fd, FALLOC.KEEP_SIZE, 0, 100_000));
    t.is(t.stat(path).size, 3);
    t.is(contentOf(path), "abc");
    t.is(pwrite(fd, "x", 50_000), 1);
    t.is(t.stat(path).size, 50_001);
    t.is(pread(fd, 3, 49_998), "\0\0x");
  }, { needs: ["fallocate"] });

  test("fallocate/OK: PUNCH_HOLE makes zeros, keeps the size, frees blocks", (t) => {
    const { fd, path } = opened(t, "x".repeat(300_000));
    t.ok(fsync(fd));
    t.changes(() => t.ok(fallocate(fd, punch, 5_000, 200_000)), { [path]: "mc" });
    t.is(t.stat(path).size, 300_000);
    t.is(pread(fd, 4, 4_998), "xx\0\0");
    t.is(pread(fd, 4, 204_998), "\0\0xx");
    t.is(pread(fd, 1000, 100_000), "\0".repeat(1000));
    t.ok(fallocate(fd, punch, 299_990, 100_000), "over the end");
    t.is(t.stat(path).size, 300_000);
    t.is(pread(fd, 12, 299_988), "xx" + "\0".repeat(10));
    t.ok(fallocate(fd, punch, 400_000, 5), "beyond the end");
    t.is(t.stat(path).size, 300_000);
    t.ok(fsync(fd));
    t.is(pread(fd, 4, 4_998), "xx\0\0", "after fsync");
  }, { needs: ["fallocate"] });

  test("fallocate/OK: a punched range is a hole to lseek", (t) => {
    const { fd } = opened(t, "x".repeat(MiB));
    t.ok(fallocate(fd, punch, 65536, 65536));
    t.is(lseek(fd, 0, SEEK.HOLE), 65536);
    t.is(lseek(fd, 65536, SEEK.DATA), 131072);
  }, { needs: ["fallocate", "seek hole"] });

  test("fallocate/OK: ZERO_RANGE makes zeros, with and without KEEP_SIZE", (t) => {
    const { fd, path } = opened(t, "x".repeat(100));
    t.changes(() => t.ok(fallocate(fd, FALLOC.ZERO_RANGE, 10, 20)), { [path]: "mc" });
    t.is(pread(fd, 24, 8), "xx" + "\0".repeat(20) + "xx");
    t.ok(fallocate(fd, FALLOC.ZERO_RANGE | FALLOC.KEEP_SIZE, 90, 1000));
    t.is(t.stat(path).size, 100);
    t.ok(fallocate(fd, FALLOC.ZERO_RANGE, 95, 1000));
    t.is(t.stat(path).size, 1095);
    t.is(pread(fd, 1005, 90), "\0".repeat(1005));
  }, { needs: ["fallocate"] });

  test("fallocate/EOPNOTSUPP, EINVAL: modes that are not offered or exclude each other", (t) => {
    const { fd } = opened(t, "x".repeat(8192));
    t.fails(fallocate(fd, FALLOC.PUNCH_HOLE, 0, 4096), ["EOPNOTSUPP", "EINVAL"], "punch without KEEP_SIZE");
    t.fails(fallocate(fd, 0x10000, 0, 4096), ["EOPNOTSUPP", "EINVAL"], "unknown");
    for (const mode of [FALLOC.COLLAPSE_RANGE, FALLOC.INSERT_RANGE]) {
      t.fails(fallocate(fd, mode, 1, 1), ["EOPNOTSUPP", "EINVAL"], `mode ${mode}`);
    }
    for (const [offset, length] of [[-1, 10], [0, 0], [0, -1]] as const) {
      t.fails(fallocate(fd, 0, offset, length), "EINVAL", `${offset}, ${length}`);
    }
    t.fails(fallocate(fd, 0, Number.MAX_SAFE_INTEGER * 512, Number.MAX_SAFE_INTEGER), "EFBIG");
  }, { needs: ["fallocate"] });

  test("fallocate/EBADF, ENODEV, ESPIPE: what cannot be allocated", (t) => {
    const reading = t.must(open(written(t, "abc"), O.RDONLY));
    t.fails(fallocate(reading, 0, 0, 10), "EBADF");
    close(reading);
    const fifo = t.must(open(t.make("fifo"), O.RDWR));
    t.fails(fallocate(fifo, 0, 0, 10), "ESPIPE");
    close(fifo);
    const directory = t.must(open(t.dir, O.RDONLY));
    t.fails(fallocate(directory, 0, 0, 10), "EBADF");
    close(directory);
  });

  test("fallocate/OK: unprivileged allocation clears the set-id bits", (t) => {
    for (const mode of [0, punch, FALLOC.ZERO_RANGE]) {
      const { fd, path } = opened(t, "x".repeat(5000));
      t.ok(chmod(path, 0o6777));
      t.ok(as(alice, () => fallocate(fd, mode, 0, 6000)));
      t.is(octal(t.stat(path).mode), "0777", `mode ${mode}`);
    }
  }, { needs: ["fallocate"] });

  test("copy_file_range/OK: copies, grows the target, moves no offset of its own", (t) => {
    const from = opened(t, "0123456789");
    const to = opened(t, "abc");
    t.changes(() => t.is(copyFileRange(from.fd, 2, to.fd, 5, 6), 6), { [to.path]: "mc" });
    t.is(contentOf(to.path), "abc\0\x00234567");
    t.is(copyFileRange(from.fd, 8, to.fd, 0, 100), 2, "short at the end of the source");
    t.is(contentOf(to.path), "89c\0\x00234567");
    t.is(copyFileRange(from.fd, 10, to.fd, 0, 100), 0, "at the end");
    t.is(copyFileRange(from.fd, 500, to.fd, 0, 100), 0, "beyond the end");
    t.is(lseek(to.fd, 0, SEEK.CUR), 0);
    t.is(contentOf(from.path), "0123456789");
  }, { needs: ["copy_file_range"] });

  test("copy_file_range/OK: what was copied is not what is written later", (t) => {
    const from = opened(t, "x".repeat(500_000));
    const to = opened(t);
    t.is(copyFileRange(from.fd, 0, to.fd, 0, 500_000), 500_000);
    t.is(pwrite(from.fd, "NEW", 1000), 3);
    t.is(pread(to.fd, 5, 999), "xxxxx");
    t.is(pwrite(to.fd, "OLD", 2000), 3);
    t.is(pread(from.fd, 5, 1999), "xxxxx");
    t.ok(ftruncate(from.fd, 0));
    t.is(pread(to.fd, 4, 400_000), "xxxx");
    t.ok(fsync(to.fd));
    t.is(t.stat(to.path).size, 500_000);
  }, { needs: ["copy_file_range"] });

  test("copy_file_range/OK: data not yet flushed, holes, and within one file", (t) => {
    const { fd, path } = sparse(t);
    const to = opened(t, "z".repeat(MiB));
    t.is(copyFileRange(fd, MiB - 100, to.fd, 10, 200), 200);
    t.is(pread(to.fd, 220, 0), "z".repeat(10) + "\0".repeat(100) + "a".repeat(100) + "z".repeat(10));
    t.is(write(fd, "head"), 4);
    t.is(copyFileRange(fd, 0, fd, 2 * MiB, 4), 4);
    t.is(pread(fd, 6, 2 * MiB), "head\0\0");
    t.is(t.stat(path).size, 5 * MiB);
  }, { needs: ["copy_file_range"] });

  test("copy_file_range/EINVAL, EBADF, EISDIR: overlap, flags, modes, kinds", (t) => {
    const file = opened(t, "0123456789");
    t.fails(copyFileRange(file.fd, 0, file.fd, 5, 6), "EINVAL", "overlap");
    t.fails(copyFileRange(file.fd, 0, file.fd, 20, 5, 1), "EINVAL", "flags");
    const reading = t.must(open(file.path, O.RDONLY));
    const writing = t.must(open(file.path, O.WRONLY));
    const appending = t.must(open(file.path, O.RDWR | O.APPEND));
    const directory = t.must(open(t.dir, O.RDONLY));
    const other = opened(t);
    t.fails(copyFileRange(writing, 0, other.fd, 0, 5), "EBADF");
    t.fails(copyFileRange(other.fd, 0, reading, 0, 5), "EBADF");
    t.fails(copyFileRange(other.fd, 0, appending, 0, 5), "EBADF");
    t.fails(copyFileRange(directory, 0, other.fd, 0, 5), "EISDIR");
    const fifo = t.must(open(t.make("fifo"), O.RDWR));
    t.fails(copyFileRange(fifo, 0, other.fd, 0, 5), "EINVAL");
    [reading, writing, appending, directory, fifo].forEach(close);
  }, { needs: ["copy_file_range"] });

  test("copy_file_range/OK: an unprivileged copy clears the target's set-id bits", (t) => {
    const from = opened(t, "0123456789");
    const to = opened(t, "abc");
    t.ok(chmod(to.path, 0o6777));
    t.is(as(alice, () => copyFileRange(from.fd, 0, to.fd, 0, 5)), 5);
    t.is(octal(t.stat(to.path).mode), "0777");
  }, { needs: ["copy_file_range"] });
});

/** statfs(2), statvfs(3): numbers that df(1) can be shown. */
import { NAME_MAX } from "../abi.ts";
import { kinds } from "../files.ts";
import { collect } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { type StatFs, statfs } from "../sys.ts";

export const cases = collect((test) => {
  test("statfs/OK: sizes that fit each other, names of 255 bytes", (t) => {
    const found = statfs(t.dir);
    if (typeof found === "number") return t.fails(found, "OK");
    t.holds(
      found.bsize >= 512 && found.blocks > 0,
      `a block size and a size, got ${found.bsize}, ${found.blocks}`,
    );
    t.holds(found.bfree <= found.blocks && found.bavail <= found.bfree, "available <= free <= all");
    t.holds(found.ffree <= found.files, "free files <= all files");
    t.is(found.namelen, NAME_MAX);
  });

  test("statfs/OK: the same file system behind every file, for every user", (t) => {
    const constant = (found: StatFs | number) =>
      typeof found === "number" ? found : [found.type, found.bsize, found.namelen];
    const wanted = constant(statfs(t.dir));
    for (const kind of kinds.filter((each) => each !== "symlink")) {
      const path = t.make(kind, t.fresh(), { mode: 0 });
      t.is(constant(statfs(path)), wanted, kind);
      t.is(constant(as(alice, () => statfs(path))), wanted, `${kind}, unprivileged`);
    }
  });

  test("stat/OK: one device for all files, an inode number for each, a block size", (t) => {
    const found = kinds.map((kind) => t.stat(t.make(kind)));
    t.is(new Set(found.map((each) => each.dev)).size, 1);
    t.is(found[0]?.dev, t.stat(t.dir).dev);
    t.is(new Set(found.map((each) => each.ino)).size, kinds.length);
    for (const { blksize } of found) {
      t.holds(blksize >= 512 && blksize <= 1 << 26, `a block size, got ${blksize}`);
    }
  });
});

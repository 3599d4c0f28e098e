/** Listing directories: readdir(3), getdents(2), seekdir(3); stable while entries come and go. */
import { DT, O, SEEK } from "../abi.ts";
import { isDots, type Kind, kinds, sortedNames } from "../files.ts";
import { collect, join, type Test } from "../harness.ts";
import { link, open, rename, rmdir, unlink } from "../sys.ts";
import { close, type Entry, getdents, lseek } from "../sys_file.ts";

const decoder = new TextDecoder();
const types: Readonly<Record<Kind, number>> = {
  regular: DT.REG,
  dir: DT.DIR,
  fifo: DT.FIFO,
  block: DT.BLK,
  char: DT.CHR,
  socket: DT.SOCK,
  symlink: DT.LNK,
};

/** What one getdents gives, with room for a few dozen names. */
function some(t: Test, fd: number, room = 1024): Entry[] {
  const entries = getdents(fd, room);
  if (typeof entries !== "number") return entries;
  t.must(entries, "getdents");
  return [];
}

/** All entries from the descriptor's place on, in small steps. */
function rest(t: Test, fd: number, room = 1024): Entry[] {
  const entries: Entry[] = [];
  for (;;) {
    const more = some(t, fd, room);
    if (more.length === 0) return entries;
    entries.push(...more);
  }
}

const namesOf = (entries: readonly Entry[]) =>
  entries.filter((each) => !isDots(each.name)).map((each) => decoder.decode(each.name));

/** A directory with `count` files named n0, n1, ... */
function filled(t: Test, count: number): { directory: string; names: string[]; fd: number } {
  const directory = t.make("dir");
  const names = Array.from({ length: count }, (_, i) => `n${i}`);
  for (const name of names) t.make("regular", `${directory}/${name}`);
  const fd = t.must(open(directory, O.RDONLY | O.DIRECTORY));
  t.defer(() => close(fd));
  return { directory, names, fd };
}

export const cases = collect((test) => {
  test("readdir/OK: every kind with its type and inode number, and . and ..", (t) => {
    const directory = t.make("dir");
    for (const kind of kinds) t.make(kind, `${directory}/${kind}`);
    const fd = t.must(open(directory, O.RDONLY));
    const entries = new Map(rest(t, fd).map((entry) => [decoder.decode(entry.name), entry]));
    close(fd);
    t.is([...entries.keys()].sort(), [".", "..", ...kinds].sort());
    for (const kind of kinds) {
      t.is(entries.get(kind)?.type, types[kind], kind);
      t.is(entries.get(kind)?.ino, t.stat(`${directory}/${kind}`).ino, `${kind}: inode`);
    }
    t.is([entries.get(".")?.type, entries.get("..")?.type], [DT.DIR, DT.DIR]);
    t.is(entries.get(".")?.ino, t.stat(directory).ino);
    t.is(entries.get("..")?.ino, t.stat(t.dir).ino);
  });

  test("readdir/OK: an empty directory lists . and .. only", (t) => {
    const fd = t.must(open(t.make("dir"), O.RDONLY));
    t.is(rest(t, fd).length, 2);
    t.is(rest(t, fd).length, 0, "and stays at the end");
    close(fd);
  });

  test("readdir/ENOTDIR: not a directory; EINVAL: no room for one entry; EBADF", (t) => {
    const fd = t.must(open(t.make("regular"), O.RDONLY));
    t.fails(getdents(fd), "ENOTDIR");
    close(fd);
    const { fd: directory } = filled(t, 3);
    t.fails(getdents(directory, 8), "EINVAL");
    t.fails(getdents(987), "EBADF");
  });

  for (const room of [280, 32768]) {
    test(`readdir/OK: 2000 entries, each once, ${room} bytes at a time`, (t) => {
      const { names, fd } = filled(t, 2000);
      const listed = namesOf(rest(t, fd, room));
      t.is(listed.length, 2000);
      t.is(new Set(listed).size, 2000, "no name twice");
      t.is([...listed].sort(), [...names].sort());
    });
  }

  test("readdir/OK: two descriptors walk on their own", (t) => {
    const { directory, fd } = filled(t, 200);
    const second = t.must(open(directory, O.RDONLY));
    const first = some(t, fd);
    const other = some(t, second);
    t.is(namesOf(other), namesOf(first));
    const [a, b] = [namesOf(rest(t, fd)), namesOf(rest(t, second))];
    t.is(a, b);
    t.is(a.length + namesOf(first).length, 200);
    close(second);
  });

  test("rewinddir/OK: from the start, with what came and without what went", (t) => {
    const { directory, fd } = filled(t, 50);
    rest(t, fd);
    t.ok(unlink(`${directory}/n7`));
    t.make("regular", `${directory}/new`);
    t.is(lseek(fd, 0, SEEK.SET), 0);
    const listed = namesOf(rest(t, fd));
    t.is(listed.length, 50);
    t.is([listed.includes("n7"), listed.includes("new")], [false, true]);
  });

  test("seekdir/OK: back to any place gives what followed there", (t) => {
    const { fd } = filled(t, 300);
    const entries = rest(t, fd);
    for (let i = 0; i < entries.length; i += 17) {
      const place = entries[i]?.next ?? 0n;
      t.ok(lseek(fd, place, SEEK.SET));
      t.is(namesOf(rest(t, fd)), namesOf(entries.slice(i + 1)), `after entry ${i}`);
    }
  });

  for (const count of [300, 2300]) {
    test(`seekdir/OK: a place among ${count} entries stays good when others come and go`, (t) => {
      const { directory, fd } = filled(t, count);
      const entries = rest(t, fd).filter((each) => !isDots(each.name));
      const names = namesOf(entries);
      const gone = new Set(names.filter((_, i) => i % 3 === 0));
      for (const name of gone) t.ok(unlink(`${directory}/${name}`));
      for (let i = 0; i < 50; i++) t.make("regular", `${directory}/${"abmxyz".charAt(i % 6)}${i}`);
      for (const at of [10, count / 3, count / 2, count - 20].map(Math.floor)) {
        t.ok(lseek(fd, entries[at]?.next ?? 0n, SEEK.SET));
        const listed = namesOf(rest(t, fd));
        // Whether one that went or came is listed is left open; those that stay are, once, and none from before.
        const old = new Set(names);
        const stayed = listed.filter((name) => old.has(name) && !gone.has(name));
        t.is(stayed, names.slice(at + 1).filter((name) => !gone.has(name)), `after entry ${at}`);
        t.is(new Set(listed).size, listed.length, "no name twice");
      }
    });
  }

  test("readdir/OK: while entries come and go, what stays is listed exactly once", (t) => {
    const { directory, names, fd } = filled(t, 1500);
    const listed: string[] = [];
    const gone = new Set<string>();
    for (let round = 0;; round++) {
      const entries = some(t, fd, 2048);
      if (entries.length === 0 || round > 1000) break;
      listed.push(...namesOf(entries));
      // One that was listed goes, one that may not have been, two come, one moves within the directory.
      for (const name of [listed[round * 3], `n${1499 - round}`]) {
        if (name !== undefined && !gone.has(name) && unlink(`${directory}/${name}`) >= 0) gone.add(name);
      }
      t.make("regular", `${directory}/x${round}`);
      t.make("regular", `${directory}/a${round}`);
      if (rename(`${directory}/n${round}`, `${directory}/y${round}`) >= 0) gone.add(`n${round}`);
    }
    const counts = new Map<string, number>();
    for (const name of listed) counts.set(name, (counts.get(name) ?? 0) + 1);
    t.is(
      names.filter((name) => !gone.has(name) && counts.get(name) !== 1),
      [],
      "names that stay, not listed once",
    );
    t.is([...counts].filter(([, count]) => count > 1), [], "any name twice");
  });

  for (const room of [512, 4096]) {
    test(`readdir/OK: removing what is listed empties the directory in one pass, ${room} bytes at a time`, (t) => {
      const { directory, fd } = filled(t, 1500);
      for (;;) {
        const entries = some(t, fd, room);
        if (entries.length === 0) break;
        for (const name of namesOf(entries)) t.ok(unlink(`${directory}/${name}`));
      }
      t.is(sortedNames(directory), []);
      t.ok(rmdir(directory));
    });
  }

  test("readdir/OK: after link, rename and unlink the listing is what the names are", (t) => {
    const { directory } = filled(t, 5);
    t.ok(link(`${directory}/n0`, `${directory}/l`));
    t.ok(rename(`${directory}/n1`, `${directory}/m`));
    t.ok(rename(`${directory}/n2`, `${directory}/n3`));
    t.ok(unlink(`${directory}/n4`));
    t.is(sortedNames(directory), ["l", "m", "n0", "n3"]);
  });

  test("names/OK: any bytes but slash and NUL, as they are", (t) => {
    const directory = t.make("dir");
    const wanted = [
      ...Array.from({ length: 255 }, (_, i) => i + 1).filter((byte) => byte !== 0x2f && byte !== 0x2e).map((
        byte,
      ) => [
        byte,
      ]),
      [0xff, 0xfe, 0x80],
      [0xc3, 0x28],
      [0xed, 0xa0, 0x80],
      [0x61, 0x0a, 0x62, 0x0d],
      [0x20, 0x20],
      [0x2e, 0x2e, 0x2e],
      [0x2d, 0x2d],
      [0x61, 0xcc, 0x88],
      [0xc3, 0xa4],
      Array.from({ length: 255 }, (_, i) => 128 + (i % 100)),
      Array.from({ length: 254 }, () => 0xff),
    ].map((bytes) => Uint8Array.from(bytes));
    for (const name of wanted) {
      const fd = t.ok(open(join(directory, name), O.CREAT | O.EXCL | O.WRONLY, 0o644), `${name}`);
      close(fd);
    }
    const fd = t.must(open(directory, O.RDONLY));
    const hex = (name: Uint8Array) => [...name].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const listed = rest(t, fd).filter((each) => !isDots(each.name)).map((each) => hex(each.name)).sort();
    close(fd);
    t.is(listed, wanted.map(hex).sort());
    for (const name of wanted) {
      t.ok(t.stat(join(directory, name)).ino);
      t.ok(unlink(join(directory, name)), `${name}`);
    }
    t.is(sortedNames(directory), []);
  });

  test("names/OK: upper and lower case, composed and decomposed letters are different names", (t) => {
    const directory = t.make("dir");
    const names = ["a", "A", "\u00e4", "a\u0308", "\u1e9e", "ß", "İ", "i"];
    const inodes = names.map((name) => t.stat(t.make("regular", `${directory}/${name}`)).ino);
    t.is(new Set(inodes).size, names.length);
    t.is(sortedNames(directory).length, names.length);
  });
});

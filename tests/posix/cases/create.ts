/**
 * Making names: open(O_CREAT), mkdir, mkfifo, mknod, symlink. What the new file is, what its parent becomes, and what is
 * refused. POSIX "File Creation" (4.7 of the definitions), mkdir(2), mknod(2), open(2).
 */
import { O, S } from "../abi.ts";
import { type Kind, kinds, remove, typeBits } from "../files.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as, bob, carol, root, type User } from "../identity.ts";
import { closed, creatingOps } from "../ops.ts";
import { chmod, chown, mkdir, mkfifo, mknod, open, type Path, rmdir, symlink, umask } from "../sys.ts";
import { close } from "../sys_file.ts";

interface Creator {
  readonly name: string;
  readonly kind: Kind;
  readonly create: (path: Path, mode: number, at?: number) => number;
  readonly rootOnly?: true;
  /** Mode bits that the call takes; mkdir ignores set-id bits. */
  readonly takes: number;
}

const creators: readonly Creator[] = [
  {
    name: "open",
    kind: "regular",
    create: (p, mode, at) => closed(open(p, O.CREAT | O.WRONLY, mode, at)),
    takes: 0o7777,
  },
  { name: "mkdir", kind: "dir", create: (p, mode, at) => mkdir(p, mode, at), takes: 0o1777 },
  { name: "mkfifo", kind: "fifo", create: (p, mode, at) => mkfifo(p, mode, at), takes: 0o7777 },
  ...(["regular", "fifo", "socket", "char", "block"] as const).map((kind): Creator => ({
    name: `mknod ${kind}`,
    kind,
    create: (p, mode, at) => mknod(p, typeBits[kind], mode, 259, at),
    takes: 0o7777,
    ...(kind === "char" || kind === "block" ? { rootOnly: true } : {}),
  })),
];

const byAnyone = creators.filter((creator) => creator.rootOnly !== true);
const modes = [
  0,
  0o1,
  0o20,
  0o400,
  0o644,
  0o755,
  0o777,
  0o151,
  0o345,
  0o1755,
  0o2755,
  0o4755,
  0o7777,
  0o6000,
];
const masks = [0, 0o22, 0o27, 0o77, 0o137, 0o501, 0o777];

/** A new file made by `user` in a directory of its own making. */
function created(t: Test, creator: Creator, user: User, mode: number): string {
  const path = t.fresh();
  t.ok(as(user, () => creator.create(path, mode)), `${creator.name} ${octal(mode)}`);
  return path;
}

export const cases = collect((test) => {
  for (const creator of creators) {
    test(`${creator.name}/OK: the new file has the type and the mode & ~umask`, (t) => {
      for (const mask of masks) {
        for (const mode of modes) {
          umask(mask);
          const path = created(t, creator, root, mode);
          umask(0);
          const wanted = typeBits[creator.kind] | (mode & creator.takes & ~mask);
          t.is(t.stat(path).mode.toString(8), wanted.toString(8), `mode ${octal(mode)} umask ${octal(mask)}`);
          remove(path);
        }
      }
    });

    test(`${creator.name}/OK: only the file mode bits of the umask count`, (t) => {
      umask(0o7022);
      const path = created(t, creator, root, 0o1777);
      umask(0);
      t.is(octal(t.stat(path).mode), "1755");
    });

    test(`${creator.name}/OK: empty, one link, times of now, the parent's mtime and ctime move`, (t) => {
      const parent = t.make("dir");
      const path = `${parent}/new`;
      const before = t.stat(parent);
      t.changes(() => t.ok(creator.create(path, 0o755)), { [parent]: "mc" });
      const made = t.stat(path);
      t.is(made.nlink, creator.kind === "dir" ? 2 : 1, "links");
      if (creator.kind !== "dir") t.is(made.size, 0, "size");
      t.is(t.stat(parent).nlink, before.nlink + (creator.kind === "dir" ? 1 : 0), "links of the parent");
      t.is(made.atime, made.mtime, "atime and mtime");
      t.is(made.ctime, made.mtime, "ctime and mtime");
      const [sec, nsec] = t.stat(parent).mtime;
      t.holds(sec > made.ctime[0] || nsec >= made.ctime[1], "the parent's mtime not before the file's");
    });

    test(`${creator.name}/OK: relative to an open directory`, (t) => {
      const parent = t.make("dir");
      const fd = t.must(open(parent, O.RDONLY | O.DIRECTORY));
      t.ok(creator.create("new", 0o755, fd));
      t.ok(t.stat(`${parent}/new`).ino);
      close(fd);
    });

    test(`${creator.name}/ENOENT: in a directory that was removed while open`, (t) => {
      const parent = t.make("dir");
      const fd = t.must(open(parent, O.RDONLY | O.DIRECTORY));
      t.ok(rmdir(parent));
      t.fails(creator.create("new", 0o755, fd), "ENOENT");
      close(fd);
    });

    test(`${creator.name}/ENOTDIR: relative to something that is no directory`, (t) => {
      const fd = t.must(open(t.make("regular"), O.RDONLY));
      t.fails(creator.create("new", 0o755, fd), "ENOTDIR");
      close(fd);
      t.fails(creator.create("new", 0o755, 987), "EBADF");
    });
  }

  for (const creator of byAnyone) {
    test(`${creator.name}/OK: owner and group are the effective ids of the caller`, (t) => {
      chmod(t.dir, 0o777);
      for (const user of [root, alice, { uid: alice.uid, gid: bob.gid }, { ...alice, groups: [carol.gid] }]) {
        const { uid, gid } = t.stat(created(t, creator, user, 0o755));
        t.is([uid, gid], [user.uid, user.gid]);
      }
    });

    test(`${creator.name}/OK: a set-group-ID directory gives its group`, (t) => {
      const parent = t.make("dir", t.fresh(), { mode: 0o2777, gid: carol.gid });
      for (const user of [root, alice, { ...alice, groups: [carol.gid] }]) {
        const path = `${parent}/by${user.uid}.${user.groups?.length ?? 0}`;
        t.ok(as(user, () => creator.create(path, 0o755)));
        const { uid, gid, mode } = t.stat(path);
        t.is([uid, gid], [user.uid, carol.gid]);
        t.is(octal(mode), creator.kind === "dir" ? "2755" : "0755");
      }
    });

    test(`${creator.name}/OK: set-group-ID of a new file for a member of its group and for root only`, (t) => {
      const parent = t.make("dir", t.fresh(), { mode: 0o2777, gid: carol.gid });
      const wanted = new Map<User, string>([
        [root, "2755"],
        [{ ...alice, groups: [carol.gid] }, "2755"],
        [alice, creator.kind === "dir" ? "2755" : "0755"],
      ]);
      for (const [user, mode] of wanted) {
        const path = `${parent}/by${user.uid}.${user.groups?.length ?? 0}`;
        t.ok(as(user, () => creator.create(path, 0o2755)));
        t.is(octal(t.stat(path).mode), mode, `by ${user.uid}`);
      }
    });

    test(`${creator.name}/OK: write and search permission on the directory suffice`, (t) => {
      for (const [mode, uid, gid] of [[0o300, alice.uid, 0], [0o030, 0, alice.gid], [0o003, 0, 0]] as const) {
        const parent = t.make("dir", t.fresh(), { mode, uid, gid });
        t.ok(as(alice, () => creator.create(`${parent}/new`, 0o644)), octal(mode));
      }
    });

    test(`${creator.name}/OK: a supplementary group counts as the group`, (t) => {
      const parent = t.make("dir", t.fresh(), { mode: 0o070, gid: carol.gid });
      t.fails(as(alice, () => creator.create(`${parent}/no`, 0o644)), "EACCES");
      const member = { ...alice, groups: [bob.gid, carol.gid] };
      t.ok(as(member, () => creator.create(`${parent}/yes`, 0o644)));
    });
  }

  for (const type of ["IFCHR", "IFBLK"] as const) {
    test(`mknod/EPERM: a device needs privilege (${type})`, (t) => {
      const parent = t.make("dir", t.fresh(), { mode: 0o777 });
      t.refused(() => as(alice, () => mknod(`${parent}/x`, S[type], 0o666, 259)), "EPERM", [parent]);
    });
    test(`mknod/OK: device numbers come back (${type})`, (t) => {
      for (const [major, minor] of [[0, 1], [1, 3], [1, 255], [255, 256], [4095, 1048575], [7, 0]] as const) {
        const path = t.fresh();
        t.ok(mknod(path, S[type], 0o600, (minor & 0xff) + major * 256 + (minor & ~0xff) * 4096));
        const made = t.stat(path);
        t.is([made.major, made.minor], [major, minor]);
      }
    });
  }

  test("mknod/EPERM, EINVAL: a directory or a symbolic link is not made this way", (t) => {
    t.fails(mknod(t.fresh(), S.IFDIR), "EPERM");
    t.fails(mknod(t.fresh(), S.IFLNK), "EINVAL");
  });

  test("mknod/OK: no type means a regular file", (t) => {
    const path = t.fresh();
    t.ok(mknod(path, 0, 0o640));
    t.is(t.stat(path).mode.toString(8), "100640");
  });

  for (const kind of kinds) {
    test(`create/EEXIST: the name is a ${kind}`, (t) => {
      const existing = t.make(kind);
      for (const op of creatingOps) {
        const other = t.make("regular");
        t.refused(() => op.call(existing, other), "EEXIST", [existing, t.dir], op.name);
      }
    });
    test(`create/EEXIST: comes before EACCES on the directory (${kind})`, (t) => {
      const parent = t.make("dir");
      const existing = t.make(kind, `${parent}/x`);
      for (const op of creatingOps.filter((each) => !/char|block|link \(/.test(each.name))) {
        t.fails(as(alice, () => op.call(existing, "")), "EEXIST", op.name);
      }
    });
  }

  test("create/EEXIST: a link that leads nowhere, or in a circle, exists", (t) => {
    for (const target of ["nowhere", "loop"]) {
      const existing = t.make("symlink", t.at(target === "loop" ? "loop" : "dangling"), { target });
      for (const op of creatingOps) t.fails(op.call(existing, t.make("regular")), "EEXIST", op.name);
    }
  });

  test("create/EEXIST: . and .. exist", (t) => {
    const directory = t.make("dir");
    for (const op of creatingOps) {
      t.fails(op.call(`${directory}/.`, t.make("regular")), "EEXIST", `${op.name} .`);
      t.fails(op.call(`${directory}/..`, t.make("regular")), "EEXIST", `${op.name} ..`);
      t.fails(op.call("/", t.make("regular")), "EEXIST", `${op.name} /`);
    }
  });

  test("mkdir/OK: a slash after the new name", (t) => {
    t.ok(mkdir(t.at("new/")));
    t.ok(mkdir(t.at("new2///")));
    t.is(t.stat(t.at("new")).nlink, 2);
  });

  test("mkdir/EEXIST: a slash after an existing name", (t) => {
    t.fails(mkdir(`${t.make("dir")}/`), "EEXIST");
    t.fails(mkdir(`${t.make("regular")}/`), "EEXIST");
  });

  test("create/ENOENT: a slash after the new name of something that is no directory", (t) => {
    for (const op of creatingOps.filter((each) => each.name !== "mkdir")) {
      const errno = op.name.startsWith("open") ? "EISDIR" : "ENOENT";
      t.fails(op.call(t.at("new/"), t.make("regular")), errno, op.name);
    }
    t.fails(symlink("target", t.at("new/")), "ENOENT");
  });

  test("mkdir/OK: nlink of the parent counts its directories only", (t) => {
    const parent = t.make("dir");
    for (let i = 0; i < 5; i++) t.ok(mkdir(`${parent}/d${i}`));
    for (const kind of kinds.filter((each) => each !== "dir")) t.make(kind, `${parent}/${kind}`);
    t.is(t.stat(parent).nlink, 7);
    t.ok(rmdir(`${parent}/d0`));
    t.is(t.stat(parent).nlink, 6);
  });

  test("mkdir/OK: a set-group-ID parent hands the bit on, through every level", (t) => {
    const top = t.make("dir", t.fresh(), { mode: 0o2777, gid: carol.gid });
    t.ok(as(alice, () => mkdir(`${top}/a`, 0o700)));
    t.ok(as(alice, () => mkdir(`${top}/a/b`, 0o711)));
    t.is(octal(t.stat(`${top}/a/b`).mode), "2711");
    t.is(t.stat(`${top}/a/b`).gid, carol.gid);
    t.ok(chown(`${top}/a`, -1, bob.gid));
    t.is(octal(t.stat(`${top}/a`).mode), "2700", "chown of a directory leaves the bit");
  });
});

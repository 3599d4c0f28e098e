/**
 * What every call says about its path, POSIX "Pathname Resolution" and path_resolution(7): one clause a case, all calls in
 * it. The order of errors is that of the walk: each component in turn, then the last one.
 */
import { NAME_MAX, PATH_MAX, SYMLINKS_MAX } from "../abi.ts";
import { plainKinds } from "../files.ts";
import { collect, type Test } from "../harness.ts";
import { alice, as } from "../identity.ts";
import { creatingOps, isXattrOp, type PathOp, pathOps } from "../ops.ts";
import { chmod, chown, mkdir, rmdir, symlink } from "../sys.ts";

/** Runs `clause` for every call, with a regular file for those that take two paths. */
function eachOp(t: Test, ops: readonly PathOp[], clause: (op: PathOp, other: string) => void): void {
  for (const op of ops) clause(op, t.make("regular"));
}

/** A file that the call can be used on; for a creating call a name that does not exist. */
function subject(t: Test, op: PathOp, path: string): string {
  return op.creates === true ? path : t.make(op.wants ?? "regular", path);
}

/** A path of exactly `length` bytes whose directories exist; the last component does not. */
function longPath(t: Test, length: number): string {
  let path = t.dir;
  while (length - path.length - 1 > NAME_MAX) {
    // The last component keeps at least one byte.
    const room = Math.min(NAME_MAX, length - path.length - 3);
    path += `/${"d".repeat(room)}`;
    mkdir(path);
  }
  return `${path}/${"f".repeat(length - path.length - 1)}`;
}

export const cases = collect((test) => {
  for (const kind of plainKinds) {
    test(`path/ENOTDIR: a component of the prefix is a ${kind}`, (t) => {
      const file = t.make(kind);
      const linked = t.make("symlink", t.fresh(), { target: file });
      eachOp(t, pathOps, (op, other) => {
        t.fails(op.call(`${file}/x`, other), "ENOTDIR", op.name);
        t.fails(op.call(`${file}/x/y`, other), "ENOTDIR", `${op.name}, two below`);
        t.fails(op.call(`${linked}/x`, other), "ENOTDIR", `${op.name} through a link`);
      });
    });
  }

  test("path/ENOENT: a component of the prefix does not exist", (t) => {
    const dangling = t.make("symlink", t.fresh(), { target: "nowhere" });
    eachOp(t, pathOps, (op, other) => {
      t.fails(op.call(t.at("none/x"), other), "ENOENT", op.name);
      t.fails(op.call(`${dangling}/x`, other), "ENOENT", `${op.name} through a dangling link`);
    });
  });

  test("path/ENOENT: the file does not exist", (t) => {
    const ops = pathOps.filter((op) => op.creates !== true && op.name !== "rename (to)");
    eachOp(t, ops, (op, other) => t.fails(op.call(t.at("none"), other), "ENOENT", op.name));
  });

  test("path/ENOENT: following a dangling link", (t) => {
    const dangling = t.make("symlink", t.fresh(), { target: "nowhere" });
    const ops = pathOps.filter((op) => op.follows === true);
    eachOp(t, ops, (op, other) => t.fails(op.call(dangling, other), "ENOENT", op.name));
  });

  test("path/ENOENT: the empty path", (t) => {
    eachOp(t, pathOps, (op, other) => t.fails(op.call("", other), "ENOENT", op.name));
  });

  test("path/EFAULT: a bad address", (t) => {
    // A null path means the descriptor itself to utimensat and statx.
    const ops = pathOps.filter((op) => !/utimensat|stat$/.test(op.name));
    eachOp(t, ops, (op, other) => t.fails(op.call(null, other), "EFAULT", op.name));
  });

  test(`path/ENAMETOOLONG: a component of ${NAME_MAX + 1} bytes`, (t) => {
    const long = "x".repeat(NAME_MAX + 1);
    eachOp(t, pathOps, (op, other) => {
      t.fails(op.call(t.at(long), other), "ENAMETOOLONG", `${op.name}, last`);
      t.fails(op.call(t.at(`${long}/x`), other), "ENAMETOOLONG", `${op.name}, prefix`);
    });
  });

  test("path/ENAMETOOLONG: a long component behind an earlier error is not looked at", (t) => {
    const long = "x".repeat(NAME_MAX + 1);
    const file = t.make("regular");
    eachOp(t, pathOps, (op, other) => {
      t.fails(op.call(t.at(`none/${long}`), other), "ENOENT", `${op.name}, prefix missing`);
      t.fails(op.call(`${file}/${long}`, other), "ENOTDIR", `${op.name}, prefix no directory`);
    });
  });

  test(`path/OK: a component of ${NAME_MAX} bytes`, (t) => {
    pathOps.filter((op) => !isXattrOp(op)).forEach((op, index) => {
      const directory = t.make("dir");
      const other = t.make("regular", `${directory}/other`);
      const path = `${directory}/${String.fromCharCode(65 + index).repeat(NAME_MAX)}`;
      t.ok(op.call(subject(t, op, path), other), op.name);
    });
  });

  test(`path/OK: a name of ${NAME_MAX} bytes in UTF-8 letters of three bytes`, (t) => {
    const path = t.make("regular", t.at("語".repeat(NAME_MAX / 3)));
    t.ok(sizeOf(t, path));
    t.fails(mkdir(t.at("語".repeat(NAME_MAX / 3 + 1))), "ENAMETOOLONG");
  });

  test(`path/OK: a path of ${PATH_MAX - 1} bytes`, (t) => {
    const path = longPath(t, PATH_MAX - 1);
    t.is(path.length, PATH_MAX - 1);
    for (const op of pathOps.filter((each) => !isXattrOp(each))) {
      const other = t.make("regular");
      t.ok(op.call(subject(t, op, path), other), op.name);
      removeAny(path);
    }
  });

  test(`path/ENAMETOOLONG: a path of ${PATH_MAX} bytes`, (t) => {
    const path = longPath(t, PATH_MAX);
    eachOp(t, pathOps, (op, other) => t.fails(op.call(path, other), "ENAMETOOLONG", op.name));
  });

  test("path/ELOOP: a loop in the prefix", (t) => {
    const self = t.make("symlink", t.at("self"), { target: "self" });
    t.make("symlink", t.at("a"), { target: "b" });
    t.make("symlink", t.at("b"), { target: "a" });
    eachOp(t, pathOps, (op, other) => {
      t.fails(op.call(`${self}/x`, other), "ELOOP", op.name);
      t.fails(op.call(t.at("a/x"), other), "ELOOP", `${op.name}, two links`);
      t.fails(op.call(t.at("b/x"), other), "ELOOP", `${op.name}, the other of two links`);
    });
  });

  test("path/ELOOP: a loop as last component, for calls that follow", (t) => {
    const self = t.make("symlink", t.at("self"), { target: "self" });
    t.make("symlink", t.at("a"), { target: "b" });
    t.make("symlink", t.at("b"), { target: "a" });
    for (const op of pathOps.filter((each) => each.follows === true && each.name !== "open O_PATH")) {
      const other = t.make("regular");
      t.fails(op.call(self, other), "ELOOP", op.name);
      t.fails(op.call(t.at("a"), other), "ELOOP", `${op.name}, two links`);
    }
  });

  test("path/OK: calls that do not follow act on the link itself", (t) => {
    const ops = pathOps.filter((op) => op.follows !== true && op.creates !== true && op.wants !== "dir");
    eachOp(t, ops.filter((op) => !isXattrOp(op)), (op, other) => {
      const self = t.at(`loop${op.name}`);
      symlink(`loop${op.name}`, self);
      t.ok(op.call(self, other), op.name);
    });
  });

  test(`path/ELOOP: ${SYMLINKS_MAX} links are followed, one more is not`, (t) => {
    const target = t.make("regular");
    symlink(target, t.at("l0"));
    for (let i = 1; i <= SYMLINKS_MAX; i++) symlink(`l${i - 1}`, t.at(`l${i}`));
    for (const op of pathOps.filter((each) => each.follows === true && each.wants === undefined)) {
      t.ok(op.call(t.at(`l${SYMLINKS_MAX - 1}`), target), op.name);
      t.fails(op.call(t.at(`l${SYMLINKS_MAX}`), target), "ELOOP", op.name);
    }
  });

  for (const mode of [0o000, 0o600, 0o666]) {
    test(`path/EACCES: a directory of the prefix is not searchable (mode ${mode.toString(8)})`, (t) => {
      const closedDir = t.make("dir");
      t.make("regular", `${closedDir}/file`);
      t.make("dir", `${closedDir}/inner`);
      const mine = t.make("dir", t.fresh(), { mode: 0o777 });
      const linked = t.make("symlink", t.fresh(), { target: `${closedDir}/inner` });
      for (const owner of [alice.uid, 0]) {
        chown(closedDir, owner, owner);
        chmod(closedDir, mode);
        for (const op of pathOps) {
          const other = t.make("regular", t.fresh(`${mine.slice(t.dir.length + 1)}/o`), { uid: alice.uid });
          for (const name of ["file", "none", "inner/x", "file/x", "x".repeat(NAME_MAX + 1)]) {
            const result = as(alice, () => op.call(`${closedDir}/${name}`, other));
            t.fails(result, "EACCES", `${op.name} ${name.slice(0, 10)}, directory of ${owner}`);
          }
          t.fails(as(alice, () => op.call(`${linked}/x`, other)), "EACCES", `${op.name} through a link`);
        }
      }
    });
  }

  for (
    const [mode, owner, group, who] of [
      [0o077, alice.uid, 0, "owner"],
      [0o707, 0, alice.gid, "group"],
      [0o770, 0, 0, "others"],
    ] as const
  ) {
    test(`path/EACCES: only the class that applies counts, not what other classes may (${who})`, (t) => {
      const directory = t.make("dir");
      t.make("regular", `${directory}/file`);
      chown(directory, owner, group);
      chmod(directory, mode);
      eachOp(t, pathOps, (op, other) => {
        chown(other, alice.uid, alice.gid);
        t.fails(as(alice, () => op.call(`${directory}/file`, other)), "EACCES", op.name);
      });
    });
  }

  for (const [mode, uid, gid] of [[0o555, alice.uid, 0], [0o757, 0, alice.gid], [0o775, 0, 0]] as const) {
    test(`path/EACCES: no write permission on the directory (${mode.toString(8)}) to add a name`, (t) => {
      const directory = t.make("dir", t.fresh(), { mode, uid, gid });
      t.make("regular", `${directory}/old`);
      const mine = t.make("dir", t.fresh(), { mode: 0o777 });
      const ops = [...creatingOps, ...pathOps.filter((op) => op.name === "rename (to)")];
      for (const op of ops.filter((each) => !/mknod (char|block)/.test(each.name))) {
        const other = t.make("regular", t.fresh(`${mine.slice(t.dir.length + 1)}/o`), { uid: alice.uid });
        t.refused(() => as(alice, () => op.call(`${directory}/new`, other)), "EACCES", [directory], op.name);
      }
    });
    test(`path/EACCES: no write permission on the directory (${mode.toString(8)}) to take a name away`, (t) => {
      const directory = t.make("dir", t.fresh(), { mode, uid, gid });
      const file = t.make("regular", `${directory}/file`, { uid: alice.uid });
      const inner = t.make("dir", `${directory}/inner`, { uid: alice.uid });
      const mine = t.make("dir", t.fresh(), { mode: 0o777 });
      for (const op of pathOps.filter((each) => ["unlink", "rmdir", "rename (from)"].includes(each.name))) {
        const path = op.wants === "dir" ? inner : file;
        t.refused(() => as(alice, () => op.call(path, `${mine}/o`)), "EACCES", [directory, path], op.name);
      }
    });
  }

  test("path/OK: root needs no permission on directories", (t) => {
    const directory = t.make("dir");
    for (const op of pathOps.filter((each) => !isXattrOp(each))) {
      const path = subject(t, op, `${directory}/${t.fresh().slice(t.dir.length + 1)}`);
      const other = t.make("regular");
      chmod(directory, 0);
      t.ok(op.call(path, other), op.name);
    }
  });

  test("path/OK: slashes in a row, . and .. are walked", (t) => {
    const directory = t.make("dir", t.at("d"));
    t.make("regular", `${directory}/f`);
    t.make("symlink", t.at("l"), { target: "d/../d/." });
    const ino = t.stat(t.at("d/f")).ino;
    for (const path of ["d//f", "./d/f", "d/./f", "d/../d/f", "l/f", "l/../d/f"]) {
      t.is(t.stat(t.at(path)).ino, ino, path);
    }
    t.is(t.stat(t.at("d/..")).ino, t.stat(t.dir).ino, "..");
  });
});

function sizeOf(t: Test, path: string): number {
  return t.stat(path).size;
}

function removeAny(path: string): void {
  for (const op of pathOps) if (op.name === "unlink") op.call(path, "");
  rmdir(path);
}

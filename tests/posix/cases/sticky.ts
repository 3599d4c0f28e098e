/**
 * Who may take a name away: write permission on the directory, and in a sticky one only the owner of the directory, the
 * owner of the file, and root. unlink(2), rmdir(2), rename(2), chmod(1) on the sticky bit.
 */
import { RENAME } from "../abi.ts";
import { type Kind, kinds, nonDirKinds } from "../files.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as, bob, carol, root, type User } from "../identity.ts";
import { lstat, rename, rmdir, unlink } from "../sys.ts";

const users: readonly (readonly [string, User])[] = [["root", root], ["alice", alice], ["bob", bob]];

/** Directory of `owner`, file of `holder`, and whether `caller` may remove it. */
function each(action: (name: string, owner: User, holder: User, caller: User, may: boolean) => void): void {
  for (const [ownerName, owner] of users) {
    for (const [holderName, holder] of users) {
      for (const [callerName, caller] of users) {
        const may = caller.uid === 0 || caller.uid === owner.uid || caller.uid === holder.uid;
        action(`${callerName} in ${ownerName}'s directory, ${holderName}'s file`, owner, holder, caller, may);
      }
    }
  }
}

function scene(
  t: Test,
  kind: Kind,
  mode: number,
  owner: User,
  holder: User,
): { parent: string; path: string } {
  const parent = t.make("dir", t.fresh("d"), { mode, uid: owner.uid, gid: owner.gid });
  const path = t.make(kind, `${parent}/x`, { uid: holder.uid, gid: holder.gid });
  return { parent, path };
}

export const cases = collect((test) => {
  for (const mode of [0o1777, 0o777]) {
    const sticky = mode === 0o1777;
    const clause = sticky ? "EPERM: in a sticky directory" : "OK: in a directory that all may write";
    for (const kind of kinds) {
      test(`${kind === "dir" ? "rmdir" : "unlink"}/${clause}: a ${kind}`, (t) => {
        each((name, owner, holder, caller, may) => {
          const { path } = scene(t, kind, mode, owner, holder);
          const result = as(caller, () => kind === "dir" ? rmdir(path) : unlink(path));
          t.fails(result, !sticky || may ? "OK" : "EPERM", name);
          t.is(typeof lstat(path) === "number", !sticky || may, `${name}: gone`);
        });
      });

      test(`rename/${clause}: from it, a ${kind}`, (t) => {
        const open = t.make("dir", t.fresh(), { mode: 0o777 });
        each((name, owner, holder, caller, may) => {
          const { parent, path } = scene(t, kind, mode, owner, holder);
          const granted = !sticky || may;
          t.fails(as(caller, () => rename(path, `${parent}/y`)), granted ? "OK" : "EPERM", `${name}, within`);
          if (granted) t.must(rename(`${parent}/y`, path));
          // Another parent: .. of a directory is written, which takes write permission on it.
          const dotdot = kind !== "dir" || caller.uid === 0 || caller.uid === holder.uid;
          const away = `${open}/${t.fresh().slice(t.dir.length + 1)}`;
          t.fails(
            as(caller, () => rename(path, away)),
            !granted ? "EPERM" : dotdot ? "OK" : "EACCES",
            `${name}, away`,
          );
        });
      });

      test(`rename/${clause}: over a ${kind} in it`, (t) => {
        each((name, owner, holder, caller, may) => {
          const { parent, path } = scene(t, kind, mode, owner, holder);
          const own = t.make(kind === "dir" ? "dir" : "regular", `${parent}/own`, { uid: caller.uid });
          const [before, replaced] = [t.stat(own).ino, t.stat(path).ino];
          const granted = !sticky || may;
          t.fails(as(caller, () => rename(own, path)), granted ? "OK" : "EPERM", name);
          t.is(t.stat(path).ino, granted ? before : replaced, `${name}: which file`);
        });
      });
    }
  }

  test("rename/EPERM: RENAME_EXCHANGE asks both names in sticky directories", (t) => {
    each((name, owner, holder, caller, may) => {
      const { parent, path } = scene(t, "regular", 0o1777, owner, holder);
      const own = t.make("regular", `${parent}/own`, { uid: caller.uid });
      t.fails(as(caller, () => rename(own, path, RENAME.EXCHANGE)), may ? "OK" : "EPERM", name);
      t.fails(
        as(caller, () => rename(path, own, RENAME.EXCHANGE)),
        may ? "OK" : "EPERM",
        `${name}, reversed`,
      );
    });
  }, { needs: ["exchange"] });

  test("unlink/EACCES: write permission is asked before the sticky bit", (t) => {
    for (const mode of [0o1755, 0o1711, 0o1775]) {
      const { path, parent } = scene(t, "regular", mode, root, alice);
      t.fails(as(alice, () => unlink(path)), "EACCES", octal(mode));
      t.fails(as(alice, () => rename(path, `${parent}/y`)), "EACCES", octal(mode));
    }
  });

  test("unlink/EPERM: groups do not matter to the sticky bit", (t) => {
    const parent = t.make("dir", t.fresh(), { mode: 0o1777, gid: carol.gid });
    const path = t.make("regular", `${parent}/x`, { uid: bob.uid, gid: carol.gid, mode: 0o666 });
    t.fails(as({ ...alice, groups: [carol.gid] }, () => unlink(path)), "EPERM");
    t.fails(as({ uid: alice.uid, gid: carol.gid }, () => unlink(path)), "EPERM");
  });

  for (const kind of kinds) {
    test(`rename/EACCES: no write permission on the directory of either name (${kind})`, (t) => {
      const own = { uid: alice.uid, gid: alice.gid };
      const open = t.make("dir", t.fresh(), { ...own, mode: 0o755 });
      for (const mode of [0o555, 0o500, 0o455]) {
        const closed = t.make("dir", t.fresh(), { ...own, mode });
        const inside = t.make(kind, `${closed}/x`, own);
        const mine = t.make(kind, `${open}/x${mode}`, own);
        const watched = [open, closed];
        const errno = "EACCES";
        t.refused(() => as(alice, () => rename(inside, `${open}/y`)), errno, watched, `from ${octal(mode)}`);
        t.refused(() => as(alice, () => rename(mine, `${closed}/y`)), errno, watched, `to ${octal(mode)}`);
        t.refused(() => as(alice, () => rename(mine, inside)), errno, watched, `over, ${octal(mode)}`);
        t.refused(() => as(alice, () => rename(inside, `${closed}/y`)), errno, watched, `in ${octal(mode)}`);
      }
    });
  }

  test("rename/EACCES: a directory without write permission into another parent, for its owner too", (t) => {
    const own = { uid: alice.uid, gid: alice.gid };
    const [from, to] = [t.make("dir", t.fresh(), own), t.make("dir", t.fresh(), own)];
    const moved = t.make("dir", `${from}/d`, { ...own, mode: 0o555 });
    t.fails(as(alice, () => rename(moved, `${to}/d`)), "EACCES");
    t.ok(as(alice, () => rename(moved, `${from}/e`)), "within its parent");
    t.ok(rename(`${from}/e`, `${to}/d`), "by root");
  });

  for (const kind of nonDirKinds) {
    test(`unlink/EACCES: no write permission on the directory (${kind})`, (t) => {
      for (const mode of [0o555, 0o500, 0o600, 0o455]) {
        const parent = t.make("dir", t.fresh(), { mode, uid: alice.uid });
        const path = t.make(kind, `${parent}/x`, { uid: alice.uid });
        t.refused(() => as(alice, () => unlink(path)), "EACCES", [parent, path], octal(mode));
        t.ok(unlink(path));
      }
    });
  }

  test("rmdir/EACCES: no write permission on the parent", (t) => {
    for (const mode of [0o555, 0o500, 0o600, 0o455]) {
      const parent = t.make("dir", t.fresh(), { mode, uid: alice.uid });
      const path = t.make("dir", `${parent}/x`, { uid: alice.uid });
      t.refused(() => as(alice, () => rmdir(path)), "EACCES", [parent, path], octal(mode));
    }
  });
});

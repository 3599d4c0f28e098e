/** chown(2), lchown(2), fchown(2): who may give a file to whom, and what it does to its bits. */
import { O } from "../abi.ts";
import { type Kind, kinds, nonDirKinds } from "../files.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as, bob, carol, root, type User } from "../identity.ts";
import { chmod, chown, lchown, open } from "../sys.ts";
import { close, fchown } from "../sys_file.ts";

const stranger = 61000;

/** chown or lchown: a link is not followed. */
const chownOf = (kind: Kind) => kind === "symlink" ? lchown : chown;

function ownerOf(t: Test, path: string): [number, number] {
  const { uid, gid } = t.stat(path);
  return [uid, gid];
}

export const cases = collect((test) => {
  for (const kind of kinds) {
    test(`chown/OK: root gives a ${kind} to anybody; -1 leaves an id; ctime moves`, (t) => {
      const path = t.make(kind);
      const change = chownOf(kind);
      t.changes(() => t.ok(change(path, 123, 456)), { [path]: "c", [t.dir]: "" });
      t.is(ownerOf(t, path), [123, 456]);
      t.ok(change(path, -1, 7));
      t.is(ownerOf(t, path), [123, 7]);
      t.ok(change(path, 8, -1));
      t.is(ownerOf(t, path), [8, 7]);
      t.changes(() => t.ok(change(path, 8, 7)), { [path]: "c" }, "the same ids");
      t.ok(change(path, 0xfffffffe, 0xfffffffd));
      t.is(ownerOf(t, path), [0xfffffffe, 0xfffffffd]);
      t.ok(change(path, 0, 0));
      t.is(ownerOf(t, path), [0, 0]);
    });

    test(`chown/EPERM: who may change owner and group of a ${kind}`, (t) => {
      const change = chownOf(kind);
      const member: User = { ...alice, groups: [carol.gid] };
      for (const owner of [alice.uid, bob.uid, 0]) {
        for (const group of [alice.gid, bob.gid, carol.gid]) {
          for (const uid of [-1, alice.uid, bob.uid, 0, stranger]) {
            for (const gid of [-1, alice.gid, carol.gid, bob.gid, 0, stranger]) {
              if (uid === -1 && gid === -1) continue;
              const path = t.make(kind, t.fresh(), { uid: owner, gid: group });
              const keepsOwner = uid === -1 || uid === owner;
              const groupAllowed = gid === -1 || gid === group || gid === alice.gid || gid === carol.gid;
              const may = owner === alice.uid && keepsOwner && groupAllowed;
              const name = `${owner}:${group} to ${uid}:${gid}`;
              t.fails(as(member, () => change(path, uid, gid)), may ? "OK" : "EPERM", name);
              const wanted = may ? [owner, gid === -1 ? group : gid] : [owner, group];
              t.is(ownerOf(t, path), wanted, name);
            }
          }
        }
      }
    });

    test(`chown/EPERM: a refused change of a ${kind} leaves its times`, (t) => {
      const path = t.make(kind, t.fresh(), { uid: alice.uid, gid: alice.gid });
      const change = chownOf(kind);
      t.refused(() => as(alice, () => change(path, bob.uid, -1)), "EPERM", [path]);
      t.refused(() => as(alice, () => change(path, -1, bob.gid)), "EPERM", [path]);
      t.refused(() => as(bob, () => change(path, bob.uid, bob.gid)), "EPERM", [path]);
    });

    test(`chown/OK: -1, -1 on a ${kind} is allowed to all and moves ctime only`, (t) => {
      const path = t.make(kind, t.fresh(), { uid: alice.uid, gid: alice.gid, mode: 0o755 });
      const before = t.stat(path);
      for (const user of [alice, root, bob]) {
        t.changes(() => t.ok(as(user, () => chownOf(kind)(path, -1, -1))), { [path]: "c" }, `by ${user.uid}`);
      }
      const after = t.stat(path);
      t.is({ ...after, ctime: before.ctime }, before);
    });
  }

  for (const kind of nonDirKinds.filter((each) => each !== "symlink")) {
    test(`chown/OK: clears the set-id bits of a ${kind}, whoever calls`, (t) => {
      const member: User = { ...alice, groups: [carol.gid] };
      const wanted = [[0o6755, 0o755], [0o4711, 0o711], [0o2775, 0o775], [0o6777, 0o777], [
        0o4644,
        0o644,
      ]] as const;
      for (const user of [member, root]) {
        for (const [mode, after] of wanted) {
          for (const gid of [carol.gid, alice.gid]) {
            const path = t.make(kind, t.fresh(), { mode, uid: alice.uid, gid: alice.gid });
            t.ok(as(user, () => chown(path, alice.uid, gid)));
            t.is(octal(t.stat(path).mode), octal(after), `${octal(mode)} by ${user.uid} to group ${gid}`);
          }
        }
      }
    });

    test(`chown/OK: -1, -1 clears the set-id bits of a ${kind}, for its owner and root`, (t) => {
      for (const user of [alice, root]) {
        const path = t.make(kind, t.fresh(), { mode: 0o6755, uid: alice.uid, gid: alice.gid });
        t.ok(as(user, () => chown(path, -1, -1)), `by ${user.uid}`);
        t.is(octal(t.stat(path).mode), "0755", `by ${user.uid}`);
      }
    });

    test(`chown/EPERM: -1, -1 by a stranger on a ${kind} with set-id bits`, (t) => {
      const path = t.make(kind, t.fresh(), { mode: 0o6755, uid: alice.uid, gid: alice.gid });
      t.fails(as(bob, () => chown(path, -1, -1)), "EPERM");
      t.is(octal(t.stat(path).mode), "6755");
    });

    test(`chown/EPERM: a refused change leaves the set-id bits of a ${kind}`, (t) => {
      const path = t.make(kind, t.fresh(), { mode: 0o6755, uid: alice.uid, gid: alice.gid });
      t.fails(as(alice, () => chown(path, bob.uid, -1)), "EPERM");
      t.fails(as(bob, () => chown(path, -1, bob.gid)), "EPERM");
      t.is(octal(t.stat(path).mode), "6755");
    });
  }

  test("chown/OK: set-group-ID without group execute stays for root and members", (t) => {
    for (const user of [root, { ...alice, groups: [carol.gid] }]) {
      const path = t.make("regular", t.fresh(), { mode: 0o2744, uid: alice.uid, gid: alice.gid });
      t.ok(as(user, () => chown(path, -1, carol.gid)));
      t.is(octal(t.stat(path).mode), "2744", `by ${user.uid}`);
    }
  });

  test("chown/OK: a directory keeps its bits", (t) => {
    for (const user of [root, { ...alice, groups: [carol.gid] }]) {
      for (const mode of [0o6755, 0o2775, 0o7777]) {
        const path = t.make("dir", t.fresh(), { mode, uid: alice.uid, gid: alice.gid });
        t.ok(as(user, () => chown(path, -1, carol.gid)));
        t.is(octal(t.stat(path).mode), octal(mode), `by ${user.uid}`);
      }
    }
  });

  test("chown/OK: follows a link, lchown does not", (t) => {
    const file = t.make("regular");
    const link = t.make("symlink", t.fresh(), { target: file });
    t.changes(() => t.ok(chown(link, 5, 6)), { [file]: "c" });
    t.is([ownerOf(t, file), ownerOf(t, link)], [[5, 6], [0, 0]]);
    t.changes(() => t.ok(lchown(link, 7, 8)), { [file]: "", [link]: "c" });
    t.is([ownerOf(t, file), ownerOf(t, link)], [[5, 6], [7, 8]]);
  });

  test("fchown/OK: through a descriptor; EPERM when the caller may not", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o6777 });
    const fd = t.must(open(path, O.RDWR));
    t.changes(() => t.ok(fchown(fd, alice.uid, carol.gid)), { [path]: "c" });
    t.is(ownerOf(t, path), [alice.uid, carol.gid]);
    t.is(octal(t.stat(path).mode), "0777");
    t.fails(as(bob, () => fchown(fd, bob.uid, -1)), "EPERM");
    t.ok(as(alice, () => fchown(fd, -1, alice.gid)));
    close(fd);
    t.fails(fchown(987, 1, 1), "EBADF");
  });

  test("chown/OK: the new owner has the owner's rights, the old one no more", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o600, uid: alice.uid });
    t.ok(chown(path, bob.uid, -1));
    t.fails(as(alice, () => open(path, O.RDONLY)), "EACCES");
    const fd = t.ok(as(bob, () => open(path, O.RDONLY)));
    t.ok(as(bob, () => chmod(path, 0o640)));
    t.fails(as(alice, () => chmod(path, 0o640)), "EPERM");
    close(fd);
  });
});

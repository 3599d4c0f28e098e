/** Extended attributes: xattr(7), setxattr(2), getxattr(2), listxattr(2), removexattr(2). ACLs are in acl.ts. */
import { XATTR } from "../abi.ts";
import { type Kind, kinds } from "../files.ts";
import { collect } from "../harness.ts";
import { alice, as, bob } from "../identity.ts";
import {
  chmod,
  getxattr,
  link,
  listxattr,
  removexattr,
  rename,
  setxattr,
  setxattrFollow,
  unlink,
  xattrLength,
  xattrListLength,
} from "../sys.ts";
import { written } from "./open.ts";

const text = (value: Uint8Array | number) =>
  typeof value === "number" ? value : new TextDecoder("latin1").decode(value);
/** An access ACL or a security label of the host's own is no business of these cases. */
const userNames = (names: string[] | number) =>
  typeof names === "number" ? names : names.filter((name) => /^(user|trusted)\./.test(name));

const userKinds: readonly Kind[] = ["regular", "dir"];

export const cases = collect((test) => {
  for (const kind of userKinds) {
    test(`setxattr/OK: set, read, replace, list, remove on a ${kind}; ctime moves`, (t) => {
      const path = t.make(kind);
      t.changes(() => t.ok(setxattr(path, "user.a", "one")), { [path]: "c", [t.dir]: "" });
      t.is(text(getxattr(path, "user.a")), "one");
      t.ok(setxattr(path, "user.b", ""));
      t.is(text(getxattr(path, "user.b")), "", "an empty value is a value");
      t.is(userNames(listxattr(path)), ["user.a", "user.b"]);
      t.changes(() => t.ok(setxattr(path, "user.a", "another")), { [path]: "c" });
      t.is(text(getxattr(path, "user.a")), "another");
      t.changes(() => t.ok(removexattr(path, "user.a")), { [path]: "c" });
      t.fails(getxattr(path, "user.a"), "ENODATA");
      t.is(userNames(listxattr(path)), ["user.b"]);
      t.changes(() => t.fails(removexattr(path, "user.a"), "ENODATA"), { [path]: "" });
    }, { needs: ["user xattr"] });

    test(`setxattr/EEXIST, ENODATA: CREATE and REPLACE on a ${kind}`, (t) => {
      const path = t.make(kind);
      t.fails(setxattr(path, "user.a", "x", XATTR.REPLACE), "ENODATA");
      t.ok(setxattr(path, "user.a", "1", XATTR.CREATE));
      t.refused(() => setxattr(path, "user.a", "2", XATTR.CREATE), "EEXIST", [path]);
      t.is(text(getxattr(path, "user.a")), "1");
      t.ok(setxattr(path, "user.a", "3", XATTR.REPLACE));
      t.is(text(getxattr(path, "user.a")), "3");
      t.fails(setxattr(path, "user.a", "4", 4), "EINVAL", "unknown flags");
    }, { needs: ["user xattr"] });
  }

  for (const kind of kinds.filter((each) => !userKinds.includes(each))) {
    test(`setxattr/EPERM: user attributes of a ${kind}`, (t) => {
      const path = t.make(kind);
      t.fails(setxattr(path, "user.a", "x"), "EPERM");
      t.fails(getxattr(path, "user.a"), "ENODATA");
      t.fails(removexattr(path, "user.a"), "EPERM");
      t.is(userNames(listxattr(path)), []);
    }, { needs: ["user xattr"] });
  }

  for (const kind of kinds) {
    test(`setxattr/OK: trusted attributes of a ${kind}, for root; others do not see them`, (t) => {
      const path = t.make(kind, t.fresh(), { mode: 0o777, uid: alice.uid });
      t.ok(setxattr(path, "trusted.a", "secret"));
      t.is(text(getxattr(path, "trusted.a")), "secret");
      t.is(userNames(listxattr(path)), ["trusted.a"]);
      t.fails(as(alice, () => getxattr(path, "trusted.a")), "ENODATA");
      t.fails(as(alice, () => setxattr(path, "trusted.a", "x")), "EPERM");
      t.fails(as(alice, () => removexattr(path, "trusted.a")), "EPERM");
      t.is(as(alice, () => userNames(listxattr(path))), []);
      t.ok(removexattr(path, "trusted.a"));
      t.is(userNames(listxattr(path)), []);
    }, { needs: ["trusted xattr"] });
  }

  test("getxattr/ERANGE: a buffer too small; 0 asks for the length", (t) => {
    const path = t.make("regular");
    t.ok(setxattr(path, "user.a", "0123456789"));
    t.is(xattrLength(path, "user.a", 0), 10);
    t.fails(xattrLength(path, "user.a", 9), "ERANGE");
    t.is(xattrLength(path, "user.a", 10), 10);
    const all = xattrListLength(path, 0);
    t.holds(all >= "user.a".length + 1, `a length of the list, got ${all}`);
    t.fails(xattrListLength(path, all - 1), "ERANGE");
    t.is(xattrListLength(path, all), all);
  }, { needs: ["user xattr"] });

  test("setxattr/ERANGE: a name of 256 bytes, and an empty one; 255 is fine", (t) => {
    const path = t.make("regular");
    t.fails(setxattr(path, "user." + "n".repeat(251), "x"), "ERANGE");
    t.fails(getxattr(path, "user." + "n".repeat(251)), "ERANGE");
    t.fails(setxattr(path, "", "x"), "ERANGE");
    const longest = "user." + "n".repeat(250);
    t.ok(setxattr(path, longest, "x"));
    t.is(userNames(listxattr(path)), [longest]);
    t.ok(removexattr(path, longest));
  }, { needs: ["user xattr"] });

  test("setxattr/EOPNOTSUPP: a name without a known namespace; EINVAL: a namespace alone", (t) => {
    const path = t.make("regular");
    t.fails(setxattr(path, "plain", "x"), "EOPNOTSUPP");
    t.fails(setxattr(path, "other.a", "x"), "EOPNOTSUPP");
    t.fails(getxattr(path, "plain"), "EOPNOTSUPP");
    t.fails(setxattr(path, "user.", "x"), "EINVAL");
  }, { needs: ["user xattr"] });

  test("setxattr/OK: values of every length up to 1024 at steps, bytes as they are", (t) => {
    const path = t.make("regular");
    for (const length of [1, 2, 31, 32, 255, 256, 1000, 1024]) {
      const value = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 0xff);
      t.ok(setxattr(path, "user.a", value), `${length} bytes`);
      t.is(getxattr(path, "user.a"), value);
    }
  }, { needs: ["user xattr"] });

  test("setxattr/OK: a value of 64 KiB; E2BIG for more", (t) => {
    const path = t.make("regular");
    const value = Uint8Array.from({ length: 65536 }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
    t.ok(setxattr(path, "user.big", value));
    const got = getxattr(path, "user.big");
    t.holds(text(got) === text(value), "every byte back");
    t.is(xattrLength(path, "user.big", 0), 65536);
    t.fails(setxattr(path, "user.big", new Uint8Array(65537)), "E2BIG");
    t.ok(removexattr(path, "user.big"));
  }, { needs: ["large xattr"] });

  test("setxattr/OK: a hundred attributes on one file", (t) => {
    const path = t.make("regular");
    const names = Array.from({ length: 100 }, (_, i) => `user.n${String(i).padStart(3, "0")}`);
    names.forEach((name, i) => t.ok(setxattr(path, name, `v${i}`)));
    t.is(userNames(listxattr(path)), names);
    names.forEach((name, i) => t.is(text(getxattr(path, name)), `v${i}`));
    names.slice(0, 50).forEach((name) => t.ok(removexattr(path, name)));
    t.is(userNames(listxattr(path)), names.slice(50));
  }, { needs: ["user xattr"] });

  test("setxattr/EACCES: user attributes follow the permission bits of a file", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o644, uid: alice.uid });
    t.ok(as(alice, () => setxattr(path, "user.a", "x")));
    t.refused(() => as(bob, () => setxattr(path, "user.a", "y")), "EACCES", [path]);
    t.refused(() => as(bob, () => removexattr(path, "user.a")), "EACCES", [path]);
    t.is(as(bob, () => text(getxattr(path, "user.a"))), "x");
    chmod(path, 0o600);
    t.fails(as(bob, () => getxattr(path, "user.a")), "EACCES");
    t.is(as(bob, () => userNames(listxattr(path))), ["user.a"], "names are not protected");
    chmod(path, 0o666);
    t.ok(as(bob, () => setxattr(path, "user.a", "y")));
    chmod(path, 0o444);
    t.fails(as(alice, () => setxattr(path, "user.a", "z")), "EACCES", "the owner without write permission");
    t.ok(setxattr(path, "user.a", "z"), "root");
  }, { needs: ["user xattr"] });

  test("setxattr/EPERM: user attributes of a sticky directory are its owner's", (t) => {
    const path = t.make("dir", t.fresh(), { mode: 0o1777, uid: alice.uid });
    t.fails(as(bob, () => setxattr(path, "user.a", "x")), "EPERM");
    t.ok(as(alice, () => setxattr(path, "user.a", "x")));
    chmod(path, 0o777);
    t.ok(as(bob, () => setxattr(path, "user.a", "y")));
  }, { needs: ["user xattr"] });

  test("setxattr/OK: security attributes are root's", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o666, uid: alice.uid });
    t.fails(as(alice, () => setxattr(path, "security.test", "x")), "EPERM");
    t.ok(setxattr(path, "security.test", "x"));
    t.is(as(alice, () => text(getxattr(path, "security.test"))), "x");
    t.ok(removexattr(path, "security.test"));
  }, { needs: ["trusted xattr"] });

  test(
    "setxattr/OK: attributes belong to the file: links share them, rename keeps, a new file has none",
    (t) => {
      const path = t.make("regular");
      t.ok(setxattr(path, "user.a", "x"));
      t.ok(link(path, t.at("second")));
      t.is(text(getxattr(t.at("second"), "user.a")), "x");
      t.ok(rename(path, t.at("moved")));
      t.is(text(getxattr(t.at("moved"), "user.a")), "x");
      t.ok(unlink(t.at("moved")));
      t.is(text(getxattr(t.at("second"), "user.a")), "x");
      t.ok(unlink(t.at("second")));
      t.make("regular", path);
      t.is(userNames(listxattr(path)), []);
    },
    { needs: ["user xattr"] },
  );

  test("setxattr/OK: the call that follows acts on the target of a link", (t) => {
    const file = t.make("regular");
    const symbolic = t.make("symlink", t.fresh(), { target: file });
    t.ok(setxattrFollow(symbolic, "user.a", "x"));
    t.is(text(getxattr(file, "user.a")), "x");
    t.is(userNames(listxattr(symbolic)), []);
  }, { needs: ["user xattr"] });

  test("write/OK: a file capability goes when the file is written or given away", (t) => {
    const path = written(t, "x", t.fresh(), 0o755);
    // VFS_CAP_REVISION_2, permitted cap_net_raw; layout: linux/capability.h
    const capability = new Uint8Array([0, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const has = () => typeof getxattr(path, "security.capability") !== "number";
    t.ok(setxattr(path, "security.capability", capability));
    t.is(has(), true);
    written(t, "y", path, 0o755);
    t.is(has(), false, "written by root");
    t.ok(setxattr(path, "security.capability", capability));
    t.fails(as(alice, () => setxattr(path, "security.capability", capability)), "EPERM");
  }, { needs: ["trusted xattr"] });
});

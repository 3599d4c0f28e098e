/** POSIX access control lists: acl(5). Set through the attributes that setfacl(1) uses; the programs themselves at the end. */
import { ACCESS, O } from "../abi.ts";
import { aclOf, aclValue, defaultAclOf, encodeAcl, setAcl, setDefaultAcl } from "../acl_format.ts";
import { type Kind, kinds } from "../files.ts";
import { collect, octal, type Test } from "../harness.ts";
import { alice, as, bob, carol, type User } from "../identity.ts";
import { closed } from "../ops.ts";
import {
  access,
  chmod,
  chown,
  listxattr,
  mkdir,
  mkfifo,
  open,
  removexattr,
  setxattr,
  symlink,
  umask,
} from "../sys.ts";

const needs = ["acl"] as const;
const [a, b, c] = [alice.uid, bob.uid, carol.uid];
const accessName = "system.posix_acl_access";
const defaultName = "system.posix_acl_default";

/** What `user` may do with the file: "rwx" with dashes. */
function rights(user: User, path: string): string {
  const may = (bit: number) => as(user, () => access(path, bit)) >= 0;
  return (may(ACCESS.R) ? "r" : "-") + (may(ACCESS.W) ? "w" : "-") + (may(ACCESS.X) ? "x" : "-");
}

const namesOf = (path: string) => {
  const names = listxattr(path);
  return typeof names === "number" ? names : names.filter((name) => name.startsWith("system.posix_acl"));
};

/** A directory with a default ACL, writable by all. */
function directoryWithDefault(t: Test, text: string): string {
  const directory = t.make("dir", t.fresh(), { mode: 0o777 });
  t.must(setDefaultAcl(directory, text));
  return directory;
}

export const cases = collect((test) => {
  test("acl/OK: an ACL of three entries is the mode, and is not kept", (t) => {
    const path = t.make("regular");
    t.changes(() => t.ok(setAcl(path, "u::rwx,g::r-x,o::--x")), { [path]: "c" });
    t.is(octal(t.stat(path).mode), "0751");
    t.fails(aclOf(path), "ENODATA");
    t.is(namesOf(path), []);
  }, { needs });

  test("acl/OK: named entries come back; the mask is the mode's group bits", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o640 });
    const text = `u::rw-,u:${c}:r--,u:${a}:rwx,g::r--,g:${b}:-w-,m::rw-,o::---`;
    t.ok(setAcl(path, text));
    t.is(aclOf(path), `u::rw-,u:${c}:r--,u:${a}:rwx,g::r--,g:${b}:-w-,m::rw-,o::---`);
    t.is(octal(t.stat(path).mode), "0660");
    t.is(namesOf(path), [accessName]);
  }, { needs });

  test("acl/OK: who may what: owner, named user, groups through the mask, others", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o600, uid: a, gid: 4711 });
    t.ok(setAcl(path, `u::rw-,u:${b}:rwx,g::r--,g:4712:-wx,m::rw-,o::--x`));
    t.is(rights(alice, path), "rw-", "owner");
    t.is(rights(bob, path), "rw-", "a named user, masked");
    t.is(
      rights({ uid: b, gid: 1, groups: [4711, 4712] }, path),
      "rw-",
      "a named user's groups do not matter",
    );
    t.is(rights({ uid: c, gid: 4711 }, path), "r--", "the owning group");
    t.is(rights({ uid: c, gid: 4712 }, path), "-w-", "a named group, masked");
    t.is(rights({ uid: c, gid: 1, groups: [4711, 4712] }, path), "rw-", "any group that grants");
    t.is(rights(carol, path), "--x", "others");
    const both = { uid: c, gid: 4711, groups: [4712] };
    // One entry must grant all that is asked.
    t.fails(as(both, () => closed(open(path, O.RDWR))), "EACCES", "no one entry grants both");
    t.ok(as(bob, () => closed(open(path, O.RDWR))), "the named user's does");
  }, { needs });

  test("acl/OK: a member of a named group that refuses does not fall through to others", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o600, gid: 4711 });
    t.ok(setAcl(path, `u::rw-,u:${b}:---,g::---,g:4712:---,m::rwx,o::rwx`));
    t.is(rights(bob, path), "---");
    t.is(rights({ uid: c, gid: 4712 }, path), "---");
    t.is(rights({ uid: c, gid: 4711 }, path), "---");
    t.is(rights(carol, path), "rwx");
  }, { needs });

  test("acl/OK: a directory's ACL is asked for search and for new names", (t) => {
    const directory = t.make("dir", t.fresh(), { mode: 0o700 });
    t.make("regular", `${directory}/f`);
    t.ok(setAcl(directory, `u::rwx,u:${a}:rwx,u:${b}:r-x,g::---,m::rwx,o::---`));
    t.ok(as(alice, () => mkdir(`${directory}/new`)));
    t.fails(as(bob, () => mkdir(`${directory}/no`)), "EACCES");
    t.ok(as(bob, () => closed(open(`${directory}/f`, O.RDONLY))));
    t.fails(as(carol, () => open(`${directory}/f`, O.RDONLY)), "EACCES");
  }, { needs });

  test("chmod/OK: with a mask the group bits change the mask, without it the group", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o600, uid: a, gid: 4711 });
    t.ok(setAcl(path, `u::rw-,u:${b}:rw-,g::r--,m::rw-,o::---`));
    t.ok(chmod(path, 0o742));
    t.is(aclOf(path), `u::rwx,u:${b}:rw-,g::r--,m::r--,o::-w-`);
    t.is(rights(bob, path), "r--");
    t.ok(chmod(path, 0o4770));
    t.is(aclOf(path), `u::rwx,u:${b}:rw-,g::r--,m::rwx,o::---`);
    t.is(octal(t.stat(path).mode), "4770");
    t.is(rights(bob, path), "rw-");
  }, { needs });

  test("setxattr/OK: setting an ACL sets the mode's bits, the set-id bits stay", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o6755 });
    t.ok(setAcl(path, `u::rw-,u:${a}:r--,g::---,m::r--,o::---`));
    t.is(octal(t.stat(path).mode), "6640");
  }, { needs });

  test("setxattr/OK: an ACL set by one who is not in the group takes set-group-ID away", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o2755, uid: a, gid: 4711 });
    t.ok(as(alice, () => setAcl(path, `u::rwx,u:${b}:r--,g::r-x,m::r-x,o::---`)));
    t.is(octal(t.stat(path).mode), "0750");
  }, { needs });

  test("removexattr/OK: without the ACL the mode stays as it was shown", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o600 });
    t.ok(setAcl(path, `u::rw-,u:${a}:rwx,g::---,m::rwx,o::r--`));
    t.is(octal(t.stat(path).mode), "0674");
    t.ok(removexattr(path, accessName));
    t.is(octal(t.stat(path).mode), "0674");
    t.fails(aclOf(path), "ENODATA");
    t.ok(removexattr(path, accessName), "a second time is no error");
  }, { needs });

  test("setxattr/EPERM: an ACL is the owner's to set", (t) => {
    const path = t.make("regular", t.fresh(), { mode: 0o666, uid: a });
    t.refused(() => as(bob, () => setAcl(path, "u::rwx,g::rwx,o::rwx")), "EPERM", [path]);
    t.fails(as(bob, () => removexattr(path, accessName)), "EPERM");
    t.ok(as(alice, () => setAcl(path, `u::rw-,u:${b}:r--,g::r--,m::r--,o::---`)));
    t.is(as(carol, () => aclOf(path)), `u::rw-,u:${b}:r--,g::r--,m::r--,o::---`, "and everybody's to read");
  }, { needs });

  test("setxattr/EINVAL: ACLs that are none", (t) => {
    const path = t.make("regular");
    const good = aclValue("u::rw-,g::r--,o::r--");
    const noMask = aclValue(`u::rw-,u:${a}:r--,g::r--,o::r--`);
    const twice = aclValue("u::rw-,u::rw-,g::r--,o::r--");
    const sameUser = aclValue(`u::rw-,u:${a}:r--,u:${a}:rw-,g::r--,m::rw-,o::r--`);
    const entry = (tag: number, bits: number) => ({ tag, bits, id: 0xffffffff });
    const wrong: Record<string, Uint8Array> = {
      "no other": aclValue("u::rw-,g::r--"),
      "no user": aclValue("g::r--,o::r--"),
      "named without mask": noMask,
      "two owners": twice,
      "bits past rwx": encodeAcl([entry(1, 8), entry(4, 4), entry(0x20, 4)]),
      "unknown tag": encodeAcl([entry(1, 6), entry(4, 4), entry(0x40, 4), entry(0x20, 4)]),
      "cut short": good.slice(0, good.length - 3),
      "empty list": encodeAcl([entry(2, 7)]),
    };
    for (const [name, value] of Object.entries(wrong)) {
      t.fails(setxattr(path, accessName, value), "EINVAL", name);
    }
    t.fails(setxattr(path, accessName, encodeAcl([entry(1, 6)], 7)), "EOPNOTSUPP", "version");
    t.is(octal(t.stat(path).mode), "0644");
    t.fails(setxattr(path, accessName, sameUser), ["OK", "EINVAL"], "one user twice");
  }, { needs });

  test("setxattr/EACCES: a default ACL on anything but a directory", (t) => {
    for (const kind of ["regular", "fifo", "socket"] as const) {
      t.fails(setDefaultAcl(t.make(kind), "u::rwx,g::r-x,o::---"), "EACCES", kind);
    }
    t.fails(setDefaultAcl(t.make("symlink"), "u::rwx,g::r-x,o::---"), "EOPNOTSUPP");
    t.fails(setAcl(t.make("symlink"), "u::rwx,g::r-x,o::---"), "EOPNOTSUPP");
  }, { needs });

  for (const kind of kinds.filter((each) => each !== "symlink")) {
    test(`acl/OK: kept on a ${kind}`, (t) => {
      const path = t.make(kind);
      const text = `u::rw-,u:${a}:r--,g::r--,m::r--,o::---`;
      t.ok(setAcl(path, text));
      t.is(aclOf(path), text);
      t.is(octal(t.stat(path).mode), "0640");
    }, { needs });
  }

  const creators: readonly (readonly [Kind, (path: string, mode: number) => number])[] = [
    ["regular", (path, mode) => closed(open(path, O.CREAT | O.WRONLY, mode))],
    ["dir", mkdir],
    ["fifo", mkfifo],
  ];
  for (const [kind, create] of creators) {
    test(`acl/OK: a new ${kind} inherits the default ACL, cut by its mode and not by the umask`, (t) => {
      const text = `u::rwx,u:${a}:rw-,g::r-x,m::rwx,o::r--`;
      const directory = directoryWithDefault(t, text);
      umask(0o77);
      t.ok(create(`${directory}/all`, 0o777));
      t.ok(create(`${directory}/some`, 0o640));
      t.ok(create(`${directory}/none`, 0));
      umask(0);
      t.is(aclOf(`${directory}/all`), text);
      t.is(octal(t.stat(`${directory}/all`).mode), "0774");
      t.is(aclOf(`${directory}/some`), `u::rw-,u:${a}:rw-,g::r-x,m::r--,o::---`);
      t.is(octal(t.stat(`${directory}/some`).mode), "0640");
      t.is(aclOf(`${directory}/none`), `u::---,u:${a}:rw-,g::r-x,m::---,o::---`);
      t.is(typeof defaultAclOf(`${directory}/all`) === "number", kind !== "dir");
      if (kind === "dir") t.is(defaultAclOf(`${directory}/some`), text, "a directory takes the default on");
    }, { needs });

    test(`acl/OK: a new ${kind} under a default ACL of three entries: the mode, no umask, no ACL`, (t) => {
      const directory = directoryWithDefault(t, "u::rwx,g::rw-,o::r-x");
      umask(0o77);
      t.ok(create(`${directory}/n`, 0o757));
      umask(0);
      t.is(octal(t.stat(`${directory}/n`).mode), "0745");
      t.fails(aclOf(`${directory}/n`), "ENODATA");
    }, { needs });
  }

  test("acl/OK: a default ACL gives no rights on the directory itself and leaves its mode", (t) => {
    const directory = t.make("dir", t.fresh(), { mode: 0o700 });
    t.changes(() => t.ok(setDefaultAcl(directory, `u::rwx,u:${a}:rwx,g::rwx,m::rwx,o::rwx`)), {
      [directory]: "c",
    });
    t.is(octal(t.stat(directory).mode), "0700");
    t.is(rights(alice, directory), "---");
    t.is(namesOf(directory), [defaultName]);
    t.ok(removexattr(directory, defaultName));
    t.is(namesOf(directory), []);
    umask(0o22);
    t.ok(mkdir(`${directory}/n`, 0o777));
    umask(0);
    t.is(octal(t.stat(`${directory}/n`).mode), "0755", "the umask counts again");
  }, { needs });

  test("acl/OK: a symbolic link inherits nothing", (t) => {
    const directory = directoryWithDefault(t, `u::rwx,u:${a}:rwx,g::rwx,m::rwx,o::---`);
    t.ok(symlink("t", `${directory}/l`));
    t.is(octal(t.stat(`${directory}/l`).mode), "0777");
    t.is(namesOf(`${directory}/l`), []);
  }, { needs });

  test("acl/OK: inherited over three levels, with set-group-ID", (t) => {
    const text = `u::rwx,u:${a}:r-x,g::r-x,m::r-x,o::---`;
    const directory = directoryWithDefault(t, text);
    t.ok(chown(directory, -1, 4711));
    t.ok(chmod(directory, 0o2777));
    t.ok(mkdir(`${directory}/1`, 0o777));
    t.ok(mkdir(`${directory}/1/2`, 0o777));
    t.ok(closed(open(`${directory}/1/2/f`, O.CREAT | O.WRONLY, 0o666)));
    t.is(defaultAclOf(`${directory}/1/2`), text);
    t.is([octal(t.stat(`${directory}/1/2`).mode), t.stat(`${directory}/1/2`).gid], ["2750", 4711]);
    t.is(aclOf(`${directory}/1/2/f`), `u::rw-,u:${a}:r-x,g::r-x,m::r--,o::---`);
  }, { needs });

  test("acl/OK: chown keeps it", (t) => {
    const path = t.make("regular");
    const text = `u::rw-,u:${a}:r--,g::r--,m::r--,o::---`;
    t.ok(setAcl(path, text));
    t.ok(chown(path, b, 4711));
    t.is(aclOf(path), text);
    t.is(rights(bob, path), "rw-", "the new owner");
  }, { needs });

  test("acl/OK: setfacl and getfacl, also recursively and by copying", (t) => {
    const run = (program: string, ...args: string[]) => {
      const { code, stdout } = new Deno.Command(program, { args }).outputSync();
      t.is(code, 0, `${program} ${args[0]}`);
      return new TextDecoder().decode(stdout);
    };
    const directory = t.make("dir", t.fresh(), { mode: 0o750 });
    const file = t.make("regular", `${directory}/f`, { mode: 0o640 });
    run("setfacl", "-R", "-m", `u:${a}:rwX,g:4711:r`, directory);
    run("setfacl", "-d", "-m", `u:${b}:rx`, directory);
    t.is(aclOf(file), `u::rw-,u:${a}:rw-,g::r--,g:4711:r--,m::rw-,o::---`);
    t.is(defaultAclOf(directory), `u::rwx,u:${b}:r-x,g::r-x,m::r-x,o::---`);
    const shown = run("getfacl", "-n", "-p", file);
    t.holds(shown.includes(`user:${a}:rw-`) && shown.includes("mask::rw-"), `the entries in ${shown}`);
    t.make("regular", t.at("copy"));
    run("sh", "-c", `getfacl -p ${file} | setfacl --set-file=- ${t.at("copy")}`);
    t.is(aclOf(t.at("copy")), aclOf(file));
    run("setfacl", "-b", "-k", file, directory);
    t.is([namesOf(file), namesOf(directory)], [[], []]);
  }, { needs: ["acl", "setfacl"] });
});

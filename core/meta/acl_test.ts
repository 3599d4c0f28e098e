/** The rules of acl(5), each case worked out by hand from the manual page. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FsError } from "../errors.ts";
import {
  type Acl,
  ACL_GROUP,
  ACL_GROUP_OBJ,
  ACL_MASK,
  ACL_OTHER,
  ACL_UNDEFINED_ID,
  ACL_USER,
  ACL_USER_OBJ,
  aclAfterChmod,
  type AclEntry,
  aclOfMode,
  aclPermits,
  inheritAcl,
  isMinimal,
  modeOfAcl,
  parseAcl,
  serializeAcl,
} from "./acl.ts";

/** `u::rwx,u:10:r,g::rx,g:20:w,m::rx,o::-`, the short form of acl(5), without spaces. */
function acl(text: string): Acl {
  return text.split(",").map((part): AclEntry => {
    const [type, id, letters] = part.split(":") as [string, string, string];
    const perm = (letters.includes("r") ? 4 : 0) | (letters.includes("w") ? 2 : 0) |
      (letters.includes("x") ? 1 : 0);
    const named = id !== "";
    const tag =
      { u: named ? ACL_USER : ACL_USER_OBJ, g: named ? ACL_GROUP : ACL_GROUP_OBJ, m: ACL_MASK }[type];
    return { tag: tag ?? ACL_OTHER, perm, id: named ? Number(id) : ACL_UNDEFINED_ID };
  });
}

const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return "no error";
};

Deno.test("an ACL is stored as the kernel's version 2 of the xattr format", () => {
  const value = Uint8Array.from([
    ...[2, 0, 0, 0],
    ...[0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff],
    ...[0x02, 0, 4, 0, 0x39, 0x30, 0, 0],
    ...[0x04, 0, 5, 0, 0xff, 0xff, 0xff, 0xff],
    ...[0x10, 0, 5, 0, 0xff, 0xff, 0xff, 0xff],
    ...[0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
  ]);
  const entries = acl("u::rwx,u:12345:r,g::rx,m::rx,o::");
  assert.deepEqual(parseAcl(value), entries);
  assert.deepEqual(serializeAcl(entries), value);
});

Deno.test("a value without entries means no ACL", () => {
  assert.equal(parseAcl(new Uint8Array(0)), null);
  assert.equal(parseAcl(Uint8Array.of(2, 0, 0, 0)), null);
});

Deno.test("values that are no valid ACL are refused", () => {
  const bad = (text: string) => code(() => parseAcl(serializeAcl(acl(text))));
  assert.equal(bad("u::rwx,g::rx,o::"), "no error");
  assert.equal(bad("u::rwx,u:1:r,g::rx,o::"), "EINVAL", "named entries without a mask");
  assert.equal(bad("u::rwx,g::rx,g:1:r,o::"), "EINVAL", "named entries without a mask");
  assert.equal(bad("u::rwx,g::rx"), "EINVAL", "no others");
  assert.equal(bad("u::rwx,o::"), "EINVAL", "no owning group");
  assert.equal(bad("g::rwx,o::"), "EINVAL", "no owner");
  assert.equal(bad("u::rwx,u::r,g::rx,o::"), "EINVAL", "two owners");
  assert.equal(bad("u::rwx,g::rx,m::r,m::r,o::"), "EINVAL", "two masks");
  assert.equal(bad("g::rx,u::rwx,o::"), "EINVAL", "out of order");
  assert.equal(bad("u::rwx,g::rx,o::,m::r"), "EINVAL", "out of order");
  const valid = serializeAcl(acl("u::rwx,g::rx,o::"));
  assert.equal(code(() => parseAcl(valid.subarray(0, 3))), "EINVAL");
  assert.equal(code(() => parseAcl(valid.subarray(0, -1))), "EINVAL");
  assert.equal(code(() => parseAcl(valid.with(0, 1))), "ENOTSUP", "another version");
  assert.equal(code(() => parseAcl(valid.with(6, 8))), "EINVAL", "permissions beyond rwx");
  assert.equal(code(() => parseAcl(valid.with(4, 3))), "EINVAL", "an unknown tag");
  assert.equal(code(() => parseAcl(new Uint8Array(4100))), "E2BIG");
});

Deno.test("the group bits of the mode are the mask's where there is one, else the owning group's", () => {
  assert.equal(modeOfAcl(acl("u::rwx,g::rx,o::r")), 0o754);
  assert.equal(modeOfAcl(acl("u::rwx,g::rx,m::rw,o::")), 0o760);
  assert.equal(modeOfAcl(acl("u::rw,u:1:rwx,g::r,m::rwx,o::")), 0o670);
  assert.deepEqual(aclOfMode(0o640), acl("u::rw,g::r,o::"));
});

Deno.test("chmod changes the owner, the mask and the others, and never a named entry or a masked group", () => {
  assert.deepEqual(
    aclAfterChmod(acl("u::rwx,u:1:rw,g::rx,g:2:r,m::rwx,o::r"), 0o640),
    acl("u::rw,u:1:rw,g::rx,g:2:r,m::r,o::"),
  );
  assert.deepEqual(aclAfterChmod(acl("u::rwx,g::rx,o::r"), 0o640), acl("u::rw,g::r,o::"));
});

Deno.test("a new file gets what both the default ACL and the system call's mode allow", () => {
  const byDefault = acl("u::rwx,u:1:rwx,g::rx,m::rwx,o::rx");
  // The example of acl(5)'s kind: open(..., 0666) drops execution everywhere but in named entries and the group.
  assert.deepEqual(inheritAcl(byDefault, 0o100666), {
    mode: 0o100664,
    access: acl("u::rw,u:1:rwx,g::rx,m::rw,o::r"),
  });
  assert.deepEqual(inheritAcl(byDefault, 0o042755), {
    mode: 0o042755,
    access: acl("u::rwx,u:1:rwx,g::rx,m::rx,o::rx"),
  });
});

Deno.test("a default ACL of three entries decides the mode and leaves no access ACL", () => {
  assert.deepEqual(inheritAcl(acl("u::rwx,g::rx,o::"), 0o100666), { mode: 0o100640, access: null });
});

Deno.test("access is granted as acl(5) orders its checks", () => {
  const file = { uid: 1, gid: 10 };
  const entries = acl("u::r,u:2:rw,u:3:rwx,g::rx,g:20:w,m::rx,o::rwx");
  const may = (uid: number, groups: number[], rights: number) =>
    aclPermits(entries, file, uid, (gid) => groups.includes(gid), rights);
  assert.ok(may(1, [], 4), "the owner entry");
  assert.ok(!may(1, [10], 1), "the owner entry alone counts for the owner");
  assert.ok(may(2, [], 4), "a named user, within the mask");
  assert.ok(!may(2, [], 2), "the mask takes w from a named user");
  assert.ok(!may(2, [10], 1), "a named user's entry is the only one that counts");
  assert.ok(may(3, [], 5));
  assert.ok(may(9, [10], 5), "the owning group");
  assert.ok(!may(9, [20], 2), "the mask takes w from a named group");
  assert.ok(!may(9, [20], 4));
  assert.ok(!may(9, [10], 2), "a group member is never one of the others");
  assert.ok(may(9, [10, 20], 4), "one of several groups is enough");
  assert.ok(may(9, [], 7), "others, whom the mask does not concern");
});

Deno.test("rights that two group entries grant only together are refused", () => {
  const entries = acl("u::rwx,g::r,g:20:w,m::rwx,o::rwx");
  assert.ok(!aclPermits(entries, { uid: 1, gid: 10 }, 9, (gid) => gid === 10 || gid === 20, 6));
});

const perm = fc.integer({ min: 0, max: 7 });
const named = (tag: number) =>
  fc.uniqueArray(fc.record({ tag: fc.constant(tag), perm, id: fc.integer({ min: 0, max: 5 }) }), {
    selector: ({ id }) => id,
    maxLength: 4,
    // fast-check's records have no prototype.
  }).map((entries) => entries.map((entry) => ({ ...entry })));
const single = (tag: number) => perm.map((perm) => ({ tag, perm, id: ACL_UNDEFINED_ID }));
const anyAcl: fc.Arbitrary<Acl> = fc.tuple(
  single(ACL_USER_OBJ),
  named(ACL_USER),
  single(ACL_GROUP_OBJ),
  named(ACL_GROUP),
  fc.option(single(ACL_MASK)),
  single(ACL_OTHER),
).map(([owner, users, group, groups, mask, others]) => {
  const isNamed = users.length + groups.length > 0;
  const masks = mask === null ? (isNamed ? [{ tag: ACL_MASK, perm: 5, id: ACL_UNDEFINED_ID }] : []) : [mask];
  return [owner, ...users, group, ...groups, ...masks, others];
});
const anyMode = fc.integer({ min: 0, max: 0o777 });

Deno.test("properties: round trip, chmod, inheritance", () => {
  fc.assert(fc.property(anyAcl, anyMode, (entries, mode) => {
    assert.deepEqual(parseAcl(serializeAcl(entries)), entries);
    assert.equal(modeOfAcl(aclAfterChmod(entries, mode)), mode);
    assert.deepEqual(aclAfterChmod(entries, modeOfAcl(entries)), entries, "chmod to the same mode");
    const inherited = inheritAcl(entries, mode);
    assert.equal(inherited.mode & ~mode, 0, "never more than was asked for");
    assert.equal(inherited.mode & ~modeOfAcl(entries), 0, "never more than the default ACL gives");
    if (inherited.access === null) assert.ok(isMinimal(entries));
    else assert.equal(modeOfAcl(inherited.access), inherited.mode);
  }));
});

Deno.test("properties: an ACL of the mode alone grants what the mode grants; nobody but the owner and the others passes the mask", () => {
  const groups = fc.uniqueArray(fc.integer({ min: 0, max: 5 }));
  fc.assert(
    fc.property(anyMode, fc.integer({ min: 0, max: 5 }), groups, perm, (mode, uid, groups, rights) => {
      const file = { uid: 0, gid: 1 };
      const shift = uid === file.uid ? 6 : groups.includes(file.gid) ? 3 : 0;
      const expected = ((mode >> shift) & rights) === rights;
      assert.equal(aclPermits(aclOfMode(mode), file, uid, (gid) => groups.includes(gid), rights), expected);
    }),
  );
  fc.assert(fc.property(anyAcl, groups, perm, (entries, groups, rights) => {
    const mask = entries.find(({ tag }) => tag === ACL_MASK);
    const isNamed = entries.some(({ tag, id }) => tag === ACL_USER && id === 3);
    if (mask === undefined || !isNamed) return;
    const granted = aclPermits(entries, { uid: 0, gid: 1 }, 3, (gid) => groups.includes(gid), rights);
    if (granted) assert.equal(rights & ~mask.perm, 0);
  }));
});

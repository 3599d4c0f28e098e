import { deepStrictEqual, throws } from "node:assert/strict";
import { parseIds, parseMountOptions } from "./mount_options.ts";

const options = (...lists: string[]) => parseMountOptions(lists).options;

Deno.test("mount -o: known options are taken, fstab's words are passed over", () => {
  deepStrictEqual(options(), {});
  deepStrictEqual(options("defaults,_netdev,x-systemd.automount,nofail,X-mount.mkdir,user=alice", ""), {});
  deepStrictEqual(options("ro,allow_other", "fsname=photos"), {
    readOnly: true,
    allowOther: true,
    fsName: "photos",
  });
  deepStrictEqual(options("noatime, nodiratime ,nodev,nosuid,noexec,nodefault_permissions"), {
    atime: "noatime",
    nodiratime: true,
    nodev: true,
    nosuid: true,
    noexec: true,
    defaultPermissions: false,
  });
  deepStrictEqual(options("all_squash,anonuid=4000,anongid=5000,uid=0,gid=4294967294"), {
    allSquash: true,
    anonUid: 4000,
    anonGid: 5000,
    uid: 0,
    gid: 4294967294,
  });
});

Deno.test("mount -o: later options win, also over what another one implies", () => {
  deepStrictEqual(options("ro,rw"), { readOnly: false });
  deepStrictEqual(options("noatime", "strictatime"), { atime: "strictatime" });
  deepStrictEqual(options("user,exec,dev"), { nodev: false, nosuid: true, noexec: false });
  deepStrictEqual(options("exec,users"), { nodev: true, nosuid: true, noexec: true });
  deepStrictEqual(options("root_squash,no_root_squash"), { rootSquash: false });
});

Deno.test("mount -o: anything else is refused by name", () => {
  for (
    const [word, message] of [
      ["ro,frobnicate", /^UserError: -o frobnicate is not supported; known are .*anonuid=, .*noatime/],
      ["constructor", /-o constructor is not supported/],
      ["ro=1", /-o ro=1 is not supported/],
      ["remount", /unmount it and mount it again/],
      ["sync", /-o sync is not supported: programs ask for it/],
      ["uid=alice", /-o uid=: "alice" is no number/],
      ["gid=-1", /"-1" is no number/],
      ["anonuid=4294967295", /is no number/],
      ["fsname=", /-o fsname= has no value/],
      ["buffer-size=3", /-o buffer-size=3 is not supported/],
    ] as const
  ) throws(() => parseMountOptions([word]), message);
});

Deno.test("mount -o: long flags are handed on, unknown words only if they are to be tolerated", () => {
  const flagNames = ["buffer-size", "verbose", "log"];
  const given = ["ro,buffer-size=300,verbose", "log=/var/log/a=b,strange,_netdev"];
  deepStrictEqual(parseMountOptions(given, { flagNames, tolerant: true }), {
    options: { readOnly: true },
    flags: [
      { name: "buffer-size", value: "300" },
      { name: "verbose", value: undefined },
      { name: "log", value: "/var/log/a=b" },
    ],
    unknown: ["strange"],
  });
  throws(() => parseMountOptions(given, { flagNames }), /-o strange is not supported/);
});

Deno.test("UID:GID", () => {
  deepStrictEqual(parseIds("65534:100"), { uid: 65534, gid: 100 });
  for (const bad of ["", "1", "1:", ":1", "1:2:3", "a:b", "-1:1"]) throws(() => parseIds(bad), /UserError/);
});

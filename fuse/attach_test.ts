import { equal } from "node:assert/strict";
import { helperOptions } from "./attach.ts";

Deno.test("fusermount3: options of the mount, and a source with commas and backslashes", () => {
  equal(
    helperOptions({ fsName: "slayerfs:photos" }, 4096, false),
    "fsname=slayerfs:photos,subtype=slayerfs,nosuid,nodev,max_read=4096,default_permissions",
  );
  equal(
    helperOptions(
      {
        fsName: "a,b\\c",
        readOnly: true,
        noexec: true,
        atime: "noatime",
        nodiratime: true,
        defaultPermissions: false,
      },
      1 << 20,
      true,
    ),
    "fsname=a\\,b\\\\c,subtype=slayerfs,nosuid,nodev,ro,noexec,noatime,nodiratime,max_read=1048576,allow_other",
  );
  // fusermount3 has no words for these; the kernel does not apply them to FUSE anyway.
  for (const atime of ["relatime", "strictatime"] as const) {
    equal(helperOptions({ fsName: "x", atime }, 1, false), helperOptions({ fsName: "x" }, 1, false));
  }
});

import { deepEqual } from "node:assert/strict";
import { parseMountInfo } from "./mountinfo.ts";

Deno.test("mountinfo: optional fields, escapes, sources with spaces", () => {
  const text = [
    "23 28 0:21 / /proc rw,relatime - proc proc rw",
    "36 35 98:0 /sub /mnt/a\\040b\\134c rw,noatime shared:7 master:1 - ext4 /dev/root rw,errors=continue",
    "40 28 0:39 / /mnt/ä rw,nosuid,nodev,relatime shared:9 - fuse.slayerfs slayerfs:my\\040volume rw,user_id=1000,group_id=0",
    "a line that is none",
    "",
  ].join("\n");
  deepEqual(parseMountInfo(text), [
    { device: "0:21", mountPoint: "/proc", type: "proc", source: "proc", userId: 0 },
    { device: "98:0", mountPoint: "/mnt/a b\\c", type: "ext4", source: "/dev/root", userId: 0 },
    {
      device: "0:39",
      mountPoint: "/mnt/ä",
      type: "fuse.slayerfs",
      source: "slayerfs:my volume",
      userId: 1000,
    },
  ]);
});

import { deepStrictEqual, throws } from "node:assert/strict";
import { parseMountOptions } from "./mount_options.ts";

Deno.test("mount -o: known options are taken, fstab's words are passed over", () => {
  deepStrictEqual(parseMountOptions([]), {});
  deepStrictEqual(parseMountOptions(["defaults,_netdev,x-systemd.automount,nofail", ""]), {});
  deepStrictEqual(parseMountOptions(["ro,allow_other", "fsname=photos"]), {
    readOnly: true,
    fsName: "photos",
  });
});

Deno.test("mount -o: anything else is refused by name", () => {
  throws(() => parseMountOptions(["ro,noexec"]), /-o noexec is not supported/);
});

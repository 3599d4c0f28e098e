import { deepEqual, equal, ok } from "node:assert/strict";
import { systemEnv } from "../core/env.ts";
import { FsError } from "../core/errors.ts";
import type { Vfs } from "../core/vfs/types.ts";
import { harness, name, raw, u32, u64, zeros } from "../tests/helpers/fuse_bytes.ts";
import { createTreeVfs } from "../tests/helpers/tree_vfs.ts";
import {
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  InitFlag,
  Opcode,
} from "./abi.ts";
import { errnoNumbers } from "./errno.ts";

const text = (value: string) => new TextEncoder().encode(value);
const ROOT = { ino: 1 };

/** Over a file system in memory; `initFlags` is what the kernel offered. */
function overTree(initFlags = 0xffffffff, options = {}) {
  const tree = createTreeVfs(systemEnv("error"));
  const notified: Uint8Array[] = [];
  const notify = (message: Uint8Array) => void notified.push(message);
  const server = harness({ vfs: tree, env: systemEnv("error"), options, notify });
  const init = server.send(Opcode.INIT, {}, u32(7), u32(40), u32(0), u32(initFlags), zeros(48));
  return { ...server, tree, notified, agreedFlags: init?.body.getUint32(12, true) ?? 0 };
}

const bodyOf = (answer: { bytes: Uint8Array } | undefined) => answer?.bytes;
const wordAt = (answer: { body: DataView } | undefined, at: number) => answer?.body.getUint32(at, true);

Deno.test("GETXATTR: the value, its size for size 0, ERANGE, ENODATA", () => {
  const { send } = overTree();
  equal(
    send(Opcode.SETXATTR, ROOT, u32(5), u32(0), u32(0), u32(0), name("user.a"), raw(text("value")))?.errno,
    0,
  );
  const get = (size: number, of = "user.a") => send(Opcode.GETXATTR, ROOT, u32(size), u32(0), name(of));
  deepEqual(bodyOf(get(5)), text("value"));
  deepEqual(bodyOf(get(65536)), text("value"));
  equal(bodyOf(get(0))?.length, 8);
  equal(wordAt(get(0), 0), 5);
  equal(get(4)?.errno, errnoNumbers.ERANGE);
  equal(get(4, "user.b")?.errno, errnoNumbers.ENODATA);
});

Deno.test("LISTXATTR: every name with its NUL, the size for size 0, ERANGE; nothing is an empty list", () => {
  const { send } = overTree();
  const list = (size: number) => send(Opcode.LISTXATTR, ROOT, u32(size), u32(0));
  equal(bodyOf(list(100))?.length, 0);
  equal(wordAt(list(0), 0), 0);
  for (const each of ["user.a", "user.bc"]) {
    send(Opcode.SETXATTR, ROOT, u32(1), u32(0), u32(0), u32(0), name(each), raw(text("x")));
  }
  deepEqual(bodyOf(list(65536)), text("user.a\0user.bc\0"));
  equal(wordAt(list(0), 0), 15);
  equal(list(14)?.errno, errnoNumbers.ERANGE);
});

Deno.test("values of 64 KiB come and go whole", () => {
  const { send } = overTree();
  const value = new Uint8Array(65536).map((_, i) => i % 251);
  const set = send(Opcode.SETXATTR, ROOT, u32(65536), u32(0), u32(0), u32(0), name("user.a"), raw(value));
  equal(set?.errno, 0);
  deepEqual(bodyOf(send(Opcode.GETXATTR, ROOT, u32(65536), u32(0), name("user.a"))), value);
});

Deno.test("SETXATTR passes its flags on, in the long form and in the form of older kernels", async () => {
  const seen: unknown[] = [];
  const vfs = {
    setxattr: (_caller: unknown, ino: number, name: Uint8Array, value: Uint8Array, flags: unknown) =>
      void seen.push([ino, new TextDecoder().decode(name), [...value], flags]),
  };
  for (const offered of [0xffffffff, 0xffffffff & ~InitFlag.SETXATTR_EXT]) {
    const { ask } = harness({ vfs: vfs as unknown as Vfs, env: systemEnv("error") });
    await ask(Opcode.INIT, {}, u32(7), u32(40), u32(0), u32(offered >>> 0), zeros(48));
    const extension = offered === 0xffffffff ? [u32(1), u32(0)] : [];
    await ask(
      Opcode.SETXATTR,
      { ino: 3 },
      u32(2),
      u32(2),
      ...extension,
      name("user.n"),
      raw(Uint8Array.of(7, 0)),
    );
  }
  deepEqual(seen, [
    [3, "user.n", [7, 0], { flags: 2, killSgid: true }],
    [3, "user.n", [7, 0], { flags: 2, killSgid: false }],
  ]);
});

Deno.test("SETXATTR with less of a value than it says is malformed", () => {
  const { send } = overTree();
  const answer = send(
    Opcode.SETXATTR,
    ROOT,
    u32(9),
    u32(0),
    u32(0),
    u32(0),
    name("user.a"),
    raw(text("short")),
  );
  equal(answer?.errno, errnoNumbers.EINVAL);
});

Deno.test("REMOVEXATTR removes, and says ENODATA the second time", () => {
  const { send } = overTree();
  send(Opcode.SETXATTR, ROOT, u32(1), u32(0), u32(0), u32(0), name("user.a"), raw(text("x")));
  equal(send(Opcode.REMOVEXATTR, ROOT, name("user.a"))?.errno, 0);
  equal(send(Opcode.REMOVEXATTR, ROOT, name("user.a"))?.errno, errnoNumbers.ENODATA);
});

async function ioctl(
  { ask }: ReturnType<typeof overTree>,
  cmd: number,
  outBytes: number,
  input: readonly number[] = [],
) {
  const words = Uint8Array.from(new Uint8Array(Uint32Array.from(input).buffer));
  return await ask(
    Opcode.IOCTL,
    ROOT,
    ...[u64(0), u32(0), u32(cmd), u64(0), u32(words.length), u32(outBytes)],
    raw(words),
  );
}

Deno.test("IOCTL: flags in both forms, and exactly as many bytes as the kernel waits for", async () => {
  const server = overTree();
  equal((await ioctl(server, FS_IOC_SETFLAGS, 0, [0x10 | 0x80])).errno, 0);
  equal(server.tree.root.row.flags, 0x90);
  equal(server.notified.length, 1, "the kernel hears that ctime is another");
  const flags = await ioctl(server, FS_IOC_GETFLAGS, 4);
  equal(bodyOf(flags)?.length, 16 + 4);
  equal(wordAt(flags, 0), 0, "the result");
  equal(wordAt(flags, 16), 0x90);
  const extended = await ioctl(server, FS_IOC_FSGETXATTR, 28);
  equal(bodyOf(extended)?.length, 16 + 28);
  equal(wordAt(extended, 16), 0x08 | 0x40, "immutable and noatime as FS_XFLAG_*");
  ok(bodyOf(extended)?.subarray(20).every((byte) => byte === 0));
  equal((await ioctl(server, FS_IOC_FSSETXATTR, 0, [0x10, 0, 0, 0, 0, 0, 0])).errno, 0);
  equal(server.tree.root.row.flags, 0x20, "append-only in place of what was there");
});

Deno.test("IOCTL: what is not known is ENOTTY, what cannot be kept ENOTSUP, too little is EINVAL", async () => {
  const server = overTree();
  equal((await ioctl(server, 0x5401, 0)).errno, errnoNumbers.ENOTTY, "TCGETS, as isatty(3) asks");
  equal((await ioctl(server, FS_IOC_GETFLAGS, 1 << 20)).errno, errnoNumbers.ENOTTY);
  equal(
    (await ioctl(server, FS_IOC_FSSETXATTR, 0, [0, 0, 0, 5, 0, 0, 0])).errno,
    errnoNumbers.ENOTSUP,
    "a project",
  );
  equal((await ioctl(server, FS_IOC_FSSETXATTR, 0, [0x200, 0, 0, 0, 0, 0, 0])).errno, errnoNumbers.ENOTSUP);
  equal((await ioctl(server, FS_IOC_SETFLAGS, 0)).errno, errnoNumbers.EINVAL);
});

Deno.test("answers that come later are answered from what the request said", async () => {
  const vfs = {
    getxattr: async () => {
      await null;
      return text("value");
    },
    listxattr: async () => {
      await null;
      throw new FsError("EIO");
    },
    getFlags: async () => {
      await null;
      return 0x20;
    },
  };
  const { ask } = harness({ vfs: vfs as unknown as Vfs, env: { ...systemEnv(), log: () => {} } });
  deepEqual(bodyOf(await ask(Opcode.GETXATTR, ROOT, u32(65536), u32(0), name("user.a"))), text("value"));
  equal((await ask(Opcode.LISTXATTR, ROOT, u32(65536), u32(0))).errno, errnoNumbers.EIO);
  const flags = await ask(Opcode.IOCTL, ROOT, u64(0), u32(0), u32(FS_IOC_GETFLAGS), u64(0), u32(0), u32(4));
  equal(wordAt(flags, 16), 0x20);
});

Deno.test("POSIX_ACL is taken for volumes that have ACLs", () => {
  ok(overTree(0xffffffff, { posixAcl: true }).agreedFlags & InitFlag.POSIX_ACL);
  equal(overTree(0xffffffff, { posixAcl: false }).agreedFlags & InitFlag.POSIX_ACL, 0);
});

import { deepEqual } from "node:assert/strict";
import { FsError } from "../core/errors.ts";
import { FILE_BYTES_MAX } from "../core/limits.ts";
import type { FileLock, Vfs } from "../core/vfs/types.ts";
import { harness, over, testEnv, u32, u64, zeros } from "../tests/helpers/fuse_bytes.ts";
import { F_RDLCK, F_UNLCK, F_WRLCK, FUSE_LK_FLOCK, Opcode } from "./abi.ts";
import { getI64, getU64 } from "./codec.ts";
import { errnoNumbers } from "./errno.ts";

Deno.test("locks: ranges to the end of file, owners of 64 bits, flock, and what conflicts", async () => {
  const seen: unknown[] = [];
  const conflict: FileLock = { type: "write", start: 5, end: FILE_BYTES_MAX, pid: 99, owner: "" };
  const { ask } = over({
    getlk: (_, ino, handle, lock) => (seen.push(["getlk", ino, handle, lock]), conflict),
    setlk: (_, ino, handle, lock, { wait }) => (seen.push(["setlk", ino, handle, lock, wait]), "nothing"),
    flock: (_, ino, handle, kind, { wait }) => (seen.push(["flock", ino, handle, kind, wait]), "nothing"),
    flush: (_, ino, handle, owner) => void seen.push(["flush", ino, handle, owner]),
  });
  const owner = [u32(0xffff_fffe), u32(0xffff_ffff)];
  const toEnd = [u32(0xffff_ffff), u32(0x7fff_ffff)];
  const lk = (start: number, type: number, flags = 0) => [
    ...[u64(6), ...owner, u64(start), ...toEnd, u32(type), u32(42), u32(flags), u32(0)],
  ];
  const file = { ino: 3 };
  const lock = { start: 7, end: FILE_BYTES_MAX, pid: 42, owner: "1z141z3.1z141z2" };
  const found = await ask(Opcode.GETLK, file, ...lk(7, F_WRLCK));
  deepEqual([found.errno, getU64(found.body, 0), getU64(found.body, 8)], [0, 5, 2 ** 63]);
  deepEqual([found.body.getUint32(16, true), found.body.getUint32(20, true)], [F_WRLCK, 99]);
  for (const [opcode, type] of [[Opcode.SETLK, F_RDLCK], [Opcode.SETLKW, F_UNLCK]] as const) {
    deepEqual((await ask(opcode, file, ...lk(7, type))).errno, 0);
    deepEqual((await ask(opcode, file, ...lk(0, type, FUSE_LK_FLOCK))).errno, 0);
  }
  await ask(Opcode.FLUSH, file, u64(6), zeros(8), ...owner);
  deepEqual(seen, [
    ["getlk", 3, 6, { ...lock, type: "write" }],
    ["setlk", 3, 6, { ...lock, type: "read" }, false],
    ["flock", 3, 6, "read", false],
    ["setlk", 3, 6, { ...lock, type: "unlock" }, true],
    ["flock", 3, 6, "unlock", true],
    ["flush", 3, 6, lock.owner],
  ]);
  // Beyond what a file can have: cannot be locked, and is not.
  const far = 2 ** 60;
  deepEqual((await ask(Opcode.SETLK, file, ...lk(far, F_WRLCK))).errno, errnoNumbers.EOVERFLOW);
  deepEqual((await ask(Opcode.SETLK, file, ...lk(far, F_UNLCK))).errno, 0);
  deepEqual((await ask(Opcode.GETLK, file, ...lk(far, F_WRLCK))).body.getUint32(16, true), F_UNLCK);
  deepEqual((await ask(Opcode.SETLK, file, ...lk(0, 77))).errno, errnoNumbers.EINVAL);
});

Deno.test("requests that wait for a lock are none in flight, and end by INTERRUPT or with the mount", async () => {
  const { server, send, answers } = over({
    setlk: (caller) =>
      new Promise((_, reject) => {
        caller.onInterrupt = () => reject(new FsError("EINTR"));
      }),
  });
  const lk = [u64(6), u64(1), u64(0), u64(9), u32(F_WRLCK), u32(42), u32(0), u32(0)];
  for (const unique of [2, 4, 6]) send(Opcode.SETLKW, { ino: 3, unique }, ...lk);
  deepEqual([server.inFlight, answers.length], [0, 0]);
  send(Opcode.INTERRUPT, { unique: 5 }, u64(4));
  await null;
  await null;
  deepEqual(answers.map(({ unique, errno }) => [unique, errno]), [[4, errnoNumbers.EINTR]]);
  server.interruptWaiting();
  await server.idle();
  deepEqual(answers.map(({ errno }) => errno), new Array(3).fill(errnoNumbers.EINTR));
});

Deno.test("what the kernel must not believe any more it is told before it hears of the lock", async () => {
  const { env } = testEnv();
  const told: unknown[] = [];
  const dropped = Promise.withResolvers<void>();
  const { send, answers, server } = harness({
    vfs: { setlk: () => "attributes", flock: () => "contents" } as Partial<Vfs> as Vfs,
    env,
    notify(message, waits) {
      const view = new DataView(message.buffer);
      deepEqual([view.getUint32(0, true), getU64(view, 8)], [message.length, 0]);
      told.push([view.getInt32(4, true), getU64(view, 16), getI64(view, 24), getI64(view, 32), waits]);
      return waits ? dropped.promise : undefined;
    },
  });
  const lk = (flags: number) => [u64(6), u64(1), u64(0), u64(9), u32(F_WRLCK), u32(42), u32(flags), u32(0)];
  send(Opcode.SETLK, { ino: 3, unique: 2 }, ...lk(0));
  send(Opcode.SETLKW, { ino: 4, unique: 4 }, ...lk(FUSE_LK_FLOCK));
  for (let turn = 0; turn < 10; turn++) await null;
  deepEqual(told, [[2, 3, -1, 0, false], [2, 4, 0, 0, true]]);
  deepEqual(answers.map(({ unique }) => unique), [2], "not before its pages are dropped");
  dropped.resolve();
  await server.idle();
  deepEqual(answers.map(({ unique, errno }) => [unique, errno]), [[2, 0], [4, 0]]);
});

import fc from "fast-check";
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { systemEnv } from "../core/env.ts";
import { FsError, StoreError } from "../core/errors.ts";
import type { Caller, SetAttr } from "../core/vfs/types.ts";
import { name, over, overTree, raw, request, u32, u64, zeros } from "../tests/helpers/fuse_bytes.ts";
import { createTreeVfs } from "../tests/helpers/tree_vfs.ts";
import { AttrField, EntryOut, Opcode } from "./abi.ts";
import { getI64, getU64 } from "./codec.ts";
import { errnoNumbers } from "./errno.ts";

const text = (value: string) => new TextEncoder().encode(value);

const attr = createTreeVfs(systemEnv()).root.row;
const entry = { attr: { ...attr, ino: 77 }, entryTtlMs: 0, attrTtlMs: 0 };

Deno.test("INIT takes what both sides know", async () => {
  const { send, server } = over({});
  const answer = send(
    Opcode.INIT,
    {},
    u32(7),
    u32(45),
    u32(131072),
    u32(0xffffffff),
    u32(0xffffffff),
    zeros(44),
  );
  equal(answer?.errno, 0);
  equal(answer?.bytes.length, 64);
  const { body } = answer;
  deepEqual([body.getUint32(0, true), body.getUint32(4, true)], [7, 45]);
  const flags = body.getUint32(12, true);
  ok(flags & (1 << 22), "MAX_PAGES");
  ok(flags & (1 << 28), "HANDLE_KILLPRIV_V2");
  ok(flags & (1 << 13), "DO_READDIRPLUS");
  equal(flags & (1 << 14), 0, "not READDIRPLUS_AUTO");
  equal(flags & (1 << 16), 0, "not WRITEBACK_CACHE");
  equal(flags & (1 << 6), 1 << 6, "DONT_MASK");
  ok(flags & (1 << 20), "POSIX_ACL");
  equal(body.getUint32(20, true), 1 << 20, "max_write");
  equal(body.getUint16(28, true), 256, "max_pages");
  equal(body.getUint32(32, true), 0b11000, "flags2");
  equal((await server.negotiated).minor, 45);
});

Deno.test("INIT of a kernel without extensions gets no flags that it did not offer", async () => {
  const { send, server } = over({});
  const answer = send(Opcode.INIT, {}, u32(7), u32(31), u32(131072), u32(1 << 5));
  equal(answer?.body.getUint32(4, true), 31);
  equal(answer?.body.getUint32(12, true), 1 << 5);
  equal(answer?.body.getUint32(32, true), 0);
  equal(answer?.body.getUint32(20, true), 128 << 10, "32 pages without MAX_PAGES");
  equal((await server.negotiated).maxWriteBytes, 128 << 10);
});

Deno.test("INIT of a newer major version is answered with ours, an older one refused", async () => {
  const newer = over({});
  const answer = newer.send(Opcode.INIT, {}, u32(8), u32(0), u32(0), u32(0));
  deepEqual([answer?.errno, answer?.body.getUint32(0, true)], [0, 7]);
  newer.send(Opcode.INIT, {}, u32(7), u32(40), u32(0), u32(0));
  equal((await newer.server.negotiated).minor, 40);

  const older = over({});
  equal(older.send(Opcode.INIT, {}, u32(7), u32(30), u32(0), u32(0))?.errno, errnoNumbers.EIO);
  await rejects(older.server.negotiated, /7\.30/);
});

Deno.test("LOOKUP answers an entry with its times to live", () => {
  const { send, tree } = overTree();
  tree.mkdir({ uid: 5, gid: 6, pid: 7 }, 1, text("a"), 0o755, 0);
  const answer = send(Opcode.LOOKUP, {}, name("a"));
  const view = answer?.body ?? new DataView(new ArrayBuffer(0));
  equal(view.byteLength, 128);
  equal(getU64(view, EntryOut.nodeid), 2);
  equal(getU64(view, EntryOut.entryValid), 1);
  equal(view.getUint32(EntryOut.entryValidNsec, true), 500_000_000);
  equal(view.getUint32(EntryOut.attrValidNsec, true), 500_000_000);
  equal(view.getUint32(EntryOut.attr + AttrField.uid, true), 5);
  equal(view.getUint32(EntryOut.attr + AttrField.mode, true), 0o40755);
  equal(tree.nodes.get(2)?.lookups, 2);
});

Deno.test("a missing name is ENOENT, or an entry without a node where that may be remembered", async () => {
  equal(overTree().send(Opcode.LOOKUP, {}, name("a"))?.errno, errnoNumbers.ENOENT);
  const remembered = overTree({ negativeTtlMs: 2000 }).send(Opcode.LOOKUP, {}, name("a"));
  equal(remembered?.errno, 0);
  deepEqual([getU64(remembered.body, EntryOut.nodeid), getU64(remembered.body, EntryOut.entryValid)], [0, 2]);
  const later = over({ lookup: () => Promise.reject(new FsError("ENOENT")) }, { negativeTtlMs: 2000 });
  equal(getU64((await later.ask(Opcode.LOOKUP, {}, name("a"))).body, EntryOut.nodeid), 0);
  const denied = over({ lookup: () => Promise.reject(new FsError("EACCES")) }, { negativeTtlMs: 2000 });
  equal((await denied.ask(Opcode.LOOKUP, {}, name("a"))).errno, errnoNumbers.EACCES);
});

Deno.test("names are copied bytes: the request's buffer may change under a handler that waits", async () => {
  const gate = Promise.withResolvers<void>();
  let seen: Uint8Array[] = [];
  const { server, answers } = over({
    async rename(_caller, parent, oldName, newParent, newName, flags) {
      deepEqual([parent, newParent, flags], [3, 4, 1]);
      await gate.promise;
      seen = [oldName, newName];
    },
  });
  const odd = Uint8Array.of(0xff, 0x0a, 0x80);
  const { buffer, length } = request(
    Opcode.RENAME2,
    { ino: 3 },
    u64(4),
    u32(1),
    u32(0),
    name(odd),
    name("b"),
  );
  equal(server.handle(buffer, length), undefined, "the buffer is free at once");
  buffer.bytes.fill(0);
  gate.resolve();
  await server.idle();
  equal(answers[0]?.errno, 0);
  deepEqual(seen.map((each) => [...each]), [[...odd], [0x62]]);
});

Deno.test("a small WRITE is copied, a large one holds its buffer until the handler is done", async () => {
  const gate = Promise.withResolvers<void>();
  const seen: unknown[] = [];
  const { server, answers } = over({
    async write(_caller, ino, handle, offset, data, kill) {
      await gate.promise;
      seen.push([ino, handle, offset, kill, data.length, data[0], data.at(-1)]);
      return data.length;
    },
  });
  const write = (unique: number, bytes: number) => {
    const data = raw(new Uint8Array(bytes).fill(unique));
    return request(
      Opcode.WRITE,
      { ino: 9, unique },
      u64(5),
      u64(2 ** 40),
      u32(bytes),
      u32(4),
      zeros(16),
      data,
    );
  };
  const small = write(2, 3);
  equal(server.handle(small.buffer, small.length), undefined, "the buffer is free at once");
  small.buffer.bytes.fill(0);
  const large = write(4, 1 << 20);
  const held = server.handle(large.buffer, large.length);
  ok(held instanceof Promise);
  equal(server.inFlight, 2);
  gate.resolve();
  await held;
  deepEqual([server.inFlight, server.buffers.takenBytes], [0, 0]);
  deepEqual(seen, [[9, 5, 2 ** 40, true, 3, 2, 2], [9, 5, 2 ** 40, true, 1 << 20, 4, 4]]);
  deepEqual(answers.map((each) => [each.errno, each.body.getUint32(0, true)]), [[0, 3], [0, 1 << 20]]);
});

Deno.test("many waiting WRITEs of middle size do not hold large buffers", async () => {
  const gate = Promise.withResolvers<void>();
  const { server } = over({
    write: (_caller, _ino, _handle, _offset, data) => gate.promise.then(() => data.length),
  });
  for (let i = 0; i < 400; i++) {
    const data = raw(new Uint8Array(128 << 10));
    const unique = { unique: 2 + 2 * i };
    const { buffer, length } = request(
      Opcode.WRITE,
      unique,
      u64(5),
      u64(0),
      u32(128 << 10),
      u32(0),
      zeros(16),
      data,
    );
    // What the loop does: a request that holds its buffer is in one of full size.
    const inUse = server.buffers.take(1 << 20);
    const held = server.handle(buffer, length);
    if (held === undefined) server.buffers.give(inUse);
    else held.then(() => server.buffers.give(inUse));
  }
  equal(server.inFlight, 400);
  ok(server.buffers.takenBytes < 90 << 20, `${server.buffers.takenBytes}`);
  gate.resolve();
  await server.idle();
  await null;
  equal(server.buffers.takenBytes, 0);
});

Deno.test("READ answers what the handler put in place, also less than asked", async () => {
  const { ask, server } = over({
    async read(_caller, ino, handle, offset, into) {
      deepEqual([ino, handle, offset, into.length], [9, 5, 4096, 10]);
      await null;
      into.set([1, 2, 3]);
      return 3;
    },
  });
  const answer = await ask(Opcode.READ, { ino: 9 }, u64(5), u64(4096), u32(10), zeros(20));
  deepEqual([...answer.bytes], [1, 2, 3]);
  equal(server.buffers.takenBytes, 0);
});

Deno.test("offsets and lengths that no file has: end of file for READ, EFBIG for WRITE and SETATTR", () => {
  const { send, server } = over({});
  const read = send(Opcode.READ, {}, u64(5), u64(2 ** 60), u32(10), zeros(20));
  deepEqual([read?.errno, read?.bytes.length], [0, 0]);
  const data = raw(new Uint8Array(10));
  const write = send(Opcode.WRITE, {}, u64(5), u64(2 ** 53 - 5), u32(10), u32(0), zeros(16), data);
  equal(write?.errno, errnoNumbers.EFBIG);
  const length = [u32(1 << 3), u32(0), u64(0), raw(new Uint8Array(8).fill(0xff)), zeros(64)];
  equal(send(Opcode.SETATTR, {}, ...length)?.errno, errnoNumbers.EFBIG);
  equal(server.buffers.takenBytes, 0);
});

Deno.test("SETATTR decodes what is valid and nothing else", () => {
  const changes: SetAttr[] = [];
  const { send } = over({
    setattr: (_caller, _ino, change) => (changes.push(change), { attr, attrTtlMs: 0 }),
  });
  const setattr = (valid: number) =>
    send(
      Opcode.SETATTR,
      {},
      ...[u32(valid), u32(0), u64(12), u64(4096), u64(0), u64(-3), u64(20), u64(30)],
      ...[u32(1), u32(2), u32(3), u32(0o104755), u32(0), u32(1000), u32(1001), u32(0)],
    );
  const defined = (change: SetAttr | undefined) =>
    Object.fromEntries(Object.entries(change ?? {}).filter(([, value]) => value !== undefined));
  equal(setattr(0b111)?.bytes.length, 104);
  deepEqual(defined(changes[0]), { mode: 0o4755, uid: 1000, gid: 1001, handle: 0, killSuidGid: false });
  setattr(1 << 3 | 1 << 6 | 1 << 11);
  deepEqual(defined(changes[1]), { length: 4096, handle: 12, killSuidGid: true });
  setattr(1 << 4 | 1 << 5 | 1 << 8 | 1 << 10);
  deepEqual(defined(changes[2]), {
    atime: { sec: -3, nsec: 1 },
    mtime: "now",
    ctime: { sec: 30, nsec: 3 },
    handle: 0,
    killSuidGid: false,
  });
});

Deno.test("times before 1970 and large numbers survive", () => {
  const old = { ...attr, mtime: -315619200, mtimeNsec: 5, length: 2 ** 45 + 1, ino: 2 ** 33 + 7 };
  const { send } = over({ getattr: () => ({ attr: old, attrTtlMs: 0 }) });
  const view = send(Opcode.GETATTR, {}, u32(0), u32(0), u64(0))?.body ?? new DataView(new ArrayBuffer(0));
  equal(getI64(view, 16 + AttrField.mtime), -315619200);
  equal(getU64(view, 16 + AttrField.size), 2 ** 45 + 1);
  equal(getU64(view, 16 + AttrField.ino), 2 ** 33 + 7);
});

Deno.test("the handle of GETATTR counts only with its flag; the caller is the request's", () => {
  const seen: unknown[] = [];
  const { send } = over({
    getattr({ uid, gid, pid }, ino, handle) {
      seen.push([uid, gid, pid, ino, handle]);
      return { attr, attrTtlMs: 0 };
    },
  });
  send(Opcode.GETATTR, { uid: 1, gid: 2, pid: 3, ino: 4 }, u32(0), u32(0), u64(5));
  send(Opcode.GETATTR, { uid: 1, gid: 2, pid: 3, ino: 4 }, u32(1), u32(0), u64(5));
  deepEqual(seen, [[1, 2, 3, 4, 0], [1, 2, 3, 4, 5]]);
});

Deno.test("OPEN passes flags on and says what the kernel may keep", () => {
  const seen: unknown[] = [];
  const { send } = over({
    open(_caller, ino, flags, kill) {
      seen.push([ino, flags, kill]);
      return { handle: 42, keepCache: true, directIo: seen.length > 1 };
    },
  });
  const first = send(Opcode.OPEN, { ino: 3 }, u32(0o1001), u32(1));
  deepEqual([first?.body.getUint32(0, true), first?.body.getUint32(8, true)], [42, 2]);
  equal(send(Opcode.OPEN, { ino: 3 }, u32(0), u32(0))?.body.getUint32(8, true), 3);
  deepEqual(seen, [[3, 0o1001, true], [3, 0, false]]);
});

Deno.test("READDIR fills the buffer that was asked for and goes on at the cookie", () => {
  const { send, tree } = overTree();
  const caller = { uid: 0, gid: 0, pid: 0 };
  const names = ["a", "bb", "c".repeat(255), "dddddddd"];
  for (const each of names) tree.mkdir(caller, 1, text(each), 0o755, 0);
  const handle = send(Opcode.OPENDIR, {}, u32(0), u32(0))?.body.getUint32(0, true) ?? 0;
  const listed: string[] = [];
  let offset = 0;
  for (let calls = 0;; calls++) {
    ok(calls < 10, "it ends");
    const answer = send(Opcode.READDIR, {}, u64(handle), u64(offset), u32(304), zeros(20));
    const { body: view, bytes } = answer ??
      { body: new DataView(new ArrayBuffer(0)), bytes: new Uint8Array() };
    ok(bytes.length <= 304);
    if (bytes.length === 0) break;
    for (let at = 0; at < bytes.length;) {
      const length = view.getUint32(at + 16, true);
      equal(view.getUint32(at + 20, true), 4, "DT_DIR");
      listed.push(new TextDecoder().decode(bytes.subarray(at + 24, at + 24 + length)));
      offset = getU64(view, at + 8);
      at += Math.ceil((24 + length) / 8) * 8;
    }
  }
  deepEqual(listed, [".", "..", ...names]);
});

Deno.test("READDIRPLUS gives references, and takes them back when the answer is lost or the listing fails", async () => {
  const { send, refuse, tree, server } = overTree();
  const caller = { uid: 0, gid: 0, pid: 0 };
  for (const each of ["a", "b"]) tree.mkdir(caller, 1, text(each), 0o755, 0);
  const lookups = () => [tree.nodes.get(2)?.lookups, tree.nodes.get(3)?.lookups];
  const handle = send(Opcode.OPENDIR, {}, u32(0), u32(0))?.body.getUint32(0, true) ?? 0;
  const answer = send(Opcode.READDIRPLUS, {}, u64(handle), u64(0), u32(4096), zeros(20));
  const view = answer?.body ?? new DataView(new ArrayBuffer(0));
  deepEqual([0, 160, 320, 480].map((at) => getU64(view, at)), [0, 0, 2, 3]);
  equal(getU64(view, 320 + EntryOut.attrValid), 1);
  deepEqual(lookups(), [2, 2]);
  refuse(true);
  send(Opcode.READDIRPLUS, {}, u64(handle), u64(0), u32(4096), zeros(20));
  deepEqual(lookups(), [2, 2]);
  equal(server.buffers.takenBytes, 0);

  const forgotten: number[] = [];
  const failing = over({
    async readdir(_caller, _ino, _handle, _offset, _plus, sink) {
      await null;
      sink(text("x"), 77, 0o40000, 1, entry.attr);
      throw new FsError("EIO", "the store is down");
    },
    forget: (ino) => void forgotten.push(ino),
  });
  equal((await failing.ask(Opcode.READDIRPLUS, {}, u64(1), u64(0), u32(4096), zeros(20))).errno, 5);
  deepEqual(forgotten, [77]);
});

Deno.test("references and handles of answers that nobody takes are given back", async () => {
  const back: unknown[] = [];
  const opened = { handle: 8, keepCache: false, directIo: false };
  const { send, refuse } = over({
    lookup: () => entry,
    mkdir: async () => await Promise.resolve(entry),
    create: () => ({ ...entry, ...opened }),
    open: () => opened,
    opendir: () => opened,
    forget: (ino, count) => void back.push(["forget", ino, count]),
    release: (ino, handle) => void back.push(["release", ino, handle]),
    releasedir: (ino, handle) => void back.push(["releasedir", ino, handle]),
  });
  refuse(true);
  send(Opcode.LOOKUP, {}, name("a"));
  send(Opcode.MKDIR, {}, u32(0), u32(0), name("a"));
  send(Opcode.CREATE, {}, u32(0), u32(0), u32(0), u32(0), name("a"));
  send(Opcode.OPEN, { ino: 5 }, u32(0), u32(0));
  send(Opcode.OPENDIR, { ino: 5 }, u32(0), u32(0));
  await new Promise((resolve) => setTimeout(resolve));
  deepEqual(back.map(String).sort(), [
    ...["forget,77,1", "forget,77,1", "forget,77,1"],
    ...["release,5,8", "release,77,8", "releasedir,5,8"],
  ]);
});

Deno.test("FORGET and BATCH_FORGET have no answer, not even to nonsense", () => {
  const back: unknown[] = [];
  const { send, answers } = over({ forget: (ino, count) => void back.push([ino, count]) });
  send(Opcode.FORGET, { ino: 7 }, u64(3));
  send(Opcode.BATCH_FORGET, {}, u32(2), u32(0), u64(8), u64(1), u64(9), u64(2));
  send(Opcode.BATCH_FORGET, {}, u32(1000), u32(0), u64(8), u64(1));
  send(Opcode.FORGET, { ino: 7 }, u32(3));
  deepEqual(back, [[7, 3], [8, 1], [9, 2]]);
  deepEqual(answers, []);
});

Deno.test("INTERRUPT marks the caller of a request in flight; of any other it is EAGAIN", async () => {
  const gate = Promise.withResolvers<void>();
  let caller: Caller | undefined;
  let calls = 0;
  const { send, server, answers } = over({
    async fsync(each) {
      caller = each;
      each.onInterrupt = () => calls++;
      await gate.promise;
      if (each.interrupted) throw new FsError("EINTR");
    },
  });
  send(Opcode.FSYNC, { unique: 10 }, u64(1), u32(0), u32(0));
  equal(send(Opcode.INTERRUPT, { unique: 11 }, u64(10)), undefined);
  send(Opcode.INTERRUPT, { unique: 11 }, u64(10));
  deepEqual([caller?.interrupted, calls], [true, 1]);
  gate.resolve();
  await server.idle();
  deepEqual(answers.map((each) => [each.unique, each.errno]), [[10, errnoNumbers.EINTR]]);
  equal(send(Opcode.INTERRUPT, { unique: 11 }, u64(10))?.errno, errnoNumbers.EAGAIN);
});

Deno.test("opcodes that are not served are ENOSYS", () => {
  const { send } = over({});
  for (const opcode of [0, 7, 37, 40, 52, 54, 4096, 0xffffffff]) {
    equal(send(opcode, {})?.errno, errnoNumbers.ENOSYS, `opcode ${opcode}`);
  }
});

Deno.test("malformed requests are EINVAL and a line in the log, and the server goes on", () => {
  const { send, server, lines, answers } = overTree();
  const noNul = raw(text("abc"));
  equal(send(Opcode.LOOKUP, {}, noNul)?.errno, errnoNumbers.EINVAL);
  equal(send(Opcode.LOOKUP, {})?.errno, errnoNumbers.EINVAL);
  equal(send(Opcode.MKDIR, {}, u32(0))?.errno, errnoNumbers.EINVAL);
  equal(send(Opcode.RENAME, {}, u64(1), name("a"), noNul)?.errno, errnoNumbers.EINVAL);
  equal(send(Opcode.GETATTR, { declaredLength: 999 }, zeros(16))?.errno, errnoNumbers.EINVAL);
  equal(send(Opcode.READ, {}, u64(1), u64(0), u32(0xffffffff), zeros(20))?.errno, errnoNumbers.EINVAL);
  const short = [u64(1), u64(0), u32(100), zeros(20), raw(new Uint8Array(99))];
  equal(send(Opcode.WRITE, {}, ...short)?.errno, errnoNumbers.EINVAL);
  equal(lines.length, 7);
  const before = answers.length;
  const { buffer } = request(Opcode.LOOKUP, {}, name("a"));
  server.handle(buffer, 39);
  equal(answers.length, before, "without a header there is nobody to answer");
  equal(send(Opcode.GETATTR, {}, zeros(16))?.errno, 0);
  equal(server.buffers.takenBytes, 0);
});

Deno.test("what no handler should throw is EIO and a line in the log", async () => {
  const { ask, lines } = over({
    unlink() {
      throw new TypeError("of undefined");
    },
    rmdir: () => Promise.reject("a string"),
    fsync: () => Promise.reject(new StoreError("fatal", "the bucket is full", { errno: "ENOSPC" })),
    readlink: () => new Uint8Array(100_000),
  });
  equal((await ask(Opcode.UNLINK, {}, name("a"))).errno, errnoNumbers.EIO);
  equal((await ask(Opcode.RMDIR, {}, name("a"))).errno, errnoNumbers.EIO);
  equal((await ask(Opcode.FSYNC, {}, zeros(16))).errno, errnoNumbers.ENOSPC);
  equal((await ask(Opcode.READLINK, {})).errno, errnoNumbers.EIO);
  deepEqual(lines.map(([level]) => level), ["error", "error", "error", "error"]);
  match(lines[0]?.[1] ?? "", /UNLINK of inode 1 failed: TypeError: of undefined/);
});

Deno.test("a storm of failures does not flood the log", async () => {
  const { ask, lines } = over({ unlink: () => Promise.reject(new Error("down")) });
  for (let i = 0; i < 200; i++) await ask(Opcode.UNLINK, {}, name("a"));
  equal(lines.length, 20);
});

Deno.test("STATFS counts in blocks", () => {
  const stat = { totalBytes: 2 ** 50, freeBytes: 2 ** 49, totalInodes: 10, freeInodes: 4, blockBytes: 4096 };
  const view = over({ statfs: () => stat }).send(Opcode.STATFS, {})?.body ?? new DataView(new ArrayBuffer(0));
  deepEqual([0, 8, 16, 24, 32].map((at) => getU64(view, at)), [2 ** 38, 2 ** 37, 2 ** 37, 10, 4]);
  deepEqual([40, 44, 48].map((at) => view.getUint32(at, true)), [4096, 255, 4096]);
});

Deno.test("the remaining calls get their arguments in order", async () => {
  const seen: unknown[] = [];
  const note = (kind: string, result?: unknown) => (_caller: unknown, ...args: unknown[]) => {
    seen.push([kind, ...args.map((arg) => arg instanceof Uint8Array ? new TextDecoder().decode(arg) : arg)]);
    return result as never;
  };
  const { ask } = over({
    mknod: note("mknod", entry),
    symlink: note("symlink", entry),
    link: note("link", entry),
    create: note("create", { ...entry, handle: 6, keepCache: false, directIo: true }),
    rename: note("rename"),
    flush: note("flush"),
    fsync: note("fsync"),
    fsyncdir: note("fsyncdir"),
    access: note("access"),
    fallocate: note("fallocate"),
    lseek: note("lseek", 2 ** 33),
    copyFileRange: note("copy", 4096),
    release: (ino, handle) => void seen.push(["release", ino, handle]),
  });
  const file = { ino: 3 };
  await ask(Opcode.MKNOD, file, u32(0o20644), u32(259), u32(0o22), u32(0), name("n"));
  await ask(Opcode.SYMLINK, file, name("n"), name("to"));
  await ask(Opcode.LINK, file, u64(9), name("n"));
  const created = await ask(Opcode.CREATE, file, u32(0o102), u32(0o644), u32(0o22), u32(0), name("n"));
  await ask(Opcode.RENAME, file, u64(9), name("n"), name("m"));
  await ask(Opcode.FLUSH, file, u64(6), zeros(16));
  await ask(Opcode.FSYNC, file, u64(6), u32(1), u32(0));
  await ask(Opcode.FSYNCDIR, file, u64(6), u32(0), u32(0));
  await ask(Opcode.ACCESS, file, u32(4), u32(0));
  await ask(Opcode.RELEASE, file, u64(6), zeros(16));
  await ask(Opcode.FALLOCATE, file, u64(6), u64(100), u64(200), u32(3), u32(0));
  const sought = await ask(Opcode.LSEEK, file, u64(6), u64(100), u32(4), u32(0));
  const ranges = [u64(6), u64(100), u64(9), u64(7), u64(200), u64(2 ** 40), u64(0)];
  const copied = await ask(Opcode.COPY_FILE_RANGE, file, ...ranges);
  deepEqual([getU64(sought.body, 0), getU64(copied.body, 0)], [2 ** 33, 4096]);
  deepEqual(seen, [
    ["mknod", 3, "n", 0o20644, 259, 0o22],
    ["symlink", 3, "n", "to"],
    ["link", 9, 3, "n"],
    ["create", 3, "n", 0o644, 0o102, 0o22],
    ["rename", 3, "n", 9, "m", 0],
    ["flush", 3, 6, "0.0"],
    ["fsync", 3, 6, true],
    ["fsyncdir", 3, 6, false],
    ["access", 3, 4],
    ["release", 3, 6],
    ["fallocate", 3, 6, 3, 100, 200],
    ["lseek", 3, 6, 100, 4],
    ["copy", { ino: 3, handle: 6, offset: 100 }, { ino: 9, handle: 7, offset: 200 }, 0x7fff_f000],
  ]);
  equal(created.bytes.length, 144);
  deepEqual([getU64(created.body, 128), created.body.getUint32(136, true)], [6, 1]);
});

Deno.test("random bytes never crash the server, and each request has at most one answer", async () => {
  const { server, answers } = overTree();
  const zeroOrAny = fc.oneof(fc.constant(0), fc.nat(255));
  const requests = fc.array(fc.tuple(fc.nat(54), fc.nat(4), fc.array(zeroOrAny, { maxLength: 200 })));
  const parameters = { numRuns: 300, seed: Math.floor(Math.random() * 2 ** 31) };
  console.log(`seed ${parameters.seed}`);
  await fc.assert(
    fc.asyncProperty(requests, async (each) => {
      const before = answers.length;
      for (const [opcode, ino, bytes] of each) {
        const { buffer, length } = request(opcode, { ino }, raw(Uint8Array.from(bytes)));
        server.handle(buffer, length);
      }
      await server.idle();
      ok(answers.length - before <= each.length);
      equal(server.buffers.takenBytes, 0);
    }),
    parameters,
  );
});

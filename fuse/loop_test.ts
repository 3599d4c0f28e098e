import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { systemEnv } from "../core/env.ts";
import type { Vfs } from "../core/vfs/types.ts";
import { request, u32, u64, zeros } from "../tests/helpers/fuse_bytes.ts";
import { Opcode } from "./abi.ts";
import type { IoBuffer } from "./codec.ts";
import type { Device } from "./device.ts";
import { ECONNABORTED, errnoNumbers } from "./errno.ts";
import { runLoop } from "./loop.ts";
import { createFuseServer } from "./server.ts";

const WRITE_BYTES = 1 << 20;
const env = systemEnv();

/** A device that a test feeds. */
function fakeDevice() {
  const queue: { buffer: IoBuffer; length: number }[] = [];
  let wake: (() => void) | undefined;
  let end = 0;
  const counts = { reads: 0, polls: 0, polling: 0, answers: 0 };
  const device: Device = {
    fd: -1,
    read(into) {
      counts.reads++;
      const next = queue.shift();
      if (next === undefined) return end !== 0 ? end : -errnoNumbers.EAGAIN;
      into.set(next.buffer.bytes.subarray(0, next.length));
      return next.length;
    },
    write: () => (counts.answers++, 0),
    writeAsync: () => Promise.resolve(),
    async poll(timeoutMs) {
      counts.polls++;
      counts.polling++;
      // The real one is on another thread: it always takes a turn of the event loop.
      await turn();
      if (timeoutMs > 0 && queue.length === 0 && end === 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeoutMs);
          wake = () => (clearTimeout(timer), resolve());
        });
      }
      counts.polling--;
    },
    close() {},
  };
  return {
    device,
    counts,
    push(...requests: { buffer: IoBuffer; length: number }[]) {
      queue.push(...requests);
      wake?.();
    },
    end(result: number) {
      end = result;
      wake?.();
    },
    get waiting() {
      return queue.length;
    },
  };
}

function serve(calls: Partial<Vfs>) {
  const fake = fakeDevice();
  const server = createFuseServer({
    vfs: calls as Vfs,
    env,
    reply: () => fake.device.write(new Uint8Array(), 0) === 0,
    onSettled: () => loop.wake(),
  });
  const loop = runLoop({ device: fake.device, server, env, payloadBytesMax: WRITE_BYTES });
  return { ...fake, fake, server, loop };
}

const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));
let unique = 2;
const access = () => request(Opcode.ACCESS, { unique: unique += 2 }, u32(4), u32(0));
const write = () =>
  request(
    Opcode.WRITE,
    { unique: unique += 2 },
    ...[u64(1), u64(0), u32(WRITE_BYTES), u32(0), zeros(16), zeros(WRITE_BYTES)],
  );

Deno.test("the loop ends with the mount, after what is in flight", async () => {
  const gate = Promise.withResolvers<void>();
  const { push, end, loop, counts } = serve({ access: () => gate.promise });
  push(access());
  await turn();
  end(-errnoNumbers.ENODEV);
  let ended = false;
  loop.done.then(() => ended = true);
  await turn(20);
  equal(ended, false);
  gate.resolve();
  equal(await loop.done, "unmounted");
  deepEqual([counts.answers, counts.polling], [1, 0]);
});

Deno.test("an aborted connection, a request to stop and a broken device are told apart", async () => {
  const aborted = serve({});
  aborted.end(-ECONNABORTED);
  equal(await aborted.loop.done, "aborted");

  const stopped = serve({});
  await turn();
  stopped.loop.stop();
  equal(await stopped.loop.done, "stopped");
  equal(stopped.counts.polling, 0);

  const broken = serve({});
  broken.end(-errnoNumbers.EFAULT);
  await rejects(broken.loop.done, /reading \/dev\/fuse failed: EFAULT/);
});

Deno.test("requests without end do not starve the event loop", async () => {
  let answered = 0;
  const { push, end, loop } = serve({
    access() {
      answered++;
      // There is always one more.
      push(access());
    },
  });
  push(access());
  for (let i = 0; i < 20; i++) await turn();
  ok(answered > 100);
  end(-errnoNumbers.ENODEV);
  loop.stop();
  await loop.done;
});

Deno.test("the writes that are held are bounded, and the loop goes on when they are done", async () => {
  const gate = Promise.withResolvers<void>();
  const { push, end, loop, server, counts, fake } = serve({
    write: () => gate.promise.then(() => WRITE_BYTES),
  });
  const all = Array.from({ length: 120 }, write);
  push(...all);
  for (let reads = -1; reads !== counts.reads;) {
    reads = counts.reads;
    await turn(100);
  }
  ok(fake.waiting > 0, "some wait in the kernel: the loop has stopped asking for them");
  ok(server.buffers.takenBytes < 100 << 20);
  // All are done at the same moment: the loop must not miss it.
  gate.resolve();
  for (let i = 0; counts.answers < all.length; i++) {
    ok(i < 1000, "every write is answered");
    await turn(5);
  }
  end(-errnoNumbers.ENODEV);
  await loop.done;
  equal(server.buffers.takenBytes, 0);
});

Deno.test("an idle loop waits in poll", async () => {
  const { push, end, loop, counts } = serve({ access() {} });
  push(access());
  await turn(100);
  const before = { ...counts };
  await turn(300);
  deepEqual([counts.reads - before.reads, counts.polls - before.polls, counts.polling], [0, 0, 1]);
  push(access());
  await turn(20);
  equal(counts.answers, 2);
  end(-errnoNumbers.ENODEV);
  await loop.done;
});

Deno.test("while an answer waits for the outside, other requests are served", async () => {
  const gate = Promise.withResolvers<void>();
  const { push, end, loop, counts } = serve({
    access: (_caller, ino) => ino === 2 ? gate.promise : undefined,
  });
  push(request(Opcode.ACCESS, { unique: unique += 2, ino: 2 }, u32(4), u32(0)));
  await turn(10);
  push(access(), access());
  await turn(10);
  equal(counts.answers, 2);
  gate.resolve();
  await turn(10);
  equal(counts.answers, 3);
  end(-errnoNumbers.ENODEV);
  await loop.done;
});

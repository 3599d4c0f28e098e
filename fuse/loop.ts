/**
 * The request loop: takes requests from the device and lets everything else of the process run in between.
 *
 * How it waits, and why: a request that comes soon is found by trying again (a few microseconds); one that comes late by
 * poll(2) on another thread, which leaves the event loop free and costs no CPU, but wakes up some 60 us later.
 * 1. Requests are there: they are handled one after another. While handlers are unfinished, promises get a turn after each
 *    request, and the event loop (timers, network) gets one every YIELD_MS.
 * 2. None is there, handlers are unfinished: promises get up to ROUNDS turns, which is all that an engine needs whose
 *    answer does not depend on the outside.
 * 3. Nothing is unfinished: tries again for SPIN_US, as long as that paid off lately.
 * 4. Waits for poll, or for an answer (its caller will probably ask again).
 *
 * Invariants:
 * - No poll is under way when the device is closed.
 * - A request buffer is read into again only when its handler does not use it any more.
 * - Requests in flight and the bytes they hold are bounded: at a bound the kernel's requests wait in the kernel.
 * - The loop ends only after every request in flight has been answered.
 */
import type { Env } from "../core/env.ts";
import { HEADER_ROOM_BYTES } from "./buffer_pool.ts";
import type { Device } from "./device.ts";
import { ECONNABORTED, errnoName, errnoNumbers } from "./errno.ts";
import type { FuseServer } from "./server.ts";

const SPIN_US = 50;
/** Spins in a row that may fail before the loop stops trying until a request comes soon again. */
const SPIN_CREDIT = 4;
/** A poll that took less than this says that requests come soon. */
const SOON_MS = 0.2;
const ROUNDS = 64;
/**
 * How long the event loop may wait for its turn. A turn is an asynchronous call that is done at once (some 60 us): the
 * process has to sleep for a moment, or Deno looks at the network only every 61st turn. Messages to oneself and
 * setImmediate, which are cheaper, delay a fetch by 40 ms to 10 s under load, and timers by up to 250 ms.
 */
const YIELD_MS = 2;
/** Requests handled between two looks at the clock. */
const CLOCK_EVERY = 8;
/** poll(2) gives up after this, so that a loop that was asked to stop sees it. */
const POLL_MS = 1000;
const IN_FLIGHT_MAX = 512;
const HELD_BYTES_MAX = 96 << 20;
/** Reads that fail for no known reason, in a row, before the loop gives up. */
const FAILURES_MAX = 100;

/** - unmounted: the mount is gone. - aborted: someone ended the connection (/sys/fs/fuse/connections). */
export type LoopEnd = "unmounted" | "aborted" | "stopped";

export interface RequestLoop {
  /** Rejects only if the device fails in a way that cannot be. */
  readonly done: Promise<LoopEnd>;
  /** Something was answered from outside of the loop. */
  wake(): void;
  /** Takes no more requests; those in flight are answered. */
  stop(): void;
}

export interface LoopOptions {
  readonly device: Device;
  readonly server: FuseServer;
  readonly env: Env;
  readonly payloadBytesMax: number;
}

export function runLoop(options: LoopOptions): RequestLoop {
  const { device, server, env } = options;
  const { buffers } = server;
  const requestBytes = options.payloadBytesMax + HEADER_ROOM_BYTES;
  let stopping = false;
  let wakeUp: (() => void) | undefined;
  let polling: Promise<void> | undefined;

  function wake(): void {
    const resolve = wakeUp;
    wakeUp = undefined;
    resolve?.();
  }

  function startPoll(): void {
    polling = device.poll(POLL_MS).finally(() => {
      polling = undefined;
      wake();
    });
  }

  /** Until poll returns or something is answered. */
  function rest(): Promise<void> {
    const promise = new Promise<void>((resolve) => wakeUp = resolve);
    if (polling === undefined) startPoll();
    return promise;
  }

  function isFull(): boolean {
    return server.inFlight >= IN_FLIGHT_MAX || buffers.takenBytes > HELD_BYTES_MAX;
  }

  async function run(): Promise<LoopEnd> {
    let buffer = buffers.take(requestBytes);
    let sinceClock = 0;
    let yieldedMs = env.monotonicMs();
    let rounds = 0;
    let spinUntilMs = 0;
    let credit = SPIN_CREDIT;
    let failures = 0;
    try {
      while (!stopping) {
        // No poll here: it would return at once for requests that are not taken now.
        if (isFull()) {
          await new Promise<void>((resolve) => wakeUp = resolve);
          continue;
        }
        const length = device.read(buffer.bytes);
        if (length >= 0) {
          const held = server.handle(buffer, length);
          if (held !== undefined) {
            const inUse = buffer;
            held.then(() => {
              buffers.give(inUse);
              // The loop may have looked already, woken by the answer itself, and found the bound still reached.
              wake();
            });
            buffer = buffers.take(requestBytes);
          }
          failures = 0;
          rounds = 0;
          if (spinUntilMs !== 0) {
            spinUntilMs = 0;
            credit = SPIN_CREDIT;
          }
          if (server.inFlight > 0) await null;
          if (++sinceClock >= CLOCK_EVERY) {
            sinceClock = 0;
            if (env.monotonicMs() - yieldedMs > YIELD_MS) {
              await device.poll(0);
              yieldedMs = env.monotonicMs();
            }
          }
          continue;
        }

        if (length !== -errnoNumbers.EAGAIN) {
          const end = endOf(length);
          if (end !== undefined) return end;
          // EINTR, and ENOENT for a request that was aborted while it was read: try again.
          if (++failures > FAILURES_MAX) throw new Error(`reading /dev/fuse failed: ${errnoName(-length)}`);
          await device.poll(0);
          continue;
        }

        if (server.inFlight > 0) {
          if (rounds < ROUNDS) {
            rounds += 4;
            await null;
            await null;
            await null;
            await null;
            continue;
          }
        } else if (credit > 0) {
          const nowMs = env.monotonicMs();
          if (spinUntilMs === 0) spinUntilMs = nowMs + SPIN_US / 1000;
          if (nowMs < spinUntilMs) continue;
          spinUntilMs = 0;
          credit--;
        }

        const startMs = env.monotonicMs();
        await rest();
        yieldedMs = env.monotonicMs();
        rounds = 0;
        sinceClock = 0;
        if (yieldedMs - startMs < SOON_MS) credit = SPIN_CREDIT;
      }
      return "stopped";
    } finally {
      buffers.give(buffer);
      // Nobody is left who could unlock.
      server.interruptWaiting();
      await server.idle();
      await polling;
    }
  }

  return {
    done: run(),
    wake,
    stop() {
      stopping = true;
      wake();
    },
  };
}

/** The end that a failed read means, if it means one. */
function endOf(result: number): LoopEnd | undefined {
  if (result === -errnoNumbers.ENODEV) return "unmounted";
  if (result === -ECONNABORTED) return "aborted";
  return undefined;
}

import { deepEqual, equal, notEqual } from "node:assert/strict";
import { BufferBudget, BufferPool, Fifo } from "./buffers.ts";

Deno.test("a pool gives buffers back, keeps a bounded number and takes only whole ones", () => {
  const pool = new BufferPool(100, 2);
  const [a, b, c] = [pool.take(), pool.take(), pool.take()];
  notEqual(a, b);
  pool.give(new Uint8Array(200).subarray(0, 100));
  pool.give(new Uint8Array(99));
  for (const buffer of [a, b, c]) pool.give(buffer);
  equal(pool.take(), b);
  equal(pool.take(), a);
  notEqual(pool.take(), c, "the third was one too many");
});

Deno.test("the budget serves in order and lets nobody pass those who wait", () => {
  const budget = new BufferBudget(100);
  const served: string[] = [];
  const wait = (name: string, bytes: number) =>
    budget.wait({
      ino: name.charCodeAt(0),
      bytes,
      sinceMs: 0,
      grant: () => served.push(name),
      fail: () => served.push(`${name} failed`),
    });
  equal(budget.tryTake(80), true);
  equal(budget.tryTake(30), false);
  wait("a", 50);
  wait("b", 10);
  equal(budget.tryTake(5), false, "there is room, but others were first");
  deepEqual(served, []);
  budget.release(20);
  deepEqual(served, [], "b would fit and is behind a");
  budget.release(10);
  deepEqual(served, ["a"]);
  equal(budget.usedBytes, 100);
  wait("c", 1);
  budget.failWaiters((waiter) => waiter.ino === "b".charCodeAt(0) ? new Error("gone") : null);
  deepEqual(served, ["a", "b failed"]);
  budget.release(100);
  deepEqual(served, ["a", "b failed", "c"]);
  equal(budget.usedBytes, 1);
  equal(budget.isWaitedFor, false);
  equal(budget.tryTake(99), true);
});

Deno.test("a queue keeps its order over thousands of items", () => {
  const queue = new Fifo<number>();
  let pushed = 0;
  let taken = 0;
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 70; i++) queue.push(pushed++);
    for (let i = 0; i < 50; i++) equal(queue.shift(), taken++);
    equal(queue.length, pushed - taken);
  }
  while (queue.length > 0) equal(queue.shift(), taken++);
  equal(taken, pushed);
  equal(queue.shift(), undefined);
});

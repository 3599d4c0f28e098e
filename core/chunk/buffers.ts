/**
 * Memory of the data path: a pool of equal buffers, and the budget of bytes that may wait to be stored.
 */

/**
 * Buffers of one size, used again and again: garbage collection of large buffers comes too late to keep memory flat, and
 * a fresh one costs page faults. A buffer given back must not be referenced by anyone else. Buffers are not cleared.
 */
export class BufferPool {
  private readonly free: Uint8Array[] = [];

  /** At most `freeMax` unused buffers are kept. */
  constructor(readonly sizeBytes: number, private readonly freeMax: number) {}

  take(): Uint8Array {
    return this.free.pop() ?? new Uint8Array(this.sizeBytes);
  }

  /** Takes back a buffer; one that is not a whole buffer of this size is left to the garbage collector. */
  give(buffer: Uint8Array): void {
    if (buffer.length !== this.sizeBytes || buffer.buffer.byteLength !== this.sizeBytes) return;
    if (this.free.length < this.freeMax) this.free.push(buffer);
  }
}

/** Somebody who waits for `bytes` of the budget. */
export interface BudgetWaiter {
  readonly ino: number;
  readonly bytes: number;
  readonly sinceMs: number;
  /** Called once, when the bytes have been taken for the waiter. */
  readonly grant: () => void;
  readonly fail: (error: Error) => void;
}

/**
 * How many bytes of buffers may hold data that is not stored yet. First come, first served: while somebody waits,
 * `tryTake` refuses everybody else.
 */
export class BufferBudget {
  usedBytes = 0;
  /** Counts releases: tells a slow store from a dead one. */
  releases = 0;
  private waiters: BudgetWaiter[] = [];

  constructor(readonly limitBytes: number) {}

  tryTake(bytes: number): boolean {
    if (this.waiters.length > 0 || this.usedBytes + bytes > this.limitBytes) return false;
    this.usedBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.usedBytes -= bytes;
    this.releases++;
    this.serve();
  }

  wait(waiter: BudgetWaiter): void {
    this.waiters.push(waiter);
    this.serve();
  }

  get isWaitedFor(): boolean {
    return this.waiters.length > 0;
  }

  /** Ends the waiting of those for whom `errorOf` has an error. */
  failWaiters(errorOf: (waiter: BudgetWaiter) => Error | null): void {
    if (this.waiters.length === 0) return;
    const failed: [BudgetWaiter, Error][] = [];
    this.waiters = this.waiters.filter((waiter) => {
      const error = errorOf(waiter);
      if (error !== null) failed.push([waiter, error]);
      return error === null;
    });
    for (const [waiter, error] of failed) waiter.fail(error);
    this.serve();
  }

  private serve(): void {
    for (;;) {
      const first = this.waiters[0];
      if (first === undefined || this.usedBytes + first.bytes > this.limitBytes) return;
      this.waiters.shift();
      this.usedBytes += first.bytes;
      first.grant();
    }
  }
}

/** A queue whose `shift` does not move what is left. */
export class Fifo<T> {
  private items: (T | undefined)[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    if (this.head === this.items.length) return undefined;
    const item = this.items[this.head];
    this.items[this.head++] = undefined;
    if (this.head === this.items.length || this.head > 1024) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}

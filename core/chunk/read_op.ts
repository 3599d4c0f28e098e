/** ReadOp: the one promise of a read that needs several fetches. */
import type { FsError } from "../errors.ts";

/**
 * After it has settled nothing may be copied into the reader's buffer any more, which the reader may use for something
 * else by then: `isDone` says so.
 */
export class ReadOp {
  isDone = false;
  readonly promise: Promise<number>;
  private missing = 0;
  private resolve: (lengthBytes: number) => void = () => {};
  private reject: (error: FsError) => void = () => {};

  constructor(private readonly lengthBytes: number) {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  /** One more part is awaited. All parts are added before the first of them can arrive. */
  add(): void {
    this.missing++;
  }

  arrived(): void {
    if (--this.missing > 0 || this.isDone) return;
    this.isDone = true;
    this.resolve(this.lengthBytes);
  }

  fail(error: FsError): void {
    if (this.isDone) return;
    this.isDone = true;
    this.reject(error);
  }
}

/** What the file must be: its bytes in memory, and which operation put each of them there. */
export class Shadow {
  length = 0;
  /** As long as the file may ever get; zeros behind `length`. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytesMax: number) {
    this.bytes = new Uint8Array(bytesMax);
  }

  truncate(length: number): void {
    if (length < this.length) this.bytes.fill(0, length, this.length);
    this.length = length;
  }

  grow(length: number): void {
    this.length = Math.max(this.length, length);
  }

  /** Within the file only: what is behind its end is zeros already. */
  clear(at: number, length: number): void {
    this.bytes.fill(0, at, Math.min(this.length, at + length));
  }

  write(at: number, data: Uint8Array): void {
    this.bytes.set(data, at);
    this.grow(at + data.length);
  }

  /** Bytes from `at`, as many as there are of `length`. */
  read(at: number, length: number): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(at, Math.max(at, Math.min(this.length, at + length)));
  }
}

/** Bytes that tell the operation which wrote them; never zero, so that a hole is never taken for them. */
export function fill(data: Uint8Array, operation: number, at: number): void {
  for (let i = 0; i < data.length; i++) {
    const place = at + i;
    data[i] = 1 + ((Math.imul(operation, 59) + place + (place >>> 8) * 7) >>> 0) % 255;
  }
}

export interface Difference {
  /** Offset in the file. */
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly expected: string;
  readonly got: string;
}

/** Where `got`, which was read at `at`, is not what it must be; null if it is. */
export function difference(expected: Uint8Array, got: Uint8Array, at: number): Difference | null {
  let first = -1;
  let last = -1;
  let count = 0;
  for (let i = 0; i < expected.length; i++) {
    if (expected[i] === got[i]) continue;
    if (first < 0) first = i;
    last = i;
    count++;
  }
  if (first < 0) return null;
  const shown = (bytes: Uint8Array) =>
    [...bytes.subarray(first, Math.min(first + 16, bytes.length))]
      .map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return { first: at + first, last: at + last, count, expected: shown(expected), got: shown(got) };
}

/** A file's contents for the reference: any offset, memory only where something was written. */
const PAGE_BYTES = 64 << 10;

export class SparseBytes {
  length = 0;
  #pages = new Map<number, Uint8Array>();

  read(offset: number, length: number): Uint8Array {
    const count = Math.max(0, Math.min(length, this.length - offset));
    const into = new Uint8Array(count);
    for (let done = 0; done < count;) {
      const page = Math.floor((offset + done) / PAGE_BYTES);
      const within = offset + done - page * PAGE_BYTES;
      const piece = Math.min(count - done, PAGE_BYTES - within);
      const bytes = this.#pages.get(page);
      if (bytes !== undefined) into.set(bytes.subarray(within, within + piece), done);
      done += piece;
    }
    return into;
  }

  write(offset: number, data: Uint8Array): void {
    for (let done = 0; done < data.length;) {
      const page = Math.floor((offset + done) / PAGE_BYTES);
      const within = offset + done - page * PAGE_BYTES;
      const piece = Math.min(data.length - done, PAGE_BYTES - within);
      let bytes = this.#pages.get(page);
      if (bytes === undefined) this.#pages.set(page, bytes = new Uint8Array(PAGE_BYTES));
      bytes.set(data.subarray(done, done + piece), within);
      done += piece;
    }
    if (data.length > 0) this.length = Math.max(this.length, offset + data.length);
  }

  truncate(length: number): void {
    if (length < this.length) {
      for (const [page, bytes] of this.#pages) {
        const start = page * PAGE_BYTES;
        if (start >= length) this.#pages.delete(page);
        else if (start + PAGE_BYTES > length) bytes.fill(0, length - start);
      }
    }
    this.length = length;
  }

  /** Ranges worth comparing: every written page with some bytes on both sides, the end, and holes' middles. */
  interesting(): { offset: number; length: number }[] {
    const around = 4096;
    const ranges: { offset: number; length: number }[] = [];
    const add = (start: number, end: number) => {
      const offset = Math.max(0, start - around);
      const last = ranges.at(-1);
      if (last !== undefined && offset <= last.offset + last.length) {
        last.length = Math.max(last.length, end + around - last.offset);
      } else ranges.push({ offset, length: end + around - offset });
    };
    let previousEnd = 0;
    for (const page of [...this.#pages.keys()].sort((a, b) => a - b)) {
      const start = page * PAGE_BYTES;
      if (start - previousEnd > 4 * PAGE_BYTES) {
        const middle = Math.floor((previousEnd + start) / 2);
        add(middle, middle + around);
      }
      add(start, start + PAGE_BYTES);
      previousEnd = start + PAGE_BYTES;
    }
    add(Math.max(0, this.length - around), this.length);
    return ranges;
  }
}

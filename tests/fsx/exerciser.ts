/**
 * Runs operations on a file by system calls, each one checked against what the file must be. The file's bytes are read
 * and written from page-aligned memory, so that O_DIRECT takes them.
 */
import { errnoName, FALLOC, O, SEEK } from "../posix/abi.ts";
import { fstat, open } from "../posix/sys.ts";
import {
  close,
  copyFileRange,
  fallocate,
  fdatasync,
  fsync,
  ftruncate,
  lseek,
  MAP,
  type Mapping,
  mmap,
  preadMapped,
  PROT,
  pwriteMapped,
} from "../posix/sys_file.ts";
import { describe, type Kind, type Operation, PAGE_BYTES, type RangeKind, type Shape } from "./operations.ts";
import { difference, fill, Shadow } from "./shadow.ts";

/** Takes clean pages out of the kernel's cache. */
const { symbols: c } = Deno.dlopen("libc.so.6", {
  posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" },
});
const FADV_DONTNEED = 4;
const POLLUTION = 0xee;

export interface Target {
  /** The file; it is made new. */
  readonly path: string;
  /** Unmounts and mounts; the file is closed meanwhile. Without it `remount` is `reopen`. */
  readonly remount?: () => Promise<void>;
  /** All reads and writes with O_DIRECT: the shape's alignment must be what it needs. */
  readonly direct?: boolean;
}

/** An operation and its number in the whole sequence: what it writes tells the number. */
export interface Numbered {
  readonly number: number;
  readonly operation: Operation;
}

export interface Failure extends Numbered {
  readonly message: string;
}

/** The file is not what it must be, or a call failed. */
class Failed extends Error {}

/** Null if everything was as it must be. `onStart` is told of each operation before it runs. */
export async function runOperations(
  list: readonly Numbered[],
  shape: Shape,
  target: Target,
  onStart: (next: Numbered) => void = () => {},
): Promise<Failure | null> {
  const run = new Run(shape, target);
  let current = list[0];
  try {
    for (const next of list) {
      current = next;
      onStart(next);
      if (next.operation.do === "remount") await run.remount();
      else run.apply(next);
      run.checkLength();
    }
    run.checkAll();
    return null;
  } catch (error) {
    if (!(error instanceof Failed) || current === undefined) throw error;
    return { ...current, message: `${error.message}${writersOf(list, current, run.differsAt)}` };
  } finally {
    run.end();
  }
}

/** The kinds that the file system at this path does not have. */
export function unsupported(path: string): Kind[] {
  const missing: Kind[] = [];
  const fd = must("open", open(path, O.RDWR | O.CREAT | O.TRUNC, 0o644));
  must("ftruncate", ftruncate(fd, 2 * PAGE_BYTES));
  for (const kind of ["punch", "zero", "zeroKeep", "allocate", "allocateKeep"] as const) {
    if (fallocate(fd, fallocateModes[kind], 0, PAGE_BYTES) < 0) missing.push(kind);
  }
  if (copyFileRange(fd, 0, fd, PAGE_BYTES, PAGE_BYTES) < 0) missing.push("copy");
  const direct = open(path, O.RDONLY | O.DIRECT);
  if (direct < 0) missing.push("directRead", "directWrite");
  else close(direct);
  close(fd);
  return missing;
}

const fallocateModes = {
  punch: FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE,
  zero: FALLOC.ZERO_RANGE,
  zeroKeep: FALLOC.ZERO_RANGE | FALLOC.KEEP_SIZE,
  allocate: 0,
  allocateKeep: FALLOC.KEEP_SIZE,
} as const;

class Run {
  readonly #target: Target;
  readonly #baseBytes: number;
  readonly #bytesMax: number;
  readonly #shadow: Shadow;
  readonly #memory: Mapping;
  #fd: number;
  /** The page that has bytes behind the file's end, which a mapping shows; -1 if none has. */
  #pollutedPage = -1;
  /** Offset of the first wrong byte. */
  differsAt: number | undefined;

  constructor(shape: Shape, target: Target) {
    this.#target = target;
    this.#baseBytes = shape.baseBytes;
    this.#bytesMax = shape.baseBytes + shape.fileBytes;
    this.#shadow = new Shadow(this.#bytesMax);
    const memory = mmap(
      -1,
      Math.max(1 << 20, shape.operationBytes + 2 * PAGE_BYTES),
      PROT.READ | PROT.WRITE,
      MAP.PRIVATE | MAP.ANONYMOUS,
    );
    if (typeof memory === "number") throw new Error(`mmap: ${errnoName(memory)}`);
    this.#memory = memory;
    this.#fd = this.#open(O.CREAT | O.TRUNC);
  }

  apply({ number, operation }: Numbered): void {
    const shadow = this.#shadow;
    switch (operation.do) {
      case "truncate":
        must("ftruncate", ftruncate(this.#fd, operation.length));
        if (operation.length < shadow.length) this.#pollutedPage = -1;
        shadow.truncate(operation.length);
        return;
      case "copy":
        return this.#copy(operation.at, operation.to, operation.length);
      case "seek":
        return this.#seek(operation.at);
      case "fsync":
        return void must("fsync", fsync(this.#fd));
      case "fdatasync":
        return void must("fdatasync", fdatasync(this.#fd));
      case "drop":
        return void must("posix_fadvise", -c.posix_fadvise(this.#fd, 0n, 0n, FADV_DONTNEED));
      case "pollute":
        return this.#pollute();
      case "reopen":
        return this.#reopen();
      case "remount":
        throw new Error("remount() is for that");
      default:
        this.#range(operation.do, number, operation.at, operation.length);
    }
  }

  async remount(): Promise<void> {
    if (this.#target.remount === undefined) return this.#reopen();
    must("close", close(this.#fd));
    this.#fd = -1;
    await this.#target.remount();
    this.#pollutedPage = -1;
    this.#fd = this.#open();
    this.checkLength();
    this.checkAll();
  }

  checkLength(): void {
    const stat = fstat(this.#fd);
    if (typeof stat === "number") throw new Failed(`fstat: ${errnoName(stat)}`);
    if (stat.size !== this.#shadow.length) {
      throw new Failed(`the length is ${stat.size}, not ${this.#shadow.length}`);
    }
  }

  /** The whole file, as read(2) shows it; or only what is worked on. */
  checkAll(from = 0): void {
    const step = this.#memory.bytes.length;
    for (let at = from; at < this.#shadow.length; at += step) this.#read(this.#fd, at, step);
  }

  end(): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#memory.unmap();
  }

  #open(flags = 0): number {
    const direct = this.#target.direct === true ? O.DIRECT : 0;
    return must("open", open(this.#target.path, O.RDWR | direct | flags, 0o644));
  }

  #reopen(): void {
    must("close", close(this.#fd));
    this.#fd = -1;
    this.#fd = this.#open();
    this.checkAll(this.#baseBytes);
  }

  #range(kind: RangeKind, number: number, at: number, length: number): void {
    const shadow = this.#shadow;
    switch (kind) {
      case "read":
        return this.#read(this.#fd, at, length);
      case "directRead":
        return this.#directRead(at, length);
      case "directWrite":
        return this.#directWrite(number, at, length);
      case "mapRead":
        return this.#mapRead(at, length);
      case "mapWrite":
        return this.#mapWrite(number, at, length);
      case "write":
        return this.#write(this.#fd, number, at, length);
      default: {
        must("fallocate", fallocate(this.#fd, fallocateModes[kind], at, length));
        if (kind === "zero" || kind === "allocate") shadow.grow(at + length);
        if (kind !== "allocate" && kind !== "allocateKeep") shadow.clear(at, length);
      }
    }
  }

  #read(fd: number, at: number, length: number): void {
    const expected = this.#shadow.read(at, length);
    const got = must("pread", preadMapped(fd, this.#memory, length, at));
    if (got !== expected.length) {
      throw new Failed(`pread of ${length} bytes at ${at} gave ${got}, not ${expected.length}`);
    }
    this.#compare(expected, this.#memory.bytes.subarray(0, got), at, "read");
  }

  #write(fd: number, number: number, at: number, length: number): void {
    const data = this.#memory.bytes.subarray(0, length);
    fill(data, number, at);
    const written = must("pwrite", pwriteMapped(fd, this.#memory, 0, length, at));
    if (written !== length) throw new Failed(`pwrite wrote ${written} of ${length} bytes`);
    this.#shadow.write(at, data);
  }

  /** Of the whole pages around the range, as far as they lie in what is worked on. */
  #directWrite(number: number, at: number, length: number): void {
    const start = at - at % PAGE_BYTES;
    const end = Math.min(
      Math.ceil((at + length) / PAGE_BYTES) * PAGE_BYTES,
      this.#bytesMax - this.#bytesMax % PAGE_BYTES,
    );
    if (end <= start) return;
    // Linux file systems (ext4 of 6.18) show such bytes when O_DIRECT makes the file longer.
    if (this.#pollutedPage >= 0 && end > this.#shadow.length) return;
    const fd = must("open with O_DIRECT", open(this.#target.path, O.WRONLY | O.DIRECT));
    try {
      this.#write(fd, number, start, end - start);
    } finally {
      close(fd);
    }
  }

  /** Of the whole pages around the range. */
  #directRead(at: number, length: number): void {
    const fd = must("open with O_DIRECT", open(this.#target.path, O.RDONLY | O.DIRECT));
    try {
      const start = at - at % PAGE_BYTES;
      this.#read(fd, start, Math.ceil((at + length - start) / PAGE_BYTES) * PAGE_BYTES);
    } finally {
      close(fd);
    }
  }

  /** A mapping of the pages of a range; `within` is its first byte's place in it. */
  #map(at: number, length: number, prot: number): { mapping: Mapping; within: number } {
    const start = at - at % PAGE_BYTES;
    const pages = Math.ceil((at + length - start) / PAGE_BYTES);
    const mapping = mmap(this.#fd, pages * PAGE_BYTES, prot, MAP.SHARED, start);
    if (typeof mapping === "number") throw new Failed(`mmap: ${errnoName(mapping)}`);
    return { mapping, within: at - start };
  }

  #mapRead(at: number, length: number): void {
    const expected = this.#shadow.read(at, length);
    // Pages behind the end of file cannot be read: SIGBUS.
    if (expected.length === 0) return;
    const { mapping, within } = this.#map(at, expected.length, PROT.READ);
    try {
      this.#compare(expected, mapping.bytes.subarray(within), at, "mapped");
      if (at + expected.length === this.#shadow.length) {
        this.#checkBehindEnd(mapping, within + expected.length);
      }
    } finally {
      mapping.unmap();
    }
  }

  #mapWrite(number: number, at: number, length: number): void {
    const shadow = this.#shadow;
    if (at + length > shadow.length) {
      must("ftruncate", ftruncate(this.#fd, at + length));
      shadow.grow(at + length);
    }
    const { mapping, within } = this.#map(at, length, PROT.READ | PROT.WRITE);
    try {
      const data = new Uint8Array(length);
      fill(data, number, at);
      mapping.bytes.set(data, within);
      shadow.write(at, data);
      if (number % 2 === 0) must("msync", mapping.sync());
      if (at + length === shadow.length) this.#checkBehindEnd(mapping, within + length);
    } finally {
      mapping.unmap();
    }
  }

  /** mmap(2): the rest of the last page is zeros. */
  #checkBehindEnd(mapping: Mapping, from: number): void {
    if (pageOf(this.#shadow.length) === this.#pollutedPage) return;
    const at = mapping.bytes.subarray(from).findIndex((byte) => byte !== 0);
    if (at >= 0) {
      throw new Failed(`${at} bytes behind the end of file the last page of a mapping is not zero`);
    }
  }

  #pollute(): void {
    const { length } = this.#shadow;
    if (length % PAGE_BYTES === 0) return;
    const { mapping, within } = this.#map(length, 1, PROT.READ | PROT.WRITE);
    mapping.bytes.fill(POLLUTION, within);
    mapping.unmap();
    this.#pollutedPage = pageOf(length);
  }

  #copy(at: number, to: number, wanted: number): void {
    const length = Math.min(wanted, this.#shadow.length - at);
    if (length <= 0) return;
    for (let done = 0; done < length;) {
      const copied = must(
        "copy_file_range",
        copyFileRange(this.#fd, at + done, this.#fd, to + done, length - done),
      );
      if (copied === 0) {
        throw new Failed(`copy_file_range copied nothing, ${length - done} bytes before the end`);
      }
      done += copied;
    }
    const data = this.#shadow.read(at, length).slice();
    this.#shadow.write(to, data);
  }

  /** What is called a hole must be zeros; what there is of data may be. */
  #seek(at: number): void {
    const { length, bytes } = this.#shadow;
    for (const [whence, name] of [[SEEK.DATA, "SEEK_DATA"], [SEEK.HOLE, "SEEK_HOLE"]] as const) {
      const found = lseek(this.#fd, at, whence);
      const result = errnoName(found);
      if (at >= length) {
        if (result !== "ENXIO") throw new Failed(`${name} behind the end: ${result}, not ENXIO`);
        continue;
      }
      if (whence === SEEK.HOLE) {
        must(name, found);
        if (found < at || found > length) throw new Failed(`${name} from ${at} found ${found} of ${length}`);
      }
      const from = whence === SEEK.HOLE ? found : at;
      const next = whence === SEEK.HOLE && from < length ? lseek(this.#fd, from, SEEK.DATA) : found;
      if (next < 0 && errnoName(next) !== "ENXIO") must(name, next);
      const until = next < 0 || from === length ? length : next;
      if (until < from || until > length) {
        throw new Failed(`${name} from ${at}: data at ${until} of ${length}`);
      }
      const data = bytes.subarray(from, until).findIndex((byte) => byte !== 0);
      if (data >= 0) {
        this.differsAt = from + data;
        throw new Failed(
          `${name} from ${at}: ${from}..${until} is called a hole, but ${from + data} is data`,
        );
      }
    }
  }

  #compare(expected: Uint8Array, got: Uint8Array, at: number, how: string): void {
    const found = difference(expected, got, at);
    if (found === null) return;
    this.differsAt = found.first;
    throw new Failed(
      `${how} bytes differ: ${found.count} of ${found.first}..${found.last} (0x${
        found.first.toString(16)
      }..0x${
        found.last.toString(16)
      }), length ${this.#shadow.length}; expected ${found.expected}, got ${found.got}`,
    );
  }
}

function pageOf(offset: number): number {
  return Math.floor(offset / PAGE_BYTES);
}

function must(call: string, result: number): number {
  if (result < 0) throw new Failed(`${call}: ${errnoName(result)}`);
  return result;
}

/** The operations that had to do with the wrong byte. */
function writersOf(list: readonly Numbered[], last: Numbered, at: number | undefined): string {
  if (at === undefined) return "";
  const touched = list.filter(({ number, operation }) => number < last.number && touches(operation, at))
    .slice(-4);
  return `; last there: ${
    touched.map(({ number, operation }) => `${number} ${describe(operation)}`).join(", ")
  }`;
}

function touches(operation: Operation, at: number): boolean {
  if (operation.do === "truncate") return operation.length <= at;
  if (!("length" in operation)) return false;
  if (operation.do === "read" || operation.do === "mapRead" || operation.do === "directRead") return false;
  const start = operation.do === "copy" ? operation.to : operation.at;
  return at >= start && at < start + operation.length;
}

/**
 * The operations of the model test as plain data, so that a failing sequence can be printed, replayed and cut down.
 * Every file system under test runs them with the same outcome: a value, bytes, or the name of an errno.
 */

/** How a command opens a file. */
export interface OpenHow {
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly create: boolean;
  readonly createNew: boolean;
  readonly truncate: boolean;
}

/** `slot` is one of a few places that hold an open file. `fill` seeds the bytes that are written. */
export type Command =
  | {
    readonly op: "open";
    readonly slot: number;
    readonly path: string;
    readonly how: OpenHow;
    readonly mode: number;
  }
  | { readonly op: "close"; readonly slot: number }
  | { readonly op: "read"; readonly slot: number; readonly length: number }
  | { readonly op: "write"; readonly slot: number; readonly length: number; readonly fill: number }
  | { readonly op: "readAt"; readonly slot: number; readonly offset: number; readonly length: number }
  | {
    readonly op: "writeAt";
    readonly slot: number;
    readonly offset: number;
    readonly length: number;
    readonly fill: number;
  }
  | { readonly op: "seek"; readonly slot: number; readonly offset: number; readonly whence: 0 | 1 | 2 }
  | { readonly op: "fstat"; readonly slot: number }
  | { readonly op: "ftruncate"; readonly slot: number; readonly length: number }
  | { readonly op: "fsync"; readonly slot: number }
  | { readonly op: "truncate"; readonly path: string; readonly length: number }
  | { readonly op: "stat"; readonly path: string }
  | { readonly op: "lstat"; readonly path: string }
  | { readonly op: "readdir"; readonly path: string }
  | { readonly op: "readlink"; readonly path: string }
  | { readonly op: "mkdir"; readonly path: string; readonly mode: number }
  | { readonly op: "remove"; readonly path: string }
  | { readonly op: "removeTree"; readonly path: string }
  | {
    readonly op: "rename";
    readonly from: string;
    readonly to: string;
    readonly flag: "" | "noReplace" | "exchange";
  }
  | { readonly op: "link"; readonly from: string; readonly to: string }
  | { readonly op: "symlink"; readonly target: string; readonly path: string }
  | { readonly op: "chmod"; readonly path: string; readonly mode: number }
  | { readonly op: "chown"; readonly path: string; readonly uid: number; readonly gid: number }
  | { readonly op: "utime"; readonly path: string; readonly atimeMs: number; readonly mtimeMs: number }
  /** Closes the volume, with whatever is open, and opens it again. */
  | { readonly op: "reopen" };

/** Places for open files. */
export const SLOTS = 4;

/** What stat tells and the model knows. Times are null where the model does not know them. */
export interface StatOutcome {
  readonly kind: "file" | "directory" | "symlink";
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** 0 for directories: their size means nothing. */
  readonly size: number;
  readonly atimeMs: number | null;
  readonly mtimeMs: number | null;
}

export type Outcome =
  | { readonly error: string }
  | { readonly value: string | number | null }
  | { readonly names: readonly string[] }
  | { readonly stat: StatOutcome }
  /** null: end of file. */
  | { readonly bytes: Uint8Array | null };

/** A file system that runs commands. A command on an empty slot gives EBADF everywhere. */
export interface ModelFs {
  run(command: Command): Outcome | Promise<Outcome>;
  close(): void | Promise<void>;
}

export const OK: Outcome = { value: null };

/** The bytes of a write: never 0, so that holes differ, and different at every place, so that misplaced bytes differ. */
export function fillBytes(length: number, fill: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = (fill * 2654435761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = (state & 0xff) || 1;
  }
  return bytes;
}

/** A line that can be pasted into a regression test. */
export function showCommand(command: Command): string {
  return JSON.stringify(command);
}

export function showOutcome(outcome: Outcome): string {
  if (!("bytes" in outcome)) return JSON.stringify(outcome);
  if (outcome.bytes === null) return "end of file";
  const start = [...outcome.bytes.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join(
    " ",
  );
  return `${outcome.bytes.length} bytes: ${start}...`;
}

/** Null if the outcomes agree; otherwise what differs. */
export function difference(expected: Outcome, actual: Outcome): string | null {
  if ("bytes" in expected && "bytes" in actual) return bytesDifference(expected.bytes, actual.bytes);
  if ("stat" in expected && "stat" in actual) {
    for (const key of Object.keys(expected.stat) as (keyof StatOutcome)[]) {
      const isUnknown = expected.stat[key] === null;
      if (!isUnknown && expected.stat[key] !== actual.stat[key]) {
        return `${key}: expected ${expected.stat[key]}, got ${actual.stat[key]}`;
      }
    }
    return null;
  }
  const shown = [showOutcome(expected), showOutcome(actual)];
  return shown[0] === shown[1] ? null : `expected ${shown[0]}, got ${shown[1]}`;
}

function bytesDifference(expected: Uint8Array | null, actual: Uint8Array | null): string | null {
  if (expected === null || actual === null) {
    return expected === actual
      ? null
      : `expected ${expected?.length ?? "EOF"}, got ${actual?.length ?? "EOF"} bytes`;
  }
  if (expected.length !== actual.length) return `expected ${expected.length} bytes, got ${actual.length}`;
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  if (at < 0) return null;
  const differing = expected.reduce((count, byte, i) => count + (byte === actual[i] ? 0 : 1), 0);
  return `byte ${at} of ${expected.length}: expected ${expected[at]}, got ${
    actual[at]
  } (${differing} bytes differ)`;
}

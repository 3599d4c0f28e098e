/**
 * The few libc functions that Deno has no API for. Loaded on first use, so that importing this module works everywhere.
 *
 * What makes the calls fast: sizes are `usize` given as BigInt (a number takes a slow path), results are i32, and errno is
 * read through memory. errno belongs to the thread: it means something right after a synchronous call, and nothing after
 * an asynchronous one, which ran on another thread.
 */
import { UserError } from "../core/errors.ts";

const symbols = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  writeAsync: {
    name: "write",
    parameters: ["i32", "buffer", "usize"],
    result: "i32",
    nonblocking: true,
  },
  pollAsync: { name: "poll", parameters: ["buffer", "usize", "i32"], result: "i32", nonblocking: true },
  mount: { parameters: ["buffer", "buffer", "buffer", "usize", "buffer"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  umount2Async: { name: "umount2", parameters: ["buffer", "i32"], result: "i32", nonblocking: true },
  __errno_location: { parameters: [], result: "pointer" },
} as const;

export interface Libc {
  readonly symbols: Deno.DynamicLibrary<typeof symbols>["symbols"];
  /** errno of this thread: of the synchronous call just before. */
  errno(): number;
}

export const O_RDWR = 0o2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export const POLLIN = 1;

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_NOATIME = 1 << 10;
export const MS_NODIRATIME = 1 << 11;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

let loaded: Libc | undefined;

export function libc(): Libc {
  return loaded ??= load();
}

function load(): Libc {
  if (Deno.build.os !== "linux") {
    throw new UserError("mounting needs Linux; other systems can use the library API");
  }
  let library;
  try {
    library = Deno.dlopen("libc.so.6", symbols);
  } catch (cause) {
    throw new UserError("cannot load the C library libc.so.6 (is --allow-ffi given?)", 1, { cause });
  }
  const location = library.symbols.__errno_location();
  if (location === null) throw new UserError("the C library has no errno");
  // The address is the same for the life of the thread.
  const errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, 4));
  return { symbols: library.symbols, errno: () => errno[0] as number };
}

const encoder = new TextEncoder();

/** A NUL-terminated string for libc. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}

/**
 * Writes to a mount until the mount dies, and keeps a journal outside of it of what must survive: crash_writer.ts KIND
 * DIRECTORY JOURNAL. A line is in the journal only after the call that promises it has returned. What is written where is
 * computed from numbers alone, so that crash_verify.ts can tell for each byte whether it was ever written there.
 */
import * as libc from "./libc.ts";

export const RECORD_BYTES = 1000;
export const BLOCK_BYTES = 4096;
export const OVERWRITTEN_BLOCKS = 512;
const BLOCKS_PER_VERSION = 16;

/** Contents of version `version` of something: never 0, so that holes show. */
export function contents(version: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = 1 + (version * 131 + i * 7 + (i >> 8) * 13) % 255;
  return bytes;
}

export function fileLength(i: number): number {
  return (i * 7919) % 300_000;
}

/** The blocks that version `version` overwrites. */
export function blocksOf(version: number): number[] {
  return Array.from({ length: BLOCKS_PER_VERSION }, (_, j) => (version * 7 + j * 37) % OVERWRITTEN_BLOCKS);
}

/** A block says which version it is, in its first bytes and in all others. */
export function blockBytes(version: number): Uint8Array<ArrayBuffer> {
  const bytes = contents(version, BLOCK_BYTES);
  new DataView(bytes.buffer).setUint32(0, version);
  return bytes;
}

const { CREAT, EXCL, RDWR, WRONLY, APPEND } = libc.O;

function writeAll(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  for (let done = 0; done < bytes.length;) done += libc.write(fd, bytes.subarray(done, done + 100_000));
}

type Writer = (directory: string, say: (line: string) => void) => void;

export const writers: Readonly<Record<string, Writer>> = {
  /** Many files; some are fsynced, all are closed. */
  files(directory, say) {
    for (let i = 1;; i++) {
      const fd = libc.open(`${directory}/${i}`, CREAT | EXCL | WRONLY);
      writeAll(fd, contents(i, fileLength(i)));
      if (i % 3 === 0) {
        libc.fsync(fd);
        say(`${i}`);
        // Never closed in good order if the end comes now.
      }
      libc.close(fd);
      say(`${i}`);
    }
  },
  /** One file that grows. */
  append(directory, say) {
    const fd = libc.open(`${directory}/log`, CREAT | WRONLY | APPEND);
    for (let i = 0;; i++) {
      libc.write(fd, contents(i, RECORD_BYTES));
      if (i % 20 === 19) {
        libc.fsync(fd);
        say(`${i + 1}`);
      }
    }
  },
  /** One name that is always a whole file: written beside it, then renamed over it. */
  replace(directory, say) {
    for (let version = 1;; version++) {
      const fd = libc.open(`${directory}/new`, CREAT | WRONLY);
      libc.ftruncate(fd, 0);
      writeAll(fd, contents(version, fileLength(version)));
      libc.fsync(fd);
      libc.close(fd);
      libc.rename(`${directory}/new`, `${directory}/name`);
      say(`${version}`);
    }
  },
  /** One file that is overwritten in place. */
  overwrite(directory, say) {
    const fd = libc.open(`${directory}/file`, CREAT | RDWR);
    for (let version = 1;; version++) {
      for (const block of blocksOf(version)) libc.pwrite(fd, blockBytes(version), block * BLOCK_BYTES);
      if (version % 4 === 0) {
        libc.fsync(fd);
        say(`${version}`);
      }
    }
  },
  /** Names that come, move and go. */
  names(directory, say) {
    for (let i = 1;; i++) {
      libc.mkdir(`${directory}/d${i}`);
      for (let j = 0; j < 5; j++) {
        const path = `${directory}/d${i}/f${j}`;
        const fd = libc.open(path, CREAT | EXCL | WRONLY);
        libc.write(fd, contents(i, 100));
        libc.close(fd);
        libc.link(path, `${directory}/d${i}/l${j}`);
        libc.rename(path, `${directory}/d${i}/r${j}`);
      }
      libc.symlink(`d${i}`, `${directory}/s${i}`);
      say(`${i}`);
      if (i <= 10) continue;
      const old = `${directory}/d${i - 10}`;
      for (const { name } of libc.readdir(old)) libc.unlink(libc.joinBytes(old, name));
      libc.rmdir(old);
      libc.unlink(`${directory}/s${i - 10}`);
      say(`${-(i - 10)}`);
    }
  },
};

if (import.meta.main) {
  const [kind = "", directory = "", journalPath = ""] = Deno.args;
  const journal = libc.open(journalPath, CREAT | WRONLY | APPEND);
  try {
    writers[kind]?.(
      directory,
      (line) => libc.write(journal, libc.bytesOf(`${line}\n`) as Uint8Array<ArrayBuffer>),
    );
  } catch (error) {
    // The mount has died, as it was meant to.
    if (!(error instanceof libc.ErrnoError) || !["ENOTCONN", "ECONNABORTED", "EIO"].includes(error.code)) {
      throw error;
    }
    console.log(error.code);
  }
}

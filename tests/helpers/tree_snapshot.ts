/** What a directory tree holds, byte for byte and attribute for attribute, by names as they are. */
import { crc32 } from "node:zlib";
import * as libc from "./libc.ts";

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const READ_BYTES = 1 << 20;

export interface SnapshotOptions {
  /** Directories' times change when entries are made in another order; files' never. Default: true. */
  readonly directoryTimes?: boolean;
}

/** One line of attributes for each path; paths as Latin-1 strings, so that each byte stays itself. */
export type Snapshot = Map<string, string>;

export function snapshot(root: string, options: SnapshotOptions = {}): Snapshot {
  const found: Snapshot = new Map();
  // Names of one file are told by the first of them.
  const firstNames = new Map<number, string>();
  const walk = (path: Uint8Array, shown: string) => {
    const stat = libc.lstat(path);
    const kind = stat.mode & S_IFMT;
    const parts = [
      `mode ${stat.mode.toString(8)}`,
      `owner ${stat.uid}:${stat.gid}`,
      `nlink ${stat.nlink}`,
    ];
    if (kind !== S_IFDIR || (options.directoryTimes ?? true)) {
      parts.push(`mtime ${stat.mtimeSec}.${String(stat.mtimeNsec).padStart(9, "0")}`);
    }
    if (kind !== S_IFDIR) {
      parts.push(`size ${stat.size}`);
      if (stat.nlink > 1) {
        if (!firstNames.has(stat.ino)) firstNames.set(stat.ino, shown);
        parts.push(`same as ${firstNames.get(stat.ino)}`);
      }
    }
    if (kind === S_IFREG) parts.push(`crc ${fileCrc(path).toString(16)}`);
    if (kind === S_IFLNK) parts.push(`-> ${latin1(libc.readlink(path))}`);
    found.set(shown, parts.join(", "));
    if (kind !== S_IFDIR) return;
    const entries = libc.readdir(path).map(({ name, type }) => ({ name, text: latin1(name), type }));
    entries.sort((a, b) => a.text < b.text ? -1 : 1);
    for (const { name, text, type } of entries) {
      const below = libc.joinBytes(path, name);
      const mode = libc.lstat(below).mode;
      // d_type of dirent.h is the type bits shifted; 0 says that the file system does not know.
      if (type !== 0 && type !== (mode & S_IFMT) >> 12) {
        throw new Error(`${shown}/${text}: readdir says type ${type}, stat says mode ${mode.toString(8)}`);
      }
      walk(below, `${shown}/${text}`);
    }
  };
  walk(libc.bytesOf(root), "");
  return found;
}

/** What differs, one line each, at most 20; empty if nothing does. */
export function snapshotDifferences(expected: Snapshot, actual: Snapshot): string[] {
  const differences: string[] = [];
  for (const [path, line] of expected) {
    const other = actual.get(path);
    const shown = JSON.stringify(path);
    if (other === undefined) differences.push(`${shown} is missing`);
    else if (other !== line) differences.push(`${shown}\n  expected ${line}\n  got      ${other}`);
  }
  for (const path of actual.keys()) {
    if (!expected.has(path)) differences.push(`${JSON.stringify(path)} should not be there`);
  }
  const more = differences.length - 20;
  return more > 0 ? [...differences.slice(0, 20), `and ${more} more`] : differences;
}

export function requireSameTree(expected: Snapshot, actual: Snapshot, what: string): void {
  const differences = snapshotDifferences(expected, actual);
  if (differences.length > 0) throw new Error(`${what}:\n${differences.join("\n")}`);
}

function fileCrc(path: Uint8Array): number {
  const fd = libc.open(path, libc.O.RDONLY);
  try {
    const buffer = new Uint8Array(READ_BYTES);
    let crc = 0;
    for (let offset = 0;;) {
      const count = libc.pread(fd, buffer, offset);
      if (count === 0) return crc;
      crc = crc32(buffer.subarray(0, count), crc);
      offset += count;
    }
  } finally {
    libc.close(fd);
  }
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

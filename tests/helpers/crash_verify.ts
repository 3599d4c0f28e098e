/** Says whether what a crash left of crash_writer.ts's work keeps the promises in its journal. */
import assert from "node:assert/strict";
import {
  BLOCK_BYTES,
  blockBytes,
  blocksOf,
  contents,
  fileLength,
  OVERWRITTEN_BLOCKS,
  RECORD_BYTES,
} from "./crash_writer.ts";
import * as libc from "./libc.ts";

function readWhole(path: string): Uint8Array {
  const fd = libc.open(path, libc.O.RDONLY);
  try {
    const bytes = new Uint8Array(libc.fstat(fd).size);
    let done = 0;
    while (done < bytes.length) {
      const count = libc.pread(fd, bytes.subarray(done, done + 1_000_000), done);
      assert.ok(count > 0, `${path} ends at ${done} of ${bytes.length}`);
      done += count;
    }
    return bytes;
  } finally {
    libc.close(fd);
  }
}

/** The bytes are those written, or a start of them; where nothing was stored yet there may be zeros. */
function requireOnlyWritten(path: string, actual: Uint8Array, written: Uint8Array): void {
  assert.ok(actual.length <= written.length, `${path} is longer than it was written`);
  const at = actual.findIndex((byte, i) => byte !== written[i] && byte !== 0);
  assert.ok(at < 0, `${path}: byte ${at} is ${actual[at]}, which was never written there`);
}

function requireEqual(path: string, actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.length, expected.length, `${path}: length`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assert.ok(at < 0, `${path}: byte ${at} is ${actual[at]} instead of ${expected[at]}`);
}

const exists = (path: string): boolean => {
  try {
    libc.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof libc.ErrnoError && error.code === "ENOENT") return false;
    throw error;
  }
};

type Verifier = (directory: string, journal: readonly number[]) => void;

export const verifiers: Readonly<Record<string, Verifier>> = {
  files(directory, journal) {
    const promised = new Set(journal);
    for (const i of promised) {
      requireEqual(`file ${i}`, readWhole(`${directory}/${i}`), contents(i, fileLength(i)));
    }
    for (const { name } of libc.readdir(directory)) {
      const i = Number(new TextDecoder().decode(name));
      if (promised.has(i)) continue;
      requireOnlyWritten(`file ${i}`, readWhole(`${directory}/${i}`), contents(i, fileLength(i)));
    }
  },
  append(directory, journal) {
    if (!exists(`${directory}/log`)) return assert.equal(journal.length, 0);
    const bytes = readWhole(`${directory}/log`);
    const promised = journal.at(-1) ?? 0;
    assert.ok(bytes.length >= promised * RECORD_BYTES, `${bytes.length} bytes, promised ${promised} records`);
    for (let i = 0; i * RECORD_BYTES < bytes.length; i++) {
      const record = bytes.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES);
      if (i < promised) requireEqual(`record ${i}`, record, contents(i, RECORD_BYTES));
      else requireOnlyWritten(`record ${i}`, record, contents(i, RECORD_BYTES));
    }
  },
  replace(directory, journal) {
    const promised = journal.at(-1) ?? 0;
    if (promised === 0 && !exists(`${directory}/name`)) return;
    // The rename after the last promise may have happened, or not.
    const actual = readWhole(`${directory}/name`);
    const version = [promised, promised + 1].find((each) => actual.length === fileLength(each));
    assert.ok(version !== undefined, `a file of ${actual.length} bytes is no whole version`);
    requireEqual(`version ${version}`, actual, contents(version, fileLength(version)));
  },
  overwrite(directory, journal) {
    if (!exists(`${directory}/file`)) return assert.equal(journal.length, 0);
    const bytes = readWhole(`${directory}/file`);
    const promised = journal.at(-1) ?? 0;
    const oldest = new Array<number>(OVERWRITTEN_BLOCKS).fill(0);
    for (let version = 1; version <= promised; version++) {
      for (const block of blocksOf(version)) oldest[block] = version;
    }
    for (let block = 0; block < OVERWRITTEN_BLOCKS; block++) {
      const actual = bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
      const version = actual.length < 4
        ? 0
        : new DataView(actual.buffer, actual.byteOffset, actual.byteLength).getUint32(0);
      assert.ok(version >= (oldest[block] ?? 0), `block ${block} is older than what was synced`);
      if (version === 0) {
        assert.ok(actual.every((byte) => byte === 0), `block ${block} has bytes of no version`);
        continue;
      }
      assert.ok(
        blocksOf(version).includes(block),
        `block ${block} has version ${version}, never written there`,
      );
      requireEqual(`block ${block}`, actual, blockBytes(version));
    }
  },
  names(directory, journal) {
    const last = Math.max(0, ...journal);
    const gone = new Set(journal.filter((line) => line < 0).map((line) => -line));
    const present = new Set(libc.readdir(directory).map(({ name }) => new TextDecoder().decode(name)));
    for (const i of gone) assert.ok(!present.has(`d${i}`) && !present.has(`s${i}`), `${i} was removed`);
    for (const i of journal.filter((line) => line > 0)) {
      // The oldest one was being removed.
      if (gone.has(i) || i <= last - 10) continue;
      const names = libc.readdir(`${directory}/s${i}`).map(({ name }) => new TextDecoder().decode(name))
        .sort();
      assert.deepEqual(names, ["l0", "l1", "l2", "l3", "l4", "r0", "r1", "r2", "r3", "r4"], `directory ${i}`);
      for (const name of names) {
        assert.equal(libc.lstat(`${directory}/d${i}/${name}`).nlink, 2);
        requireEqual(`d${i}/${name}`, readWhole(`${directory}/d${i}/${name}`), contents(i, 100));
      }
    }
  },
};

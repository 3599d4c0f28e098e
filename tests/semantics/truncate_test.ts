/** Truncation of the slice lists: what is cut never comes back, and large files shrink in valid steps. */
import assert from "node:assert/strict";
import { CHUNK_BYTES, ROOT_INO } from "../../core/limits.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import type { SliceRecord } from "../../core/chunk/slice_log.ts";
import { allRows, checkMetadata } from "../helpers/check_metadata.ts";
import { bytes, commitSlice, formattedMemoryStore, newFile, openClient } from "../helpers/memory_world.ts";

/** The slice id visible at a position of a chunk; 0 for zeros and gaps. */
function visibleAt(list: readonly SliceRecord[], pos: number): number {
  return list.findLast((record) => pos >= record.pos && pos < record.pos + record.len)?.sliceId ?? 0;
}

Deno.test("bytes cut off by a truncate read as zeros when the file grows again", async () => {
  const store = await formattedMemoryStore();
  const client = await openClient(store);
  const { ino } = await client.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  const first = await commitSlice(client, ino, 0, 0, 10_000);
  await commitSlice(client, ino, 0, 8_000, 4_000);
  await commitSlice(client, ino, 1, 100, 50);
  await client.truncate(ino, 5_000);
  await client.truncate(ino, 2 * CHUNK_BYTES);
  for (const engine of [client, await openClient(store)]) {
    const list = await engine.sliceLog.readSlices(ino, 0);
    assert.equal(visibleAt(list, 4_999), first);
    assert.equal(visibleAt(list, 5_000), 0);
    assert.equal(visibleAt(list, 11_999), 0);
    assert.equal((await engine.sliceLog.readSlices(ino, 1)).length, 0);
  }
  const again = await commitSlice(client, ino, 0, 6_000, 100);
  assert.equal(
    visibleAt(await client.sliceLog.readSlices(ino, 0), 6_000),
    again,
    "later writes win over the zeros",
  );
  await checkMetadata(store);
});

Deno.test("a file of thousands of slices shrinks to nothing and leaves no record", async () => {
  const store = await formattedMemoryStore();
  const client = await openClient(store);
  const { ino } = await client.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  for (let chunk = 0; chunk < 30; chunk++) {
    const slices = [];
    for (let i = 0; i < 150; i++) {
      const sliceId = await client.sliceLog.newSliceId();
      slices.push({ chunk, pos: i * 10, sliceId, size: 10, checksums: new Uint8Array(4) });
    }
    await client.sliceLog.commitSlices(ino, slices, { sec: 1, nsec: 0 }, "ordered");
  }
  const lengths: number[] = [];
  const row = await client.truncate(ino, 5, {}, (row) => lengths.push(row.length));
  assert.equal(row.length, 5);
  assert.ok(lengths.length > 3, "in several steps");
  assert.deepEqual(lengths, lengths.toSorted((a, b) => b - a), "each shorter than the one before");
  assert.equal((await allRows(store, "slices")).length, 2, "the first slice and the zeros behind it");
  await checkMetadata(store);
});

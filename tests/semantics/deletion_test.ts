/** Deleting for good: the order of commits and objects. */
import assert from "node:assert/strict";
import { ROOT_INO } from "../../core/limits.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import { allRows, checkMetadata } from "../helpers/check_metadata.ts";
import { bytes, commitSlice, formattedMemoryStore, newFile, openClient } from "../helpers/memory_world.ts";

Deno.test("objects go only after a synced commit, and their records after them", async () => {
  const inner = await formattedMemoryStore();
  const events: string[] = [];
  const store: MetaStore = Object.assign(Object.create(inner) as MetaStore, {
    capabilities: inner.capabilities,
    get: inner.get.bind(inner),
    scan: inner.scan.bind(inner),
    async commit(...[batch, options]: Parameters<MetaStore["commit"]>) {
      const result = await inner.commit(batch, options);
      events.push(options.durability);
      return result;
    },
  });
  const client = await openClient(store);
  const { ino } = await client.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  await commitSlice(client, ino, 0, 0, 10);
  await client.unlink(ROOT_INO, bytes("f"), () => false);
  await client.deleteFiles(Infinity);
  events.length = 0;
  await client.deleteSlices(Infinity, async () => {
    events.push(`objects, ${(await allRows(store, "deletedSlices")).length} on record`);
  });
  assert.deepEqual(events, ["synced", "objects, 1 on record", "ordered"]);
  assert.equal((await allRows(store, "deletedSlices")).length, 0);
  await checkMetadata(store);
});

Deno.test("slices whose objects cannot be deleted stay on the list", async () => {
  const store = await formattedMemoryStore();
  const client = await openClient(store);
  const { ino } = await client.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  await commitSlice(client, ino, 0, 0, 10);
  await client.truncate(ino, 0);
  await assert.rejects(client.deleteSlices(Infinity, () => Promise.reject(new Error("bucket is down"))));
  assert.equal((await allRows(store, "deletedSlices")).length, 1);
  let deleted = 0;
  await client.deleteSlices(Infinity, (slices) => Promise.resolve(void (deleted += slices.length)));
  assert.equal(deleted, 1);
  await checkMetadata(store);
});

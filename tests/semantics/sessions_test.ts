/** What becomes of a client's session: at its orderly end, when it dies, and when it was only paused. */
import assert from "node:assert/strict";
import { deleteOrphans } from "../../core/chunk/object_deletion.ts";
import { FsError } from "../../core/errors.ts";
import { ROOT_INO } from "../../core/limits.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { allRows, checkMetadata } from "../helpers/check_metadata.ts";
import {
  bytes,
  commitSlice,
  formattedMemoryStore,
  newFile,
  openClient,
  quietEnv,
} from "../helpers/memory_world.ts";

const keep = () => Promise.resolve();

Deno.test("an orderly end leaves nothing of the session but its share of the use", async () => {
  const store = await formattedMemoryStore();
  const client = await openClient(store);
  const file = await client.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  await commitSlice(client, file.ino, 0, 0, 10_000);
  await client.close();
  await checkMetadata(store, { sessionsEnded: true });
});

Deno.test("a dead client's open unlinked files, slice ranges and usage row are cleaned up", async () => {
  const store = await formattedMemoryStore();
  const objects = createMemoryObjectStore();
  const dead = await openClient(store);
  const file = await dead.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  const committed = await commitSlice(dead, file.ino, 0, 0, 10);
  await dead.unlink(ROOT_INO, bytes("f"), () => true);
  const uploadedOnly = await dead.sliceLog.newSliceId();
  for (const id of [committed, uploadedOnly]) {
    await objects.put(`test/chunks/0/0/${id}_0_10`, new Uint8Array(10));
  }

  const client = await openClient(store);
  const heartbeats = quietEnv.now().sec;
  assert.deepEqual(
    await client.endStaleSessions(heartbeats - 60, keep),
    [],
    "a living session is left alone",
  );
  const ended = await client.endStaleSessions(
    heartbeats + 60,
    (range, isKnown) => deleteOrphans(objects, "test/", range, isKnown),
  );
  assert.deepEqual(ended, [dead.session]);
  assert.deepEqual((await objects.list("", { limit: 10 })).map(({ key }) => key), [
    `test/chunks/0/0/${committed}_0_10`,
  ]);
  assert.deepEqual(await allRows(store, "deletedFiles").then((rows) => rows.map(({ ino }) => ino)), [
    file.ino,
  ]);
  await checkMetadata(store);
  await client.deleteFiles(Infinity);
  await client.close();
  await checkMetadata(store, { sessionsEnded: true });
});

Deno.test("a client that was paused and declared dead can commit nothing afterwards", async () => {
  const store = await formattedMemoryStore();
  const paused = await openClient(store);
  const file = await paused.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
  const other = await openClient(store);
  await other.endStaleSessions(Infinity, keep);

  const isRefused = (error: unknown) => error instanceof FsError && error.code === "EIO";
  await assert.rejects(commitSlice(paused, file.ino, 0, 0, 10), isRefused);
  await assert.rejects(paused.create(ROOT_INO, bytes("g"), newFile(S_IFREG | 0o644)), isRefused);
  assert.equal(await paused.heartbeat(), false);
  await checkMetadata(store);
});

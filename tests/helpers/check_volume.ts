/**
 * Checks a whole volume that nobody has open: the metadata (check_metadata.ts), and that the object store has every block
 * that a slice record can show, at its full length and with the recorded checksums. Object keys and checksum pages are
 * computed here anew, from the format's description and not with the product's code.
 */
import { crc32 } from "node:zlib";
import { metaPluginFor, objectPluginFor } from "../../backends/registry.ts";
import type { ObjectStore } from "../../core/chunk/object_store.ts";
import { systemEnv } from "../../core/env.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import { readFormat } from "../../core/volume.ts";
import { allRows, checkMetadata } from "./check_metadata.ts";

const PAGE_BYTES = 256 << 10;

export interface CheckOptions {
  /** Every client ended in good order: no session is left, and no object that no slice needs. Default: true. */
  readonly cleanEnd?: boolean;
  /** Read all objects and compare checksums; otherwise only their sizes. Default: true. */
  readonly contents?: boolean;
}

/** Opens the stores of a META-URL, checks, closes them. Throws with everything that is wrong. */
export async function checkVolumeAt(metaUrl: string, options: CheckOptions = {}): Promise<void> {
  const env = systemEnv("error");
  const meta = await (await metaPluginFor(metaUrl)).open(metaUrl, { mode: "open", env });
  try {
    const format = await readFormat(meta);
    if (format === null) throw new Error(`${metaUrl} is not formatted`);
    const objects = await (await objectPluginFor(format.bucket)).open(format.bucket, { mode: "open", env });
    try {
      await checkVolume(meta, objects, options);
    } finally {
      await objects.close();
    }
  } finally {
    await meta.close();
  }
}

export async function checkVolume(
  meta: MetaStore,
  objects: ObjectStore,
  options: CheckOptions = {},
): Promise<void> {
  const { cleanEnd = true, contents = true } = options;
  await checkMetadata(meta, { sessionsEnded: cleanEnd });
  const format = await readFormat(meta);
  if (format === null) throw new Error("the volume is not formatted");
  const problems: string[] = [];
  const needed = new Set<string>();
  for (const { sliceId, size, checksums } of await allRows(meta, "sliceObjects")) {
    for (const block of blocksOf(sliceId, size, format.blockBytes)) {
      const key = `${format.name}/${block.key}`;
      needed.add(key);
      const problem = await blockProblem(objects, key, block, contents ? checksums : null);
      if (problem !== null) problems.push(`object ${key}: ${problem}`);
    }
  }
  if (cleanEnd) {
    // What waits for deletion may still be there.
    const waiting = new Set<string>();
    for (const { sliceId, size } of await allRows(meta, "deletedSlices")) {
      for (const { key } of blocksOf(sliceId, size, format.blockBytes)) waiting.add(`${format.name}/${key}`);
    }
    for await (const key of keysOf(objects, `${format.name}/chunks/`)) {
      if (!needed.has(key) && !waiting.has(key)) problems.push(`object ${key} belongs to no slice`);
    }
  }
  if (problems.length > 0) throw new Error(`inconsistent volume:\n${problems.slice(0, 50).join("\n")}`);
}

interface Block {
  readonly key: string;
  readonly index: number;
  readonly sizeBytes: number;
  /** Place of its first checksum in the slice's packed checksums. */
  readonly checksumsAt: number;
}

function* blocksOf(sliceId: number, sizeBytes: number, blockBytes: number): Generator<Block> {
  const directory = `chunks/${Math.floor(sliceId / 1e6)}/${Math.floor(sliceId / 1e3)}`;
  const checksumsPerBlock = 4 * Math.ceil(blockBytes / PAGE_BYTES);
  for (let index = 0; index * blockBytes < sizeBytes; index++) {
    const length = Math.min(blockBytes, sizeBytes - index * blockBytes);
    const key = `${directory}/${sliceId}_${index}_${length}`;
    yield { key, index, sizeBytes: length, checksumsAt: index * checksumsPerBlock };
  }
}

async function blockProblem(
  objects: ObjectStore,
  key: string,
  block: Block,
  checksums: Uint8Array | null,
): Promise<string | null> {
  const info = await objects.head(key);
  if (info === null) return "missing";
  if (info.size !== block.sizeBytes) return `${info.size} bytes instead of ${block.sizeBytes}`;
  if (checksums === null) return null;
  const bytes = await objects.get(key);
  const packed = new DataView(checksums.buffer, checksums.byteOffset, checksums.byteLength);
  for (let page = 0; page * PAGE_BYTES < bytes.length; page++) {
    const at = block.checksumsAt + page * 4;
    if (at + 4 > packed.byteLength) return `no checksum for page ${page}`;
    const actual = crc32(bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
    if (packed.getUint32(at, true) !== actual) return `page ${page} has another checksum than recorded`;
  }
  return null;
}

async function* keysOf(objects: ObjectStore, prefix: string): AsyncGenerator<string> {
  let after: string | undefined;
  for (;;) {
    const page = await objects.list(prefix, { after, limit: 1000 });
    for (const { key } of page) yield key;
    if (page.length < 1000) return;
    after = page.at(-1)?.key;
  }
}

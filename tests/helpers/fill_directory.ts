/** Many empty files at once, straight into the metadata of a volume that nobody has open: many times as fast as by a mount. */
import { metaPluginFor } from "../../backends/registry.ts";
import { systemEnv } from "../../core/env.ts";
import { ROOT_INO } from "../../core/limits.ts";
import { takeIds } from "../../core/meta/ids.ts";
import { put, read, update, type Write } from "../../core/meta/store.ts";

const COMMIT_FILES = 1000;

/**
 * Adds `count` files with the attributes of `/directory/like`, which must be empty. The parent's times stay as they are;
 * everything else is as if they had been made one by one.
 */
export async function fillDirectory(
  metaUrl: string,
  directory: string,
  like: string,
  count: number,
  nameOf: (i: number) => string,
): Promise<void> {
  const encoder = new TextEncoder();
  const env = systemEnv("error");
  const store = await (await metaPluginFor(metaUrl)).open(metaUrl, { mode: "open", env });
  try {
    const [parent] = await store.get([read("edges", [ROOT_INO, encoder.encode(directory)])]);
    if (parent === null) throw new Error(`there is no ${directory}`);
    const [edge] = await store.get([read("edges", [parent.row.ino, encoder.encode(like)], "ino")]);
    if (edge?.ref === null || edge === null) throw new Error(`there is no ${directory}/${like}`);
    const { ino: _, ...attributes } = edge.ref.row;
    if (attributes.length > 0) throw new Error(`${like} is not empty`);
    const [usage] = await store.scan({ table: "usage", prefix: [], limit: 1 });
    if (usage === undefined) throw new Error("no usage row");
    const context = { store, env, options: { retryDeadlineMs: 10_000 } };
    const first = await takeIds(context, "nextInode", count);
    for (let done = 0; done < count; done += COMMIT_FILES) {
      const files = Math.min(COMMIT_FILES, count - done);
      const writes: Write[] = [update("usage", [usage.row.session], { add: { inodes: files } })];
      for (let i = done; i < done + files; i++) {
        writes.push(
          put("inodes", [first + i], attributes),
          put("edges", [parent.row.ino, encoder.encode(nameOf(i))], { ino: first + i, mode: edge.row.mode }),
        );
      }
      const result = await store.commit({ checks: [], writes }, { durability: "ordered" });
      if (!result.ok) throw new Error("the files could not be made");
    }
  } finally {
    await store.close();
  }
}

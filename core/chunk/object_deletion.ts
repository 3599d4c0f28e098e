/** Deleting objects: those of slices that lost their last reference, and those that a crashed client left behind. */
import { type Layout, sliceIdOf, sliceKeys, thousandPrefix } from "./layout.ts";
import type { ObjectStore } from "./object_store.ts";

const LIST_PAGE = 1000;

/** Deletes all objects of these slices; what is gone already is fine. */
export async function deleteSliceObjects(
  objects: ObjectStore,
  layout: Layout,
  slices: readonly { readonly sliceId: number; readonly size: number }[],
): Promise<void> {
  await objects.delete(slices.flatMap(({ sliceId, size }) => sliceKeys(layout, sliceId, size)));
}

/**
 * Deletes every object of the slices [first, first + count) that `isKnown` does not know. The caller knows that nobody
 * uploads slices of this range any more. Lists only the folders of these numbers. Returns the number of objects deleted.
 */
export async function deleteOrphans(
  objects: ObjectStore,
  prefix: string,
  range: { readonly first: number; readonly count: number },
  isKnown: (sliceId: number) => boolean,
): Promise<number> {
  const end = range.first + range.count;
  let deleted = 0;
  for (let id = range.first; id < end; id = (Math.floor(id / 1000) + 1) * 1000) {
    const folder = thousandPrefix(prefix, id);
    let after: string | undefined;
    for (;;) {
      const page = await objects.list(folder, { after, limit: LIST_PAGE });
      const orphans = page.map(({ key }) => key).filter((key) => {
        const sliceId = sliceIdOf(key);
        return sliceId !== null && sliceId >= range.first && sliceId < end && !isKnown(sliceId);
      });
      if (orphans.length > 0) await objects.delete(orphans);
      deleted += orphans.length;
      after = page.at(-1)?.key;
      if (page.length < LIST_PAGE) break;
    }
  }
  return deleted;
}

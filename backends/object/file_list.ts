/** Walks a directory tree as a list of object keys, in key order, reading only directories that can hold wanted keys. */
import { isObjectKey } from "../../core/chunk/object_key.ts";
import { codeOf, yieldToOthers } from "./file_errors.ts";

/**
 * Keys below `root` that start with `prefix` and are greater than `after`, in code-unit order. Depth first: a directory
 * `a` stands in the order where `a/` does, so `a-b` comes before `a/c`.
 */
export async function* listTree(
  root: string,
  prefix: string,
  after: string | undefined,
): AsyncGenerator<string> {
  // The directories that the prefix names in full need not be looked for.
  const base = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  if (base !== "" && !isObjectKey(base.slice(0, -1))) return; // no key starts so, and the path may lead elsewhere
  yield* walk(root, base, prefix, after);
}

/** `base` is "" or ends with a slash. */
async function* walk(
  root: string,
  base: string,
  prefix: string,
  after: string | undefined,
): AsyncGenerator<string> {
  await yieldToOthers();
  for (const key of entriesOf(root, base)) {
    const isDirectory = key.endsWith("/");
    if (!(key.startsWith(prefix) || (isDirectory && prefix.startsWith(key)))) continue;
    // Everything below the directory starts with `key`: all of it is behind `after` unless `after` is in there.
    if (after !== undefined && key <= after && !(isDirectory && after.startsWith(key))) continue;
    if (isDirectory) yield* walk(root, key, prefix, after);
    else yield key;
  }
}

/** The keys of one directory in order, those of directories with a trailing slash; none if it is not there. */
function entriesOf(root: string, base: string): string[] {
  const keys: string[] = [];
  try {
    for (const entry of Deno.readDirSync(`${root}/${base}`)) {
      if (!/^[A-Za-z0-9._-]+$/.test(entry.name)) continue; // not ours: no key has such a name
      if (entry.isDirectory) keys.push(`${base}${entry.name}/`);
      else if (entry.isFile) keys.push(`${base}${entry.name}`);
    }
  } catch (error) {
    if (codeOf(error) !== "ENOENT" && codeOf(error) !== "ENOTDIR") throw error;
  }
  return keys.sort();
}

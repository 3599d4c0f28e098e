/** The paths of files known by inode number, for messages to people: found by reading the directories, so not for hot paths. */
import { type MetaStore, read } from "./store.ts";
import { ROOT_INO } from "../limits.ts";

const PAGE = 1000;
/** Entries that are looked through before the search is given up. */
const ENTRIES_MAX = 5_000_000;
const DEPTH_MAX = 1000;

/** One path of each inode that has a name; names that are not UTF-8 are shown with replacement characters. */
export async function findPaths(store: MetaStore, inodes: readonly number[]): Promise<Map<number, string>> {
  const wanted = new Set(inodes);
  const paths = new Map<number, string>();
  let after: (number | Uint8Array)[] | undefined;
  for (let seen = 0; seen < ENTRIES_MAX && paths.size < wanted.size;) {
    const rows = await store.scan({ table: "edges", prefix: [], after, limit: PAGE });
    for (const { row } of rows) {
      after = [row.parent, row.name];
      if (!wanted.has(row.ino) || paths.has(row.ino)) continue;
      paths.set(row.ino, `${await pathOfDirectory(store, row.parent)}/${textOf(row.name)}`);
    }
    seen += rows.length;
    if (rows.length < PAGE) break;
  }
  return paths;
}

/** The path of a directory, empty for the root. */
async function pathOfDirectory(store: MetaStore, directory: number): Promise<string> {
  const names: string[] = [];
  let ino = directory;
  for (let depth = 0; ino !== ROOT_INO && depth < DEPTH_MAX; depth++) {
    const [inode] = await store.get([read("inodes", [ino])]);
    if (inode === null) break;
    names.unshift(await nameIn(store, inode.row.parent, ino) ?? "?");
    ino = inode.row.parent;
  }
  return names.map((name) => `/${name}`).join("");
}

async function nameIn(store: MetaStore, parent: number, ino: number): Promise<string | null> {
  let after: Uint8Array[] | undefined;
  for (;;) {
    const rows = await store.scan({ table: "edges", prefix: [parent], after, limit: PAGE });
    for (const { row } of rows) {
      if (row.ino === ino) return textOf(row.name);
      after = [row.name];
    }
    if (rows.length < PAGE) return null;
  }
}

function textOf(name: Uint8Array): string {
  return new TextDecoder().decode(name);
}

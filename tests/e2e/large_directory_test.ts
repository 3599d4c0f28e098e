/**
 * A directory of 20,000 entries on a mount (SLAYERFS_DIRECTORY_ENTRIES for another number): listed once each, in bounded
 * memory, also while others come and go; places in it stay good.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { O, S, SEEK } from "../posix/abi.ts";
import { mkdir, mknod, open, rename, unlink } from "../posix/sys.ts";
import { close, type Entry, getdents, lseek } from "../posix/sys_file.ts";
import { fillDirectory } from "../helpers/fill_directory.ts";
import { mountTest } from "../helpers/mounted.ts";
import { run, shell } from "../helpers/shell.ts";
import { randomOf } from "../model/random.ts";

const count = Number(Deno.env.get("SLAYERFS_DIRECTORY_ENTRIES") ?? 20_000);
const seed = Number(Deno.env.get("SLAYERFS_DIRECTORY_SEED") ?? Math.floor(Math.random() * 2 ** 31));
const decoder = new TextDecoder();

function must(result: number, what: string): number {
  assert(result >= 0, `${what}: errno ${-result}`);
  return result;
}

interface Named {
  readonly name: string;
  readonly next: bigint;
}

/** One getdents(2), without the dots. An empty list is the end. */
function some(fd: number, room: number): Named[] | null {
  const entries = getdents(fd, room);
  assert(typeof entries !== "number", `getdents: ${entries}`);
  if (entries.length === 0) return null;
  return entries.map(({ name, next }: Entry) => ({ name: decoder.decode(name), next }))
    .filter(({ name }) => name !== "." && name !== "..");
}

function rest(fd: number, room: number): Named[] {
  const all: Named[] = [];
  for (let more = some(fd, room); more !== null; more = some(fd, room)) all.push(...more);
  return all;
}

const nameOf = (i: number) => `${(Math.imul(i, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0")}-${i}`;

function create(directory: string, name: string): void {
  must(mknod(join(directory, name), S.IFREG, 0o644), `mknod ${name}`);
}

function requireEachOnce(listed: readonly Named[], wanted: ReadonlySet<string>, what: string): void {
  const seen = new Set<string>();
  for (const { name } of listed) {
    assert(!seen.has(name), `${what}: ${name} is listed twice`);
    seen.add(name);
  }
  let missing = 0;
  let example = "";
  for (const name of wanted) {
    if (!seen.has(name)) {
      missing++;
      example = name;
    }
  }
  assert.equal(missing, 0, `${what}: ${missing} names are missing, for example ${example}`);
}

mountTest(
  `large directory: ${count} entries are listed, sought, and changed while listed`,
  async (mounted) => {
    console.log(`SLAYERFS_DIRECTORY_SEED=${seed}`);
    const random = randomOf(seed);
    const directory = join(mounted.mountPoint, "large");
    must(mkdir(directory), "mkdir");
    const present = new Set<string>();
    const startedMs = performance.now();
    const took = (what: string) =>
      console.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s: ${what}`);
    create(directory, "like");
    await mounted.unmount();
    await fillDirectory(mounted.metaUrl, "large", "like", count - 1, nameOf);
    present.add("like");
    for (let i = 0; i < count - 1; i++) present.add(nameOf(i));
    took("filled");
    await mounted.mount();
    await run("ls", [mounted.mountPoint]);
    const before = await mounted.memory();
    const fd = must(open(directory, O.RDONLY | O.DIRECTORY), "open");
    let listed = rest(fd, 32 << 10);
    took("listed");
    requireEachOnce(listed, present, "listing");
    assert.equal(listed.length, count);
    const after = await mounted.memory();
    const grownBytes = after.peakBytes - before.residentBytes;
    console.log(
      `memory grew by ${(grownBytes / 2 ** 20).toFixed(0)} MiB, ${
        (grownBytes / count).toFixed(0)
      } bytes an entry`,
    );

    // Places, before anything has changed and after.
    const seekAndCompare = (places: readonly Named[], what: string) => {
      for (let i = 0; i < 40; i++) {
        const at = random.below(places.length - 1);
        must(lseek(fd, places[at]?.next ?? 0n, SEEK.SET), "lseek");
        const [first] = some(fd, 4096) ?? [];
        assert.equal(first?.name, places[at + 1]?.name, `${what}: after ${places[at]?.name}`);
      }
    };
    seekAndCompare(listed, "seek");
    took("sought");

    // While it is listed, a few go, come or move.
    must(lseek(fd, 0, SEEK.SET), "rewind");
    const names = [...present];
    const staying = new Set(present);
    const walk: Named[] = [];
    let made = 0;
    for (let more = some(fd, 16 << 10); more !== null; more = some(fd, 16 << 10)) {
      walk.push(...more);
      for (let i = 0; i < 6; i++) {
        const name = names[random.below(names.length)] ?? "";
        if (i < 2) {
          const added = `${random.below(2 ** 31).toString(16)}-new${made++}`;
          create(directory, added);
          present.add(added);
        } else if (present.has(name) && i < 4) {
          must(unlink(join(directory, name)), "unlink");
          present.delete(name);
          staying.delete(name);
        } else if (present.has(name) && i === 5) {
          const to = `${random.below(2 ** 31).toString(16)}-moved${made++}`;
          must(rename(join(directory, name), join(directory, to)), "rename");
          present.delete(name);
          present.add(to);
          staying.delete(name);
        }
      }
    }
    took(`listed while ${made} came`);
    requireEachOnce(walk, staying, "listing while entries come and go");

    // A place from before the changes is where it was, among those that stayed.
    const stayed = listed.filter(({ name }) => staying.has(name));
    for (let i = 0; i < 20; i++) {
      const at = random.below(stayed.length - 1);
      must(lseek(fd, stayed[at]?.next ?? 0n, SEEK.SET), "lseek");
      const next = (some(fd, 4096) ?? []).find(({ name }) => staying.has(name));
      assert.equal(next?.name, stayed[at + 1]?.name, `old place after ${stayed[at]?.name}`);
    }
    must(lseek(fd, 0, SEEK.SET), "rewind");
    listed = rest(fd, 32 << 10);
    requireEachOnce(listed, present, "after the changes");
    assert.equal(listed.length, present.size);
    must(close(fd), "close");
    took("sought and listed again");

    assert.equal(Number(await shell(`ls -U '${directory}' | wc -l`)), present.size);
    assert.equal(
      Number(await shell(`find '${directory}' -type f -name '*new*' | wc -l`)),
      [...present].filter((name) => name.includes("new")).length,
    );
    took("ls and find");
    await mounted.finish();
  },
);

mountTest("large directory: 10,000 files are removed by programs that list meanwhile", async (mounted) => {
  const directories = ["rm", "find", "both"].map((name) => join(mounted.mountPoint, name));
  for (const directory of directories) {
    must(mkdir(directory), "mkdir");
    create(directory, "like");
  }
  await mounted.unmount();
  for (const name of ["rm", "find", "both"]) await fillDirectory(mounted.metaUrl, name, "like", 3333, nameOf);
  await mounted.mount();
  const [byRm, byFind, byBoth] = directories;
  await shell(`rm -r '${byRm}'; find '${byFind}' -delete`);
  // Each finds names that the other one has removed; together they leave nothing.
  await shell(`find '${byBoth}' -type f -delete 2>/dev/null & rm -rf '${byBoth}'; wait; rm -rf '${byBoth}'`);
  assert.equal(await run("ls", ["-A", mounted.mountPoint]), "");
  await mounted.finish();
});

import assert from "node:assert/strict";
import v8 from "node:v8";
import vm from "node:vm";
import fc from "fast-check";
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import {
  bytes,
  formattedMemoryStore,
  newFile,
  openClient,
  quietEnv,
} from "../../tests/helpers/memory_world.ts";
import { FsError } from "../errors.ts";
import { ROOT_INO } from "../limits.ts";
import { S_IFREG } from "../meta/attr.ts";
import type { MetaEngine } from "../meta/engine.ts";
import { put } from "../meta/store.ts";
import { formatVolume, openVolume, readFormat } from "../volume.ts";
import type { VfsContext } from "./context.ts";
import { DirectoryStream, type StreamLimits } from "./directory_stream.ts";
import { compareNames, lastSurvivor, nameHash } from "./name_hashes.ts";

const root = { uid: 0, gid: 0, pid: 0 };
const decoder = new TextDecoder();

interface Listed {
  readonly name: string;
  readonly cookie: number;
}

/** Reads at most `count` entries after `offset`, as one getdents(2) would. */
async function some(stream: DirectoryStream, offset: number, count: number): Promise<Listed[]> {
  const entries: Listed[] = [];
  await stream.read(offset, false, (name, _ino, _mode, cookie) => {
    if (entries.length === count) return false;
    entries.push({ name: decoder.decode(name), cookie });
    return true;
  });
  return entries;
}

/** Everything after `offset`, `count` entries at a time. */
async function rest(stream: DirectoryStream, offset: number, count: number): Promise<Listed[]> {
  const entries: Listed[] = [];
  for (;;) {
    const more = await some(stream, entries.at(-1)?.cookie ?? offset, count);
    if (more.length === 0) return entries;
    entries.push(...more);
  }
}

const names = (entries: readonly Listed[]) =>
  entries.map((entry) => entry.name).filter((name) => name !== "." && name !== "..");

const smallLimits: StreamLimits = { pageEntries: 3, pagesMax: 2, segmentsMax: 10_000 };

/** A directory that a test fills, and streams of it; small pages make what is rare with large ones common. */
async function directory(limits: Partial<StreamLimits> = {}) {
  const engine = await openClient(await formattedMemoryStore());
  const ctx = { engine, accessTimes: { noteRead() {} } } as unknown as VfsContext;
  return {
    engine,
    open: () => new DirectoryStream(ctx, ROOT_INO, ROOT_INO, { ...smallLimits, ...limits }),
    create: (name: string) => engine.create(ROOT_INO, bytes(name), newFile(S_IFREG | 0o644)),
    remove: (name: string) => engine.unlink(ROOT_INO, bytes(name), () => false),
    rename: (from: string, to: string) => renameIn(engine, from, to),
  };
}

function renameIn(engine: MetaEngine, from: string, to: string) {
  const place = (name: string) => ({ parent: ROOT_INO, name: bytes(name) });
  return engine.rename(place(from), place(to), false, () => false);
}

Deno.test("directory stream: . and .. first, then every name once, however few fit", async () => {
  const { engine, open, create } = await directory();
  const wanted = Array.from({ length: 20 }, (_, i) => `n${String(i).padStart(2, "0")}`);
  for (const name of wanted) await create(name);
  for (const count of [1, 2, 3, 4, 7, 100]) {
    const listed = await rest(open(), 0, count);
    assert.deepEqual(listed.map(({ name }) => name), [".", "..", ...wanted], `${count} at a time`);
    assert.equal(new Set(listed.map(({ cookie }) => cookie)).size, listed.length, "a cookie for each");
  }
  await engine.close();
});

Deno.test("directory stream: an empty directory ends after .., and stays at its end", async () => {
  const { engine, open, create } = await directory();
  const stream = open();
  assert.deepEqual((await rest(stream, 0, 1)).map(({ name }) => name), [".", ".."]);
  assert.deepEqual(await some(stream, 2, 10), []);
  await create("late");
  assert.deepEqual(names(await rest(stream, 0, 10)), ["late"], "rewound");
  await engine.close();
});

Deno.test("directory stream: a seek goes back to its entry also when its page has been read again", async () => {
  const { engine, open, create, remove } = await directory();
  for (let i = 10; i < 40; i++) await create(`n${i}`);
  const stream = open();
  const listed = (await rest(stream, 0, 5)).filter(({ name }) => name.startsWith("n"));
  // What comes and goes before the place would move it if it were a count.
  await remove("n10");
  await remove("n12");
  for (const name of ["n11a", "n11b", "n11c", "n11d", "n11e", "m"]) await create(name);
  for (const { name, cookie } of listed) {
    const expected = listed.map((each) => each.name).filter((each) =>
      each > name && each !== "n10" && each !== "n12"
    );
    const old = names(await rest(stream, cookie, 4)).filter((each) => each.length === 3);
    assert.deepEqual(old, expected, `after ${name}`);
  }
  await engine.close();
});

Deno.test("directory stream: places stay good over a rewind", async () => {
  const { engine, open, create, remove } = await directory();
  for (let i = 10; i < 30; i++) await create(`n${i}`);
  const stream = open();
  const before = (await rest(stream, 0, 5)).find(({ name }) => name === "n20");
  await remove("n15");
  await create("n155");
  const again = await rest(stream, 0, 5);
  assert(names(again).includes("n155") && !names(again).includes("n15"), "what changed is seen");
  for (const place of [before, again.find(({ name }) => name === "n20")]) {
    assert.equal(names(await rest(stream, place?.cookie ?? -1, 5))[0], "n21");
  }
  await engine.close();
});

Deno.test("directory stream: an offset that no entry has is EINVAL, not the end", async () => {
  const { engine, open, create } = await directory({ segmentsMax: 4 });
  for (let i = 10; i < 40; i++) await create(`n${i}`);
  const invalid = (error: unknown) => error instanceof FsError && error.code === "EINVAL";
  await assert.rejects(some(open(), 10, 5), invalid, "nothing was listed");
  const stream = open();
  const listed = await rest(stream, 0, 5);
  const last = listed.at(-1)?.cookie ?? 0;
  assert.deepEqual(await some(stream, last, 5), [], "the end itself");
  await assert.rejects(some(stream, last + 100, 5), invalid, "beyond everything");
  await assert.rejects(some(stream, listed[3]?.cookie ?? 0, 5), invalid, "so long ago that it was given up");
  assert.equal((await rest(stream, 0, 5)).length, 32, "a rewind helps");
  await engine.close();
});

Deno.test("directory stream: unchanged pages need no new memory however often they are listed", async () => {
  const { engine, open, create } = await directory({ segmentsMax: 20 });
  for (let i = 10; i < 40; i++) await create(`n${i}`);
  const stream = open();
  const first = await rest(stream, 0, 5);
  for (let i = 0; i < 50; i++) {
    assert.deepEqual(await rest(stream, 0, 5), first, "the same cookies each time");
  }
  await engine.close();
});

type Step =
  | { readonly do: "read"; readonly count: number }
  | { readonly do: "seek"; readonly to: number }
  | { readonly do: "rewind" }
  | { readonly do: "create" | "remove"; readonly name: number }
  | { readonly do: "rename"; readonly name: number; readonly to: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("read" as const), count: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("seek" as const), to: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.constant({ do: "rewind" as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("create" as const, "remove" as const),
      name: fc.nat(99),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("rename" as const), name: fc.nat(99), to: fc.nat(99) }),
  },
);

Deno.test("directory stream: whatever comes and goes, entries that stay are listed exactly once from any place", async () => {
  const nameOf = (i: number) => `n${String(i).padStart(2, "0")}`;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(99), { maxLength: 40 }),
      fc.array(step, { maxLength: 120 }),
      async (initial, steps) => {
        const { engine, open, create, remove, rename } = await directory();
        const present = new Set(initial.map(nameOf));
        for (const name of present) await create(name);
        const stream = open();
        /** Cookies that were given, with their names ("" for the dots and the start). */
        const places: Listed[] = [{ name: "", cookie: 0 }];
        let at = 0;
        /** What was there at the last rewind and has not gone since: the rest may be listed or not. */
        let staying = new Set(present);
        let seen: string[] = [];
        let from = "";
        const check = (until: string | undefined) => {
          const wanted = [...staying].filter((name) => name > from && (until === undefined || name <= until))
            .sort();
          assert.deepEqual(seen.filter((name) => staying.has(name)), wanted, `listed after "${from}"`);
          assert.equal(new Set(seen).size, seen.length, "a name twice");
        };
        const startWalk = (place: Listed) => {
          at = place.cookie;
          from = place.name;
          seen = [];
        };
        const gone = (name: string) => {
          present.delete(name);
          staying.delete(name);
        };
        for (const each of [...steps, { do: "read" as const, count: 1000 }]) {
          if (each.do === "read") {
            // A rewind is known to the stream when it is read from its start.
            if (at === 0) staying = new Set(present);
            const entries = await some(stream, at, each.count);
            for (const { name, cookie } of entries) {
              at = cookie;
              const isDots = name === "." || name === "..";
              if (!isDots) seen.push(name);
              places.push({ name: isDots ? "" : name, cookie });
            }
            check(entries.length < each.count ? undefined : seen.at(-1) ?? "");
          } else if (each.do === "seek") startWalk(places[each.to % places.length] as Listed);
          else if (each.do === "rewind") startWalk(places[0] as Listed);
          else {
            const name = nameOf(each.name);
            if (each.do === "create" && !present.has(name)) {
              await create(name);
              present.add(name);
            } else if (each.do === "remove" && present.has(name)) {
              await remove(name);
              gone(name);
            } else if (each.do === "rename" && present.has(name)) {
              const to = nameOf(each.to);
              await rename(name, to);
              if (to !== name) gone(name);
              present.add(to);
            }
          }
        }
        await engine.close();
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("directory stream: 200,000 entries are listed once each, in one scan a thousand, in bounded memory", async () => {
  const COUNT = 200_000;
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc") as () => void;
  const meta = createMemoryMetaStore();
  await formatVolume(meta, { name: "test", storage: "memory", bucket: "memory:" }, quietEnv);
  const format = await readFormat(meta);
  assert(format !== null);
  const scans: { rows: number }[] = [];
  const scan = meta.scan.bind(meta);
  meta.scan = (async (request: Parameters<typeof scan>[0]) => {
    const found = await scan(request);
    if (request.table === "edges") scans.push({ rows: found.length });
    return found;
  }) as typeof scan;
  const volume = await openVolume({
    meta,
    objects: createMemoryObjectStore(),
    format,
    env: quietEnv,
    options: { client: { host: "test", pid: 1, version: "0" } },
  });
  const { vfs } = volume;
  const { attr } = await vfs.mknod(root, ROOT_INO, bytes("first"), S_IFREG | 0o644, 0, 0);
  vfs.forget(attr.ino, 1);
  // The other names stand for the same file: to make as many files takes longer than all the rest.
  for (let i = 0; i < COUNT; i += 1000) {
    const writes = Array.from(
      { length: 1000 },
      (_, j) => put("edges", [ROOT_INO, bytes(`n ${i + j}`)], { ino: attr.ino, mode: S_IFREG }),
    );
    assert((await meta.commit({ checks: [], writes }, { durability: "ordered" })).ok);
  }

  const listing = async (handle: number) => {
    const seen = new Uint8Array(COUNT);
    let cookie = 0;
    for (let count = 1; count > 0;) {
      count = 0;
      await vfs.readdir(root, ROOT_INO, handle, cookie, false, (name, _ino, _mode, next) => {
        if (count === 700) return false;
        count++;
        cookie = next;
        if (name[0] === 0x6e) {
          const index = Number(decoder.decode(name.subarray(2)));
          seen[index] = (seen[index] as number) + 1;
        }
        return true;
      });
    }
    return seen;
  };
  const { handle } = await vfs.opendir(root, ROOT_INO);
  // Once to fill what is kept anyway, caches above all.
  assert(!(await listing((await vfs.opendir(root, ROOT_INO)).handle)).some((times) => times !== 1));
  gc();
  const before = Deno.memoryUsage();
  scans.length = 0;
  assert(!(await listing(handle)).some((times) => times !== 1), "every name exactly once");
  gc();
  const after = Deno.memoryUsage();
  assert(scans.every(({ rows }) => rows <= 1000));
  assert.equal(scans.length, COUNT / 1000 + 1, "a scan for each page and the end");
  const keptBytes = after.heapUsed + after.external - before.heapUsed - before.external;
  console.log(`${(keptBytes / COUNT).toFixed(1)} bytes kept for an entry`);
  // 8 bytes an entry, and some pages of whole entries.
  assert(keptBytes < 32 * COUNT, `${keptBytes} bytes are kept for ${COUNT} entries`);
  vfs.releasedir(ROOT_INO, handle);
  await volume.close();
});

Deno.test("name hashes: the last survivor is found; order is that of bytes", () => {
  const hashes = (list: string[]) => Float64Array.from(list, (name) => nameHash(bytes(name)));
  const then = hashes(["a", "b", "c", "d"]);
  assert.equal(lastSurvivor(then, 2, hashes(["0", "a", "aa", "d"])), 1);
  assert.equal(lastSurvivor(then, 3, hashes(["0", "a", "aa", "d"])), 3);
  assert.equal(lastSurvivor(then, 2, hashes(["d", "e"])), -1);
  assert.equal(lastSurvivor(then, 3, hashes([])), -1);
  assert(compareNames(bytes("a"), bytes("ab")) < 0 && compareNames(bytes("b"), bytes("ab")) > 0);
  assert.equal(compareNames(bytes("ab"), bytes("ab")), 0);
  assert(compareNames(Uint8Array.of(0x80), bytes("z")) > 0);
});

Deno.test("name hashes: names as programs make them have as many hashes", () => {
  const seen = new Set<number>();
  for (let i = 0; i < 50_000; i++) {
    for (const name of [`file${i}`, `${i}.txt`, `IMG_${String(i).padStart(6, "0")}.JPG`, i.toString(36)]) {
      seen.add(nameHash(bytes(name)));
    }
  }
  assert.equal(seen.size, 200_000);
});

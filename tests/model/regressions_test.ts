/** Sequences that once failed, by what was wrong. Each runs on all volumes that the model test runs on. */
import type { Command } from "./commands.ts";
import { replaySequence } from "./harness.ts";
import { libsqlSubject, memorySubject } from "./subjects.ts";

const none = { read: false, write: false, append: false, create: false, createNew: false, truncate: false };
const readWrite = { ...none, read: true, write: true, create: true };

const regressions: Readonly<Record<string, readonly Command[]>> = {
  "a check that fails right after an fsync is noticed": [
    { op: "open", slot: 2, path: "/a", how: readWrite, mode: 0o644 },
    { op: "fsync", slot: 2 },
    { op: "mkdir", path: "/a", mode: 0o755 },
  ],
  "usage is folded into the right row after an fsync": [
    { op: "open", slot: 3, path: "/d", how: readWrite, mode: 0o644 },
    { op: "fsync", slot: 3 },
    { op: "mkdir", path: "/e", mode: 0o755 },
    { op: "reopen" },
  ],
  "blocks of a slice that are uploaded at the same time get one slice id": [
    { op: "open", slot: 0, path: "/b", how: readWrite, mode: 0o644 },
    { op: "writeAt", slot: 0, offset: 196_583, length: 4288, fill: 1 },
    { op: "fsync", slot: 0 },
    { op: "writeAt", slot: 0, offset: 58_610, length: 916_842, fill: 2 },
    { op: "fsync", slot: 0 },
  ],
  "root's O_TRUNC leaves the set-group-ID bit alone": [
    { op: "open", slot: 0, path: "/b", how: readWrite, mode: 0o644 },
    { op: "chmod", path: "/b", mode: 0o2755 },
    { op: "open", slot: 0, path: "/b", how: { ...readWrite, truncate: true }, mode: 0o644 },
    { op: "stat", path: "/b" },
  ],
  "a file renamed over a directory that it is in: ENOTEMPTY": [
    { op: "mkdir", path: "/a", mode: 0o755 },
    { op: "symlink", target: "/a", path: "/a/c" },
    { op: "rename", from: "/a/c", to: "/a", flag: "" },
  ],
  "a directory linked to a name that is taken: EEXIST before EPERM": [
    { op: "mkdir", path: "/e", mode: 0o755 },
    { op: "symlink", target: "x", path: "/d" },
    { op: "link", from: "/e", to: "/d" },
  ],
};

for (const [name, sequence] of Object.entries(regressions)) {
  Deno.test(`model regression: ${name}`, async () => {
    const directory = await Deno.makeTempDir({ prefix: "slayerfs-model-" });
    try {
      const libsql = libsqlSubject(directory);
      // Several settings each: the seed chooses them.
      for (const seed of [1, 2, 3]) {
        await replaySequence(memorySubject(), sequence, seed);
        await replaySequence(libsql, sequence, seed);
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

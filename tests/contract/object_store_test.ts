import { equal, match, ok, rejects, throws } from "node:assert/strict";
import { systemEnv } from "../../core/env.ts";
import { StoreError } from "../../core/errors.ts";
import { directoryOf, plugin as filePlugin } from "../../backends/object/file.ts";
import { plugin as memoryPlugin } from "../../backends/object/memory.ts";
import { objectStoreContract } from "./object_store.ts";

const env = systemEnv("error");
let names = 0;

objectStoreContract("memory", async () => {
  const url = `memory:contract-${names++}`;
  return {
    store: await memoryPlugin.open(url, { mode: "create", env }),
    reopen: () => memoryPlugin.open(url, { mode: "open", env }),
    cleanUp: async () => {},
  };
});

objectStoreContract("file", async () => {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-objects-" });
  const url = `file:${directory}/bucket`;
  return {
    store: await filePlugin.open(url, { mode: "create", env }),
    reopen: () => filePlugin.open(url, { mode: "open", env }),
    cleanUp: () => Deno.remove(directory, { recursive: true }),
  };
});

async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-objects-" });
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function filesBelow(directory: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(directory)) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory) found.push(...filesBelow(path));
    else found.push(path);
  }
  return found;
}

Deno.test("memory: without a name is private; a name must be created first", async () => {
  const one = await memoryPlugin.open("memory:", { mode: "create", env });
  const two = await memoryPlugin.open("memory:", { mode: "open", env });
  await one.put("k", new Uint8Array(1));
  equal(await two.head("k"), null);
  await rejects(
    memoryPlugin.open("memory:never-created", { mode: "open", env }),
    (error: unknown) => error instanceof StoreError && error.kind === "caller" && error.errno === "ENOENT",
  );
});

Deno.test("file: a missing bucket is refused in mode open, made in mode create", () =>
  withDirectory(async (directory) => {
    const url = `file:${directory}/not/yet`;
    await rejects(
      filePlugin.open(url, { mode: "open", env }),
      (error: unknown) =>
        error instanceof StoreError && error.kind === "caller" && error.errno === "ENOENT" &&
        error.message.includes(`${directory}/not/yet`),
    );
    const store = await filePlugin.open(`file://${directory}/not/yet`, { mode: "create", env });
    equal(filesBelow(directory).length, 0, "the probe leaves nothing behind");
    await store.put("a", new Uint8Array(1));
    await (await filePlugin.open(url, { mode: "open", env })).get("a");
  }));

Deno.test("file: a bucket that is a file is refused", () =>
  withDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/f`, "x");
    for (const mode of ["open", "create"] as const) {
      await rejects(filePlugin.open(`file:${directory}/f`, { mode, env }), StoreError);
      await rejects(filePlugin.open(`file:${directory}/f/below`, { mode, env }), StoreError);
    }
  }));

Deno.test("file: URLs name directories", () => {
  equal(directoryOf("file:/a/b/"), "/a/b");
  equal(directoryOf("file:///a/b%20c"), "/a/b c");
  equal(directoryOf("file:x/../y"), `${Deno.cwd()}/y`);
  for (const url of ["file:", "file://host/x", "file:a\0b"]) throws(() => directoryOf(url), StoreError, url);
});

Deno.test("file: left-over temporary files are not listed, and swept when old", () =>
  withDirectory(async (directory) => {
    const url = `file:${directory}`;
    const store = await filePlugin.open(url, { mode: "create", env });
    await store.put("k", new Uint8Array(10));
    await Deno.writeTextFile(`${directory}/~tmp/old`, "x");
    await Deno.writeTextFile(`${directory}/~tmp/young`, "x");
    await Deno.utime(`${directory}/~tmp/old`, 1000, 1000);
    equal((await store.list("", { limit: 10 })).length, 1);
    await filePlugin.open(url, { mode: "open", env });
    equal(filesBelow(`${directory}/~tmp`).join(), `${directory}/~tmp/young`);
  }));

Deno.test("file: a failed put leaves no temporary file", () =>
  withDirectory(async (directory) => {
    const store = await filePlugin.open(`file:${directory}`, { mode: "create", env });
    await store.put("a", new Uint8Array(1));
    for (const size of [10, 100_000]) {
      // `a` is an object, so nothing can be stored below it: the rename fails after the body was written.
      await rejects(store.put("a/b", new Uint8Array(size)), StoreError);
    }
    equal(filesBelow(directory).join(), `${directory}/a`);
  }));

Deno.test("file: a full disk is ENOSPC, leaves nothing behind, and is forgiven when there is room", async (t) => {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-full-" });
  const mount = await new Deno.Command("mount", {
    args: ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory],
    stderr: "null",
  }).output().catch(() => ({ success: false }));
  await t.step({
    name: "on a 1 MiB tmpfs",
    ignore: !mount.success,
    fn: async () => {
      try {
        const store = await filePlugin.open(`file:${directory}`, { mode: "create", env });
        await store.put("fits", new Uint8Array(600_000));
        const full = (error: unknown) =>
          error instanceof StoreError && error.kind === "fatal" && error.errno === "ENOSPC";
        await rejects(store.put("large", new Uint8Array(600_000)), full);
        equal(filesBelow(directory).length, 1);
        let stored = 0;
        await rejects(async () => {
          for (; stored < 100; stored++) await store.put(`small-${stored}`, new Uint8Array(20_000));
        }, full);
        equal(filesBelow(directory).length, 1 + stored);
        await store.delete(["fits"]);
        await store.put("large", new Uint8Array(500_000));
        equal((await store.capacity?.())?.totalBytes, 1 << 20);
      } finally {
        await new Deno.Command("umount", { args: [directory] }).output();
      }
    },
  });
  await Deno.remove(directory);
});

Deno.test("file: a bucket that may not be written says so", async () => {
  const uid = Deno.uid();
  await withDirectory(async (directory) => {
    // Permissions do not bind root, so there the read-only kind is a directory of /proc.
    const place = uid === 0 ? "/proc/self" : directory;
    if (uid !== 0) await Deno.chmod(directory, 0o500);
    const error = await filePlugin.open(`file:${place}`, { mode: "create", env }).then(() => null, (e) => e);
    ok(error instanceof StoreError && error.kind === "fatal");
    match(error.message, /cannot store object/);
    if (uid !== 0) await Deno.chmod(directory, 0o700);
  });
});

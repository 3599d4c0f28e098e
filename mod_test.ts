/** The public interface, and the documentation that shows it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createMemoryVolume, formatVolume, FsError, openVolume, UserError, type Volume } from "./mod.ts";
import { checkVolumeAt } from "./tests/helpers/check_volume.ts";

async function inTemporaryDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-library-" });
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The code blocks of the documentation with the headings that they stand under. */
async function documentedExamples(): Promise<{ heading: string; code: string }[]> {
  const text = await Deno.readTextFile(new URL("./docs/library.md", import.meta.url));
  const examples: { heading: string; code: string }[] = [];
  let heading = "";
  for (const [, nextHeading, code] of text.matchAll(/^## (.*)$|^```ts\n([\s\S]*?)^```$/gm)) {
    heading = nextHeading ?? heading;
    if (code !== undefined) examples.push({ heading, code });
  }
  return examples;
}

const examples = await documentedExamples();

Deno.test("library documentation: every example compiles and runs", async (test) => {
  assert.ok(examples.length >= 7);
  await inTemporaryDirectory(async (directory) => {
    const deno = async (...args: string[]) => {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args,
        cwd: directory,
        env: { NO_COLOR: "1" },
        stdout: "null",
        stderr: "piped",
      }).output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
    };
    const config = JSON.parse(await Deno.readTextFile(new URL("./deno.json", import.meta.url)));
    config.imports.slayerfs = new URL("./mod.ts", import.meta.url).href;
    await Deno.writeTextFile(join(directory, "deno.json"), JSON.stringify(config));
    for (const [i, { code }] of examples.entries()) {
      await Deno.writeTextFile(join(directory, `example_${i}.ts`), code);
    }
    const names = examples.map((_, i) => `example_${i}.ts`);
    // One run of the compiler for all of them.
    await test.step("types", () => deno("check", "--no-lock", ...names));
    for (const [i, { heading }] of examples.entries()) {
      await test.step(heading, () => deno("run", "--no-check", "--no-lock", "-A", `example_${i}.ts`));
    }
  });
});

Deno.test("library: what was written is there when the volume is opened again", () =>
  inTemporaryDirectory(async (directory) => {
    const url = `libsql:${join(directory, "meta.db")}`;
    const format = await formatVolume(url, "test");
    assert.equal(format.bucket, `file:${join(directory, "meta.db.objects")}`);
    const data = new Uint8Array(10 << 20).map((_, i) => i * 7 + (i >> 8));
    {
      await using volume = await openVolume(url);
      await volume.writeFile("/file", data);
      await volume.sync();
    }
    {
      await using volume = await openVolume(url, { readOnly: true });
      assert.deepEqual(await volume.readFile("/file"), data);
    }
    await checkVolumeAt(url);
  }));

Deno.test("library: bad input is told in one line", () =>
  inTemporaryDirectory(async (directory) => {
    const url = `libsql:${join(directory, "meta.db")}`;
    const oneLine = (pattern: RegExp) => (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, pattern);
      assert.ok(!error.message.includes("\n"));
      return true;
    };
    await assert.rejects(openVolume(url), oneLine(/meta\.db/));
    await assert.rejects(openVolume("gopher:x"), oneLine(/gopher/));
    await assert.rejects(formatVolume(url, "Not A Name"), oneLine(/name/));
    await Deno.writeTextFile(join(directory, "file"), "");
    const bucket = `file:${join(directory, "file", "objects")}`;
    await assert.rejects(formatVolume(url, "test", { bucket }), oneLine(/bucket/));
    await assert.rejects(openVolume(url), UserError);
    await formatVolume(url, "test");
    await formatVolume(url, "test");
    await assert.rejects(formatVolume(url, "test", { blockBytes: 1 << 20 }), oneLine(/other settings/));
  }));

Deno.test("library: limits of a volume are ENOSPC", async () => {
  await using volume = await createMemoryVolume({ capacityBytes: 1 << 20, inodesMax: 10 });
  await volume.writeFile("/fits", new Uint8Array(100_000));
  await assert.rejects(volume.writeFile("/does not", new Uint8Array(2 << 20)), { code: "ENOSPC" });
  assert.equal((await volume.readFile("/fits")).length, 100_000);
});

async function withVolume(body: (volume: Volume) => Promise<void>): Promise<void> {
  await using volume = await createMemoryVolume();
  await body(volume);
}

Deno.test("library: closing a volume closes its files, and then nothing works", async () => {
  const volume = await createMemoryVolume();
  const file = await volume.open("/file", { write: true, create: true });
  await file.write(new Uint8Array(10));
  await volume.close();
  await volume.close();
  await assert.rejects(file.write(new Uint8Array(1)), { code: "EBADF" });
  await assert.rejects(volume.stat("/"), { code: "EBADF" });
  await assert.rejects(volume.open("/file"), { code: "EBADF" });
});

Deno.test("library: writeFile's options", () =>
  withVolume(async (volume) => {
    await assert.rejects(volume.writeTextFile("/f", "x", { create: false }), { code: "ENOENT" });
    await volume.writeTextFile("/f", "one", { createNew: true, mode: 0o640 });
    assert.equal((await volume.stat("/f")).mode & 0o7777, 0o640);
    await assert.rejects(volume.writeTextFile("/f", "x", { createNew: true }), { code: "EEXIST" });
    await volume.writeTextFile("/f", " two", { append: true });
    assert.equal(await volume.readTextFile("/f"), "one two");
    const stream = ReadableStream.from(["th", "ree"]);
    await volume.writeTextFile("/f", stream);
    assert.equal(await volume.readTextFile("/f"), "three");
    await volume.copyFile("/f", "/g");
    assert.equal((await volume.stat("/g")).mode & 0o7777, 0o640);
    await volume.copyFile("/g", "/g");
    assert.equal(await volume.readTextFile("/g"), "three");
    const failing = new ReadableStream<Uint8Array>({ pull: (c) => c.error(new Error("the source broke")) });
    await assert.rejects(volume.writeFile("/f", failing), /the source broke/);
  }));

Deno.test("library: streams of files", () =>
  withVolume(async (volume) => {
    const data = new Uint8Array(3_000_000).map((_, i) => i * 31);
    const to = await volume.open("/f", { write: true, create: true });
    await ReadableStream.from([data.subarray(0, 1), data.subarray(1, 2_000_001), data.subarray(2_000_001)])
      .pipeTo(to.writable);
    await assert.rejects(to.stat(), { code: "EBADF" });
    const from = await volume.open("/f");
    assert.deepEqual(await new Response(from.readable).bytes(), data);
    await assert.rejects(from.stat(), { code: "EBADF" });
    const cancelled = await volume.open("/f");
    const reader = cancelled.readable.getReader();
    assert.ok(((await reader.read()).value?.length ?? 0) > 0);
    await reader.cancel();
    await assert.rejects(cancelled.stat(), { code: "EBADF" });
    const wrong = await volume.open("/f");
    await assert.rejects(ReadableStream.from([data]).pipeTo(wrong.writable), { code: "EBADF" });
  }));

Deno.test("library: calls on one file that are not awaited keep their order", () =>
  withVolume(async (volume) => {
    await using file = await volume.open("/f", { read: true, write: true, create: true });
    const text = (i: number) => new TextEncoder().encode(`${i};`);
    await Promise.all(Array.from({ length: 50 }, (_, i) => file.write(text(i))));
    await file.seek(0);
    const [a, b] = [new Uint8Array(2), new Uint8Array(2)];
    await Promise.all([file.read(a), file.read(b)]);
    assert.deepEqual([a, b], [text(0), text(1)]);
    // Appending through two files of one program loses nothing either.
    await using one = await volume.open("/log", { append: true, create: true });
    await using two = await volume.open("/log", { append: true });
    await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? one : two).write(text(i))));
    assert.equal((await volume.readTextFile("/log")).split(";").length, 41);
  }));

Deno.test("library: names are bytes", () =>
  withVolume(async (volume) => {
    const name = new Uint8Array([0x2f, 0xff, 0x0a, 0x41]);
    await volume.writeFile(name, new Uint8Array([1]));
    const entries = await Array.fromAsync(volume.readDir("/"));
    assert.deepEqual(entries.map((entry) => entry.nameBytes), [name.subarray(1)]);
    assert.equal(entries[0]?.name, "\ufffd\nA");
    assert.deepEqual(await volume.realPathBytes(name), name);
    await assert.rejects(volume.realPath(name), { code: "EINVAL" });
    await volume.symlink(name, "/link");
    assert.deepEqual(await volume.readLinkBytes("/link"), name);
    await assert.rejects(volume.readLink("/link"), { code: "EINVAL" });
    assert.equal((await volume.readFile("/link")).length, 1);
    for (const bad of ["a\0b", "a\ud800b"]) await assert.rejects(volume.stat(bad), { code: "EINVAL" });
    await assert.rejects(volume.stat(""), { code: "ENOENT" });
    await assert.rejects(volume.stat("x".repeat(256)), { code: "ENAMETOOLONG" });
    await assert.rejects(volume.mkdir("é".repeat(128)), { code: "ENAMETOOLONG" });
    await volume.mkdir("é".repeat(127));
  }));

Deno.test("library: paths through links and dots", () =>
  withVolume(async (volume) => {
    await volume.mkdir("/a/b/c", { recursive: true });
    await volume.mkdir("/a/b/c", { recursive: true });
    await volume.writeTextFile("/a/file", "x");
    await volume.symlink("../a/b", "/a/toB");
    await volume.symlink("/a/toB/c", "/toC");
    assert.equal(await volume.realPath("toC/../../file"), "/a/file");
    assert.equal(await volume.realPath("//a/./b//c/.."), "/a/b");
    assert.equal(await volume.realPath("/../../.."), "/");
    await assert.rejects(volume.stat("/a/file/"), { code: "ENOTDIR" });
    await assert.rejects(volume.stat("/a/file/.."), { code: "ENOTDIR" });
    await assert.rejects(volume.mkdir("/a/file/x/y", { recursive: true }), { code: "ENOTDIR" });
    await assert.rejects(volume.mkdir("/a/file", { recursive: true }), { code: "EEXIST" });
    assert.equal((await volume.lstat("/toC/")).isDirectory, true);
    await volume.symlink("self", "/self");
    await assert.rejects(volume.stat("/self"), { code: "ELOOP" });
    // 40 links are followed, 41 are not.
    await volume.symlink("/a", "/l1");
    for (let i = 2; i <= 41; i++) await volume.symlink(`/l${i - 1}`, `/l${i}`);
    assert.equal((await volume.stat("/l40")).isDirectory, true);
    await assert.rejects(volume.stat("/l41"), { code: "ELOOP" });
    // Creating through a dangling link makes its target.
    await volume.symlink("made", "/dangling");
    await volume.writeTextFile("/dangling", "y");
    assert.equal(await volume.readTextFile("/made"), "y");
  }));

Deno.test("library: a large directory is listed and removed in pieces", () =>
  withVolume(async (volume) => {
    await volume.mkdir("/d/sub/sub", { recursive: true });
    for (let i = 0; i < 1500; i++) await volume.writeFile(`/d/${i}`, new Uint8Array(0));
    await volume.writeFile("/d/sub/sub/f", new Uint8Array(1));
    const names = await Array.fromAsync(volume.readDir("/d"), (entry) => entry.name);
    assert.equal(new Set(names).size, 1501);
    for await (const entry of volume.readDir("/d")) if (entry.isFile) break; // left early: the handle is given back
    await assert.rejects(volume.remove("/d"), { code: "ENOTEMPTY" });
    await volume.remove("/d", { recursive: true });
    assert.deepEqual(await Array.fromAsync(volume.readDir("/")), []);
    await assert.rejects(Array.fromAsync(volume.readDir("/d")), (error) => {
      assert.ok(error instanceof FsError);
      assert.equal(error.message, 'ENOENT: no such file or directory: readdir "/d"');
      return true;
    });
  }));

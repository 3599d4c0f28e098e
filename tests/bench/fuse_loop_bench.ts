/**
 * What the kernel adapter alone can do: an in-memory file system on a real mount, served by one process and used by
 * another. Needs root. deno run -A tests/bench/fuse_loop_bench.ts ['{"awaits":4}']
 */
import { join } from "node:path";
import type { ChildOptions, ChildReport } from "../helpers/fuse_child.ts";

const FILES = 5000;
const SEQUENTIAL_MIB = 256;
const SMALL_WRITES = 20_000;
const USERS = 4;
const STATS = 20_000;

interface Load {
  readonly directory: string;
  readonly kind: "files" | "bytes" | "stats";
}

const [mode = "{}", argument = ""] = Deno.args;
if (mode === "load") console.log(JSON.stringify(runLoad(JSON.parse(argument))));
else await bench(JSON.parse(mode));

async function bench(options: Partial<ChildOptions>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-bench-" });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => new Response("ok"));
  try {
    const fetchUrl = `http://127.0.0.1:${server.addr.port}/`;
    const quiet = await withMount(directory, options, async () => {
      await load({ directory, kind: "files" });
      await load({ directory, kind: "bytes" });
      await loads({ directory, kind: "stats" });
    });
    console.log("server CPU ms in all of these", quiet.cpuMs);
    const idle = await withMount(
      directory,
      options,
      () => new Promise((resolve) => setTimeout(resolve, 5000)),
    );
    console.log("server CPU ms of 5 s idle", idle.cpuMs);
    const paced = await withMount(
      directory,
      { ...options, fetchUrl },
      () => load({ directory, kind: "stats" }),
    );
    console.log(
      "beside that: fetch ms",
      paced.fetchMs,
      "lateness of a timer, ms",
      paced.timerMs,
    );
  } finally {
    await server.shutdown();
    await Deno.remove(directory);
  }
}

async function withMount(
  mountPoint: string,
  options: Partial<ChildOptions>,
  use: () => Promise<void>,
): Promise<ChildReport> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      join(import.meta.dirname ?? ".", "../helpers/fuse_child.ts"),
      JSON.stringify({ ...options, mountPoint }),
    ],
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  await lines.read();
  await use();
  child.kill("SIGTERM");
  let report = "";
  for (let next = await lines.read(); !next.done; next = await lines.read()) report += next.value;
  return JSON.parse(report);
}

/** In a process of its own: file functions block, and this one serves HTTP. */
async function load(what: Load): Promise<void> {
  console.log(what.kind, await rates(what));
}

async function loads(what: Load): Promise<void> {
  const all = await Promise.all(Array.from({ length: USERS }, () => rates(what)));
  console.log(`${what.kind} by ${USERS} processes, each`, all.map((each) => each.stats));
}

async function rates(what: Load): Promise<Record<string, number>> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", import.meta.filename ?? "", "load", JSON.stringify(what)],
    stderr: "inherit",
  }).output();
  if (!output.success) throw new Error("the load failed");
  return JSON.parse(new TextDecoder().decode(output.stdout));
}

function runLoad({ directory, kind }: Load): Record<string, number> {
  if (kind === "files") {
    const path = (i: number) => `${directory}/f${i}`;
    const create = perSecond(FILES, (i) => Deno.openSync(path(i), { createNew: true, write: true }).close());
    const stat = perSecond(FILES, (i) => Deno.lstatSync(path(i)));
    const list = performance.now();
    const count = [...Deno.readDirSync(directory)].length;
    const listMs = Math.round(performance.now() - list);
    const remove = perSecond(FILES, (i) => Deno.removeSync(path(i)));
    return { create, stat, remove, count, listMs };
  }
  if (kind === "bytes") {
    const path = `${directory}/big`;
    const block = new Uint8Array(1 << 20).fill(7);
    const rates: Record<string, number> = {};
    for (const name of ["writeMbS", "rewriteMbS"]) {
      using file = Deno.openSync(path, { create: true, write: true });
      rates[name] = perSecond(SEQUENTIAL_MIB, () => file.writeSync(block));
    }
    {
      using file = Deno.openSync(path);
      rates.readMbS = perSecond(SEQUENTIAL_MIB, () => file.readSync(block));
    }
    {
      using file = Deno.openSync(path, { write: true });
      const small = block.subarray(0, 4096);
      rates.small4kWrites = perSecond(SMALL_WRITES, () => file.writeSync(small));
    }
    Deno.removeSync(path);
    return rates;
  }
  for (let i = 0; i < 100; i++) Deno.writeTextFileSync(`${directory}/s${i}`, "");
  return { stats: perSecond(STATS, (i) => Deno.lstatSync(`${directory}/s${i % 100}`)) };
}

function perSecond(count: number, run: (i: number) => void): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) run(i);
  return Math.round(count / ((performance.now() - start) / 1000));
}

/**
 * `deno task bench [--json] [--rounds N] [--files N] [--mib N] [--only WORD]`: figures of a real mount on libSQL and a local
 * directory beside those of the host's own directory, in one run, medians of the rounds.
 *
 * `cold` is after a remount, which empties the caches of the kernel and of slayerfs; `from disk` also drops what the host's
 * page cache has of the objects. `CPU` is processor time of the mount's process per operation or MB: it says where time goes on
 * a machine that is busy with other things. The load comes from one thread of a C program (load.c), or without gcc of a script.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Mounted } from "../helpers/mounted.ts";
import { hasProgram, run } from "../helpers/shell.ts";

const { values: flags } = parseArgs({
  args: Deno.args,
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "3" },
    files: { type: "string", default: "5000" },
    mib: { type: "string", default: "512" },
    only: { type: "string", default: "" },
  },
});
const rounds = Number(flags.rounds);
const files = Number(flags.files);
const bytes = Number(flags.mib) * (1 << 20);
const MIB = 1 << 20;
/** Bytes of the 4 KiB measurements. */
const smallBytes = bytes / 8;

interface Place {
  readonly name: "mount" | "host";
  readonly directory: string;
  /** Empties the caches of the place itself. */
  cold(): Promise<void>;
  /** Also those of the host below it. */
  fromDisk(): Promise<void>;
}

interface Measurement {
  readonly name: string;
  readonly unit: "1/s" | "MB/s";
  /** What the mount should reach on a quiet machine with 2 cores. */
  readonly target?: number;
  readonly measure: (place: Place, load: Load) => Promise<number>;
}

type Load = (what: string, path: string, amount: number, block?: string) => Promise<number>;

const inMegabytes = async (rate: Promise<number>) => (await rate) / 1e6;
const inBlocks = async (rate: Promise<number>) => (await rate) / 4096;

/** In this order: later ones use the files of earlier ones. */
const measurements: readonly Measurement[] = [
  {
    name: "create",
    unit: "1/s",
    target: 2500,
    async measure({ directory }, load) {
      await Deno.mkdir(join(directory, "files"));
      return await load("create", join(directory, "files"), files);
    },
  },
  {
    name: "stat, cold",
    unit: "1/s",
    target: 5000,
    async measure({ directory, cold }, load) {
      await cold();
      return await load("stat", join(directory, "files"), files);
    },
  },
  {
    name: "unlink",
    unit: "1/s",
    async measure({ directory }, load) {
      const rate = await load("unlink", join(directory, "files"), files);
      await Deno.remove(join(directory, "files"));
      return rate;
    },
  },
  {
    name: "write 1 MiB, fsync",
    unit: "MB/s",
    target: 200,
    measure: ({ directory }, load) => inMegabytes(load("write", join(directory, "large"), bytes, `${MIB}`)),
  },
  {
    name: "read 1 MiB, cold",
    unit: "MB/s",
    target: 400,
    async measure({ directory, cold }, load) {
      await cold();
      return await inMegabytes(load("read", join(directory, "large"), bytes, `${MIB}`));
    },
  },
  {
    name: "read 1 MiB, again",
    unit: "MB/s",
    target: 2000,
    measure: ({ directory }, load) => inMegabytes(load("read", join(directory, "large"), bytes, `${MIB}`)),
  },
  {
    name: "read 1 MiB, from disk",
    unit: "MB/s",
    async measure({ directory, fromDisk }, load) {
      await fromDisk();
      return await inMegabytes(load("read", join(directory, "large"), bytes, `${MIB}`));
    },
  },
  {
    name: "write 4 KiB, fsync at the end",
    unit: "1/s",
    measure: ({ directory }, load) => inBlocks(load("write", join(directory, "small"), smallBytes, "4096")),
  },
  {
    name: "write 4 KiB at random, fsync at the end",
    unit: "1/s",
    measure: ({ directory }, load) =>
      inBlocks(load("write", join(directory, "small"), smallBytes / 4, "4096r")),
  },
  {
    name: "read 4 KiB, cold",
    unit: "1/s",
    async measure({ directory, cold }, load) {
      await cold();
      return await inBlocks(load("read", join(directory, "small"), smallBytes, "4096"));
    },
  },
  {
    name: "read 4 KiB at random, cold",
    unit: "1/s",
    async measure({ directory, cold }, load) {
      await cold();
      return await inBlocks(load("read", join(directory, "large"), smallBytes / 4, "4096r"));
    },
  },
];

/** Files or bytes, as the load generator counts, in one unit of the table. */
function amountPerUnit(name: string, unit: Measurement["unit"]): number {
  if (unit === "MB/s") return 1e6;
  return name.includes("4 KiB") ? 4096 : 1;
}

async function loadGenerator(directory: string): Promise<{ load: Load; what: string }> {
  const source = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const program = join(directory, "load");
  const isCompiled = await hasProgram("gcc");
  if (isCompiled) await run("gcc", ["-O2", "-o", program, source("load.c")]);
  const command = isCompiled ? [program] : [Deno.execPath(), "run", "-A", "--no-check", source("load.ts")];
  const [executable = "", ...prefix] = command;
  return {
    what: isCompiled ? "C program" : "Deno script (no gcc here)",
    load: async (what, path, amount, block = "0") =>
      Number(await run(executable, [...prefix, what, path, String(Math.floor(amount)), block])),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

async function main(): Promise<void> {
  const mounted = await Mounted.create();
  const hostDirectory = join(mounted.directory, "host");
  try {
    await Deno.mkdir(hostDirectory);
    const { load, what } = await loadGenerator(mounted.directory);
    const dropHost = (path: string) => load("drop", path, 0).then(() => {});
    const places: Place[] = [
      {
        name: "mount",
        directory: mounted.mountPoint,
        cold: () => mounted.remount(),
        async fromDisk() {
          await mounted.unmount();
          await dropHost(join(mounted.directory, "objects"));
          await mounted.mount();
        },
      },
      {
        name: "host",
        directory: hostDirectory,
        // The host has no cache but its page cache: what is cold comes from the disk.
        cold: () => dropHost(hostDirectory),
        fromDisk: () => dropHost(hostDirectory),
      },
    ];
    const rates = new Map<string, { mount: number[]; host: number[]; cpuUs: number[] }>();
    const selected = measurements.filter(({ name }) => name.includes(flags.only));
    for (let round = 0; round < rounds; round++) {
      for (const place of places) {
        for (const { name, unit, measure } of selected) {
          const entry = rates.get(name) ?? { mount: [], host: [], cpuUs: [] };
          let cpuUs = 0;
          const rate = await measure(place, async (what, path, amount, block) => {
            const before = place.name === "mount" ? await mounted.cpuSeconds() : 0;
            const rate = await load(what, path, amount, block);
            if (place.name === "mount") cpuUs = ((await mounted.cpuSeconds()) - before) * 1e6 / amount;
            return rate;
          });
          entry[place.name].push(rate);
          if (place.name === "mount") entry.cpuUs.push(cpuUs * amountPerUnit(name, unit));
          rates.set(name, entry);
          if (!flags.json) Deno.stderr.writeSync(new TextEncoder().encode("."));
        }
      }
    }
    if (!flags.json) console.error("");
    const { peakBytes } = await mounted.memory();
    await mounted.finish({ contents: false });
    const results = selected.map(({ name, unit, target }) => ({
      name,
      unit,
      target: target ?? null,
      mount: median(rates.get(name)?.mount ?? []),
      host: median(rates.get(name)?.host ?? []),
      cpuUs: median(rates.get(name)?.cpuUs ?? []),
      mountRounds: rates.get(name)?.mount,
      hostRounds: rates.get(name)?.host,
    }));
    const surroundings = {
      deno: Deno.version.deno,
      kernel: Deno.osRelease(),
      cores: availableParallelism(),
      loadAverage: Deno.loadavg()[0],
      load: what,
      rounds,
      files,
      mib: Number(flags.mib),
      peakMiB: Math.round(peakBytes / MIB),
    };
    if (flags.json) console.log(JSON.stringify({ surroundings, results }, null, 2));
    else print(results, surroundings);
  } finally {
    await mounted.remove();
  }
}

function print(
  results: readonly {
    name: string;
    unit: string;
    target: number | null;
    mount: number;
    host: number;
    cpuUs: number;
  }[],
  surroundings: Record<string, unknown>,
): void {
  const shown = (value: number) =>
    Number.isNaN(value) ? "-" : value.toLocaleString("en-US", { maximumFractionDigits: 0 });
  const rows = [["", "mount", "host", "", "target", "CPU us"]];
  for (const { name, unit, target, mount, host, cpuUs } of results) {
    rows.push([name, shown(mount), shown(host), unit, target === null ? "" : shown(target), shown(cpuUs)]);
  }
  const widths = [0, 1, 2, 3, 4, 5].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows) {
    const cells = row.map((cell, i) =>
      i === 0 || i === 3 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)
    );
    console.log(cells.join("  ").trimEnd());
  }
  console.log(Object.entries(surroundings).map(([name, value]) => `${name} ${value}`).join(", "));
}

await main();

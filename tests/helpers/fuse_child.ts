/**
 * A process that serves a TreeVfs on a mount, for tests and measurements: fuse_child.ts '{"mountPoint": ...}'. Prints
 * `ready`, then, when the mount has ended, one line of JSON with what it saw. SIGTERM unmounts.
 */
import process from "node:process";
import { systemEnv } from "../../core/env.ts";
import type { ServerOptions } from "../../fuse/context.ts";
import { mountFuse } from "../../fuse/mount.ts";
import { createTreeVfs, slowed, type TreeVfsOptions } from "./tree_vfs.ts";

export interface ChildOptions extends TreeVfsOptions {
  readonly mountPoint: string;
  /** Microtasks that each answer takes; 0: answered at once. */
  readonly awaits?: number;
  /** Milliseconds that a read of the file system named `slow` takes. */
  readonly slowReadMs?: number;
  /** Fetches this URL 100 times a second and reports how long it took. */
  readonly fetchUrl?: string;
  readonly server?: Partial<ServerOptions>;
}

export interface ChildReport {
  readonly nodes: number;
  readonly openHandles: number;
  readonly lookups: number;
  readonly cpuMs: number;
  readonly fetchMs: { readonly count: number; readonly p50: number; readonly p99: number };
  readonly timerMs: { readonly count: number; readonly p50: number; readonly p99: number };
}

if (import.meta.main) await main(JSON.parse(Deno.args[0] ?? "{}"));

async function main(options: ChildOptions): Promise<void> {
  const env = systemEnv("info");
  const tree = createTreeVfs(env, options);
  const { awaits = 0, slowReadMs = 0 } = options;
  const vfs = awaits === 0 && slowReadMs === 0 ? tree : slowed(tree, async (operation) => {
    for (let i = 0; i < awaits; i++) await null;
    if (slowReadMs > 0 && operation === "read") await env.sleep(slowReadMs);
  });
  const mount = await mountFuse(
    { ...options.server, mountPoint: options.mountPoint, fsName: "tree" },
    vfs,
    env,
  );
  Deno.addSignalListener("SIGTERM", () => void mount.unmount());
  const fetches: number[] = [];
  const lags: number[] = [];
  const pace = setInterval(async () => {
    if (options.fetchUrl === undefined) return;
    const start = performance.now();
    await (await fetch(options.fetchUrl)).arrayBuffer();
    fetches.push(performance.now() - start);
  }, 10);
  let expected = performance.now() + 10;
  const lag = setInterval(() => {
    lags.push(performance.now() - expected);
    expected = performance.now() + 10;
  }, 10);
  if (options.fetchUrl === undefined) {
    clearInterval(pace);
    clearInterval(lag);
  }
  const cpuStart = cpuMs();
  console.log("ready");
  await mount.done;
  clearInterval(pace);
  clearInterval(lag);
  const nodes = [...tree.nodes.values()];
  const report: ChildReport = {
    nodes: nodes.length,
    openHandles: tree.openHandles,
    lookups: nodes.reduce((sum, node) => sum + node.lookups, 0),
    cpuMs: cpuMs() - cpuStart,
    fetchMs: quantiles(fetches),
    timerMs: quantiles(lags),
  };
  console.log(JSON.stringify(report));
  Deno.exit(0);
}

function quantiles(values: number[]): { count: number; p50: number; p99: number } {
  values.sort((a, b) => a - b);
  const at = (q: number) => Math.round((values[Math.floor(values.length * q)] ?? 0) * 100) / 100;
  return { count: values.length, p50: at(0.5), p99: at(0.99) };
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return Math.round((user + system) / 1000);
}

/** Runs the command line as people do: as a program of its own. */
import { fileURLToPath } from "node:url";

const mainPath = fileURLToPath(new URL("../../main.ts", import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

function commandOf(args: readonly string[], options: CliOptions): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", mainPath, ...args],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs `slayerfs ARGS` to its end. */
export async function slayerfs(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const { code, stdout, stderr } = await commandOf(args, options).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** A mount in the foreground. */
export interface RunningCli {
  readonly pid: number;
  /** Resolves when `text` has come on stdout; rejects if the program ended without it. */
  untilSaid(text: string): Promise<void>;
  kill(signal: Deno.Signal): void;
  /** Its end. */
  readonly ended: Promise<CliResult>;
}

export function startSlayerfs(args: readonly string[], options: CliOptions = {}): RunningCli {
  const child = commandOf(args, options).spawn();
  let said = "";
  const waiters = new Set<() => void>();
  const stdout = (async () => {
    const decoder = new TextDecoder();
    for await (const piece of child.stdout) {
      said += decoder.decode(piece, { stream: true });
      for (const waiter of waiters) waiter();
    }
    return said;
  })();
  const stderr = new Response(child.stderr).text();
  const ended = Promise.all([child.status, stdout, stderr])
    .then(([status, out, err]) => ({ code: status.code, stdout: out, stderr: err }));
  return {
    pid: child.pid,
    ended,
    untilSaid(text) {
      const seen = new Promise<void>((resolve) => {
        const look = () => {
          if (!said.includes(text)) return;
          waiters.delete(look);
          resolve();
        };
        waiters.add(look);
        look();
      });
      const end = ended.then((result) => {
        if (!result.stdout.includes(text)) {
          throw new Error(
            `ended with ${result.code} and without "${text}": ${result.stdout}${result.stderr}`,
          );
        }
      });
      return Promise.race([seen, end]);
    },
    kill: (signal) => child.kill(signal),
  };
}

/** Why file systems cannot be mounted here; null if they can. */
export function whyNoMounts(): string | null {
  if (Deno.build.os !== "linux") return "not Linux";
  if (Deno.uid() !== 0) return "not root";
  try {
    Deno.openSync("/dev/fuse", { read: true, write: true }).close();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

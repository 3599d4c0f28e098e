/**
 * Running this program again in the background. The child is the leader of a session of its own (so closing the
 * terminal does not end it), its stderr goes to a log file, and its stdout is a pipe on which it says one JSON line:
 * that the mount is ready, or why not. The parent waits for that line or for the end of the pipe, whichever is first.
 */
import { UserError } from "../core/errors.ts";
import { ExitCode } from "./exit_code.ts";
import { dirname } from "./paths.ts";
import type { Failure } from "./report.ts";
import { selfInvocation } from "./self.ts";
import { takeStopSignals } from "./stop_signals.ts";

/** Set for the child only. */
const CHILD_VARIABLE = "SLAYERFS_BACKGROUND_CHILD";

type Report = { readonly ready: true } | { readonly ready: false; readonly failure: Failure };

/** The child's side of the handshake. */
export interface Handshake {
  ready(): void;
  failed(failure: Failure): void;
}

let ownHandshake: Handshake | null | undefined;

/** Not null in a process that {@link startInBackground} started. */
export function backgroundHandshake(): Handshake | null {
  if (ownHandshake !== undefined) return ownHandshake;
  const isChild = Deno.env.get(CHILD_VARIABLE) !== undefined;
  // Programs that this one starts are not it.
  if (isChild) Deno.env.delete(CHILD_VARIABLE);
  return ownHandshake = isChild ? makeHandshake() : null;
}

function makeHandshake(): Handshake {
  let said = false;
  const say = (report: Report) => {
    if (said) return;
    said = true;
    try {
      Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(report) + "\n"));
    } catch {
      // The parent has gone, for example by Ctrl-C: nobody waits for the answer.
    }
  };
  return {
    ready: () => say({ ready: true }),
    failed: (failure) => say({ ready: false, failure }),
  };
}

/** Starts this program with `args` in the background and returns its process id once it has said that it is ready. */
export async function startInBackground(args: readonly string[], logPath: string): Promise<number> {
  proveAppendable(logPath);
  // The shell opens the log as stderr of the program and becomes it; Deno.Command has no such redirection.
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'log=$1; shift; exec "$@" 2>>"$log"', "sh", logPath, ...selfInvocation(args)],
    env: { [CHILD_VARIABLE]: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
    detached: true,
  }).spawn();
  // Whoever stops waiting does not want the mount either. The child is in a session of its own and hears nothing of Ctrl-C.
  const signals = takeStopSignals();
  signals.next().then(() => child.kill("SIGTERM"));
  const report = await firstReport(child.stdout).finally(signals.release);
  if (report?.ready === true) {
    child.unref();
    return child.pid;
  }
  const { code } = await child.status;
  if (report !== null) throw new UserError(report.failure.line, report.failure.exitCode);
  throw new UserError(
    `the background process ended with code ${code} before the mount answered; its log: ${logPath}`,
    ExitCode.failure,
  );
}

async function firstReport(stdout: ReadableStream<Uint8Array>): Promise<Report | null> {
  let text = "";
  for await (
    const piece of stdout.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
  ) {
    text += piece;
    const end = text.indexOf("\n");
    if (end >= 0) return JSON.parse(text.slice(0, end)) as Report;
  }
  return null;
}

function proveAppendable(logPath: string): void {
  try {
    Deno.mkdirSync(dirname(logPath), { recursive: true });
    Deno.openSync(logPath, { append: true, create: true, mode: 0o640 }).close();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`cannot write the log ${logPath}: ${reason}; choose another with --log FILE`);
  }
}

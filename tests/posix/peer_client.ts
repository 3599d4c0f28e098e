/** Starts and talks to other processes (peer.ts) for cases about locks. */
import { fileURLToPath } from "node:url";
import type { Test } from "./harness.ts";
import type { PeerCall, PeerCalls, PeerReply, PeerRequest } from "./peer.ts";

const program = fileURLToPath(new URL("./peer.ts", import.meta.url));
const replyTimeoutMs = 20_000;

type Arguments<C extends PeerCall> = Parameters<PeerCalls[C]>;
type Result<C extends PeerCall> = ReturnType<PeerCalls[C]>;

export interface Peer {
  readonly pid: number;
  call<C extends PeerCall>(call: C, ...args: Arguments<C>): Promise<Result<C>>;
  /**
   * A call that has to wait: resolves once the peer sleeps in the kernel with it. `done` is its result; an answer that
   * came at once is a failure.
   */
  blocking<C extends PeerCall>(
    t: Pick<Test, "holds">,
    call: C,
    ...args: Arguments<C>
  ): Promise<{ done: Promise<Result<C>> }>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
}

/** Starts `count` peers, which are gone when the action ends. */
export async function withPeers(count: number, action: (...peers: Peer[]) => Promise<void>): Promise<void> {
  const peers = Array.from({ length: count }, startPeer);
  try {
    await action(...peers);
  } finally {
    await Promise.all(peers.map((peer) => peer.kill()));
  }
}

function startPeer(): Peer {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", program],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const waiting = new Map<number, (result: unknown) => void>();
  const reading = readReplies(child.stdout, ({ id, result }) => {
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  const writer = child.stdin.getWriter();
  const encoder = new TextEncoder();
  let last = 0;
  let dead = false;

  const send = async (call: PeerCall, args: readonly unknown[]): Promise<unknown> => {
    const request: PeerRequest = { id: ++last, call, args };
    const reply = Promise.withResolvers<unknown>();
    waiting.set(request.id, reply.resolve);
    await writer.write(encoder.encode(JSON.stringify(request) + "\n"));
    return await reply.promise;
  };
  return {
    pid: child.pid,
    call: <C extends PeerCall>(call: C, ...args: Arguments<C>) =>
      within(send(call, args), `${call} of a peer`) as Promise<Result<C>>,
    async blocking<C extends PeerCall>(t: Pick<Test, "holds">, call: C, ...args: Arguments<C>) {
      let answered = false;
      const done = send(call, args).then((result) => {
        answered = true;
        return result as Result<C>;
      });
      // The peer may never answer: it is killed.
      done.catch(() => {});
      const deadline = performance.now() + replyTimeoutMs;
      while (!answered && !sleepsInLock(child.pid)) {
        if (performance.now() > deadline) throw new Error(`${call} neither waits nor answers`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      t.holds(!answered, `${call} to wait, and it answered`);
      return { done };
    },
    async kill() {
      if (dead) return;
      dead = true;
      child.kill("SIGKILL");
      await child.status;
      await reading;
      await writer.abort().catch(() => {});
    },
  };
}

/** A result that must come: a case about locks fails rather than hangs. */
export async function within<R>(result: Promise<R>, what: string): Promise<R> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer`)), replyTimeoutMs);
  });
  try {
    return await Promise.race([result, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

/** The process's main thread is inside fcntl(2) or flock(2), asleep. */
function sleepsInLock(pid: number): boolean {
  try {
    const number = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/syscall`).split(" ")[0];
    return number === (Deno.build.arch === "aarch64" ? "25" : "72") ||
      number === (Deno.build.arch === "aarch64" ? "32" : "73");
  } catch {
    return false;
  }
}

async function readReplies(
  stream: ReadableStream<Uint8Array>,
  onReply: (reply: PeerReply) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onReply(JSON.parse(line));
  }
}

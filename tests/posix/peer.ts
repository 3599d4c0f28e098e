/**
 * Another process that does system calls as told: a line of JSON in, a line out. Started by peer_client.ts; record locks
 * belong to a process, so their cases need two.
 */
import { lockFound, recordLock } from "./sys_file.ts";
import * as file from "./sys_file.ts";
import { open } from "./sys.ts";

export interface PeerRequest {
  readonly id: number;
  readonly call: PeerCall;
  readonly args: readonly unknown[];
}
export interface PeerReply {
  readonly id: number;
  readonly result: unknown;
}

const calls = {
  open: (path: string, flags: number) => open(path, flags),
  close: (fd: number) => file.close(fd),
  lock: (fd: number, command: number, type: number, start: number, length: number) =>
    recordLock(fd, command, { type, start, length }),
  getlk: (fd: number, type: number, start: number, length: number) => lockFound(fd, { type, start, length }),
  flock: (fd: number, operation: number) => file.flock(fd, operation),
  append: (fd: number, text: string) => file.write(fd, text),
} as const;
export type PeerCall = keyof typeof calls;
export type PeerCalls = typeof calls;

if (import.meta.main) {
  const encoder = new TextEncoder();
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const { id, call, args }: PeerRequest = JSON.parse(line);
      const action = calls[call] as (...args: unknown[]) => unknown;
      const reply: PeerReply = { id, result: action(...args) };
      Deno.stdout.writeSync(encoder.encode(JSON.stringify(reply) + "\n"));
    }
  }
}

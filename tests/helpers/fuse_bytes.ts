/** Requests as the kernel writes them, and its view of the answers, for tests of the server without a device. */
import { type Env, type LogLevel, systemEnv } from "../../core/env.ts";
import type { Vfs } from "../../core/vfs/types.ts";
import { IN_HEADER_BYTES, InHeader, OUT_HEADER_BYTES, OutHeader } from "../../fuse/abi.ts";
import { getU64, type IoBuffer, ioBuffer, set64 } from "../../fuse/codec.ts";
import type { FuseServerOptions } from "../../fuse/server.ts";
import { createFuseServer, type FuseServer } from "../../fuse/server.ts";
import { createTreeVfs } from "./tree_vfs.ts";

export interface Answer {
  readonly unique: number;
  /** 0 or a positive errno number. */
  readonly errno: number;
  readonly body: DataView;
  readonly bytes: Uint8Array;
}

/** One field of a body: a number of 4 or 8 bytes, a NUL-terminated string, or raw bytes. */
export type Field = { u32: number } | { u64: number } | { name: string | Uint8Array } | { raw: Uint8Array };

export const u32 = (value: number): Field => ({ u32: value });
export const u64 = (value: number): Field => ({ u64: value });
export const name = (value: string | Uint8Array): Field => ({ name: value });
export const raw = (value: Uint8Array): Field => ({ raw: value });
export const zeros = (bytes: number): Field => ({ raw: new Uint8Array(bytes) });

export function body(...fields: Field[]): Uint8Array {
  const parts = fields.map((field) => {
    if ("raw" in field) return field.raw;
    if ("name" in field) {
      const bytes = typeof field.name === "string" ? new TextEncoder().encode(field.name) : field.name;
      return Uint8Array.of(...bytes, 0);
    }
    const view = new DataView(new ArrayBuffer("u32" in field ? 4 : 8));
    if ("u32" in field) view.setUint32(0, field.u32, true);
    else set64(view, 0, field.u64);
    return new Uint8Array(view.buffer);
  });
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export interface Header {
  readonly unique?: number;
  readonly ino?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** What the header says instead of the true length. */
  readonly declaredLength?: number;
}

/** In a larger buffer full of other bytes, as a used request buffer is. */
export function request(
  opcode: number,
  header: Header,
  ...fields: Field[]
): { buffer: IoBuffer; length: number } {
  const payload = body(...fields);
  const length = IN_HEADER_BYTES + payload.length;
  const buffer = ioBuffer(new Uint8Array(length + 256).fill(0x41));
  buffer.bytes.fill(0, 0, IN_HEADER_BYTES);
  const { view } = buffer;
  view.setUint32(InHeader.len, header.declaredLength ?? length, true);
  view.setUint32(InHeader.opcode, opcode, true);
  set64(view, InHeader.unique, header.unique ?? 2);
  set64(view, InHeader.nodeid, header.ino ?? 1);
  view.setUint32(InHeader.uid, header.uid ?? 0, true);
  view.setUint32(InHeader.gid, header.gid ?? 0, true);
  view.setUint32(InHeader.pid, header.pid ?? 1, true);
  buffer.bytes.set(payload, IN_HEADER_BYTES);
  return { buffer, length };
}

export interface Harness {
  readonly server: FuseServer;
  readonly answers: Answer[];
  /** From now on the kernel takes no answers, or takes them again. */
  refuse(refused: boolean): void;
  /** Sends a request; its answer if it came at once. */
  send(opcode: number, header: Header, ...fields: Field[]): Answer | undefined;
  /** The answer, when it comes. */
  ask(opcode: number, header: Header, ...fields: Field[]): Promise<Answer>;
}

export function harness(options: Omit<FuseServerOptions, "reply">): Harness {
  const answers: Answer[] = [];
  let refused = false;
  const server = createFuseServer({
    ...options,
    reply(bytes, length) {
      if (refused) return false;
      const copy = bytes.slice(0, length);
      const view = new DataView(copy.buffer);
      if (view.getUint32(OutHeader.len, true) !== length) throw new Error("the answer's length is wrong");
      answers.push({
        unique: getU64(view, OutHeader.unique),
        errno: -view.getInt32(OutHeader.error, true),
        body: new DataView(copy.buffer, OUT_HEADER_BYTES),
        bytes: copy.subarray(OUT_HEADER_BYTES),
      });
      return true;
    },
  });
  let unique = 1000;
  const self: Harness = {
    server,
    answers,
    refuse: (value) => void (refused = value),
    send(opcode, header, ...fields) {
      const before = answers.length;
      const { buffer, length } = request(opcode, header, ...fields);
      server.handle(buffer, length);
      return answers[before];
    },
    async ask(opcode, header, ...fields) {
      const mine = header.unique ?? (unique += 2);
      self.send(opcode, { ...header, unique: mine }, ...fields);
      await server.idle();
      const answer = answers.find((each) => each.unique === mine);
      if (answer === undefined) throw new Error(`no answer to opcode ${opcode}`);
      return answer;
    },
  };
  return self;
}

/** An Env whose log lines are kept. */
export function testEnv(): { env: Env; lines: [LogLevel, string][] } {
  const lines: [LogLevel, string][] = [];
  return { env: { ...systemEnv(), log: (level, message) => void lines.push([level, message]) }, lines };
}

/** A server over a Vfs that has only these calls: any other is a failure of the test. */
export function over(calls: Partial<Vfs>, options = {}) {
  const { env, lines } = testEnv();
  return { ...harness({ vfs: calls as Vfs, env, options }), lines };
}

/** A server over a tree of maps. */
export function overTree(options = {}) {
  const { env, lines } = testEnv();
  const tree = createTreeVfs(env, { ttlMs: 1500 });
  return { ...harness({ vfs: tree, env, options }), lines, tree };
}

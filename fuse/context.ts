/** What the operations of one mount share. */
import type { Env } from "../core/env.ts";
import type { Vfs } from "../core/vfs/types.ts";
import type { BufferPool } from "./buffer_pool.ts";
import type { InitOptions, Negotiated } from "./init.ts";
import type { FuseRequest } from "./request.ts";

export interface ServerOptions extends InitOptions {
  /** How long the kernel may believe that a name does not exist. */
  readonly negativeTtlMs: number;
  /** st_blksize: what cp and stdio take as a good size for one read or write. */
  readonly blksizeBytes: number;
}

export const serverDefaults: ServerOptions = {
  maxWriteBytes: 1 << 20,
  maxReadAheadBytes: 1 << 20,
  readdirplus: "always",
  maxBackground: 32,
  posixAcl: true,
  negativeTtlMs: 0,
  blksizeBytes: 64 << 10,
};

export interface ServerContext {
  readonly vfs: Vfs;
  readonly env: Env;
  readonly options: ServerOptions;
  readonly buffers: BufferPool;
  /** The kernel must ask again for attributes of a file, or for its contents too (then later, and it has dropped its pages
   *  when the promise resolves). */
  outdate(ino: number, what: "attributes" | "contents"): Promise<void> | void;
  /** Requests whose operation has not settled yet, by unique. */
  readonly inFlight: Map<number, FuseRequest>;
  /** What the INIT handshake agreed on; null before it. */
  agreed: Negotiated | null;
  /** The INIT handshake came to this; null: the kernel will send INIT once more. */
  onInit(agreed: Negotiated | null): void;
}

/**
 * MetaStore in a local libSQL (SQLite) file: `libsql:PATH` or `sqlite:PATH`. Several processes of one machine can have it open.
 *
 * The driver is synchronous: each call below runs to its end in one turn, so that calls of one process never
 * interleave. The one await is the wait for another process' lock: then nothing of the call has been applied, it starts
 * anew after the wait, and other calls may have run in between.
 */
import type { Env } from "../../core/env.ts";
import { StoreError } from "../../core/errors.ts";
import type { MetaPlugin } from "../../core/meta/plugin.ts";
import type {
  Batch,
  CommitResult,
  Durability,
  MetaCapabilities,
  MetaStore,
  Read,
  Scan,
} from "../../core/meta/store.ts";
import { Committer } from "./libsql_commit.ts";
import { Connection } from "./libsql_connection.ts";
import { isBusy, storeErrorOf } from "./libsql_errors.ts";
import { currentSchema, type FileSchema, openDatabaseFile } from "./libsql_file.ts";
import type { PlainFound } from "./table_shape.ts";

const CAPABILITIES: MetaCapabilities = { shared: true, watch: false, persistent: true };

/** How long a call waits in all for other processes' locks before it fails with kind `retry`. */
const BUSY_WAIT_MS_MAX = 3000;
const BUSY_PAUSE_MS_MAX = 20;

export interface LibsqlOptions {
  readonly mode: "create" | "open";
  readonly env: Env;
  /** For tests of migrations. */
  readonly schema?: FileSchema;
}

/** Opens a store on a file. StoreError names the file and what to do. */
export function openLibsqlMetaStore(path: string, options: LibsqlOptions): MetaStore {
  const opened = openDatabaseFile(path, options.mode, options.schema ?? currentSchema);
  return new LibsqlMetaStore(new Connection(opened.db, opened.path), options.env) as unknown as MetaStore;
}

class LibsqlMetaStore {
  readonly capabilities = CAPABILITIES;
  readonly #connection: Connection;
  readonly #committer: Committer;
  readonly #env: Env;
  #closed = false;
  /** Calls that wait for a lock. */
  #waiting = 0;
  #onIdle: (() => void) | undefined;

  constructor(connection: Connection, env: Env) {
    this.#connection = connection;
    this.#committer = new Committer(connection);
    this.#env = env;
  }

  async get(reads: readonly Read[]): Promise<(PlainFound | null)[]> {
    this.#checkOpen();
    try {
      this.#renewIfStuck();
      return this.#connection.get(reads);
    } catch (error) {
      return await this.#again(error, () => this.#connection.get(reads));
    }
  }

  async scan(scan: Scan): Promise<PlainFound[]> {
    this.#checkOpen();
    try {
      this.#renewIfStuck();
      return this.#connection.scan(scan);
    } catch (error) {
      return await this.#again(error, () => this.#connection.scan(scan));
    }
  }

  async commit(batch: Batch, options: { readonly durability: Durability }): Promise<CommitResult> {
    this.#checkOpen();
    const synced = options.durability === "synced";
    try {
      this.#renewIfStuck();
      return this.#committer.commit(batch, synced);
    } catch (error) {
      return await this.#again(error, () => this.#committer.commit(batch, synced));
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#waiting > 0) await new Promise<void>((resolve) => this.#onIdle = resolve);
    if (this.#committer.hasWritten) {
      try {
        // One file without a log is easier to copy and quicker to open. Busy or not, nothing depends on it.
        this.#connection.db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      } catch { /* the next one to open the file does it */ }
    }
    this.#connection.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreError("caller", "the metadata store is closed");
  }

  /** A call failed: repeats it as long as locks of other processes are the reason, up to a limit. */
  async #again<R>(error: unknown, call: () => R): Promise<R> {
    this.#noteFailure(error);
    const deadlineMs = this.#env.monotonicMs() + BUSY_WAIT_MS_MAX;
    this.#waiting++;
    try {
      for (;;) {
        await this.#env.sleep(1 + this.#env.random() * BUSY_PAUSE_MS_MAX);
        try {
          this.#renewIfStuck();
          return call();
        } catch (again) {
          this.#noteFailure(again);
          if (this.#env.monotonicMs() > deadlineMs) throw storeErrorOf(again, this.#connection.path);
        }
      }
    } finally {
      if (--this.#waiting === 0) this.#onIdle?.();
    }
  }

  /** Throws the failure unless it is another process' lock; notes whether the lock may have caught a statement half-way. */
  #noteFailure(error: unknown): void {
    if (!isBusy(error)) throw storeErrorOf(error, this.#connection.path);
    if (error !== this.#connection.cleanFailure) this.#connection.stuck = true;
  }

  #renewIfStuck(): void {
    if (!this.#connection.stuck) return;
    this.#connection.renew();
    this.#committer.forget();
  }
}

/** The path of `libsql:PATH`, `libsql:///PATH` or the same with `sqlite:`. */
function pathOf(url: string): string {
  const rest = url.slice(url.indexOf(":") + 1);
  if (rest.startsWith("//") && !rest.startsWith("///")) {
    throw new StoreError(
      "caller",
      "remote libSQL servers are not supported yet: use libsql:PATH for a local file",
      {
        errno: "ENOTSUP",
      },
    );
  }
  const path = rest.startsWith("///") ? rest.slice(2) : rest;
  if (path === "" || path.includes("\0")) {
    throw new StoreError("caller", "the URL names no file: write libsql:PATH", { errno: "EINVAL" });
  }
  return path;
}

export const plugin: MetaPlugin = {
  apiVersion: 1,
  kind: "meta",
  schemes: ["libsql", "sqlite"],
  open: async (url, options) => openLibsqlMetaStore(pathOf(url), options),
  redact(url) {
    // Only a server's URL can hold a secret: in its user part or its query.
    const scheme = /^[^:]*:\/\/(?!\/)/.exec(url)?.[0];
    if (scheme === undefined) return url;
    return scheme + url.slice(scheme.length).replace(/^[^/?#]*@/, "").replace(/[?#].*$/s, "");
  },
};

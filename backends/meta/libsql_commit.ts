/**
 * Commits on one connection. Everything here is synchronous: nothing of this process interleaves. Other processes do not
 * either between BEGIN IMMEDIATE, which takes the database's one write lock, and COMMIT.
 *
 * A batch is tried the fast way first: a check on a record that is also written becomes a condition of that write's
 * statement, and one look at the count of changed rows tells whether all took effect. If not, it is rolled back and
 * tried again the careful way, check by check and write by write, which finds out what is wrong, and is what counts.
 *
 * Versions: a record never has the same version twice, also if it is deleted and created again, whichever process wrote it.
 * So versions do not count writes of a record; they are `epoch * 2^20 + n`. An epoch is a number that one connection
 * has to itself: it adds 1 to a row of the database inside its own transaction; so two connections never have the same,
 * and if power fails and that row falls back, every commit that used the epoch came later and is gone with it. `n` counts this
 * connection's commits, a failed one included; after 2^20 the next epoch is taken. So versions cost one more row write in a
 * million commits, are exact numbers for 2^33 epochs, and rise within a connection, though not between them.
 *
 * Durability: `synchronous = FULL` makes a COMMIT flush the log, which holds what other processes wrote to it as well; what is
 * no longer in the log was flushed to the database before the log was reused. A commit that changes no page would not flush,
 * so it changes a row kept for that. Where nothing was committed by anyone since the last flush there is nothing to do.
 */
import { StoreError } from "../../core/errors.ts";
import type { Batch, Check, CommitResult, Key, Write } from "../../core/meta/store.ts";
import type { Connection } from "./libsql_connection.ts";
import { isSyncFailure } from "./libsql_errors.ts";
import { type RecordCheck, RecordStatements } from "./libsql_records.ts";
import { overflowError, sameValue, shapeOf, type TableShape } from "./table_shape.ts";

const EPOCH_VERSIONS = 2 ** 20;
/** Looking for the write that belongs to a check compares each with each: not for long batches. */
const PAIRS_MAX = 256;

export class Committer {
  readonly #connection: Connection;
  readonly #records: RecordStatements;
  #versionNext = 0;
  #versionEnd = 0;
  /** The epoch in use was taken by the transaction under way. */
  #epochIsNew = false;
  /** total_changes() of the connection; -1: not known. */
  #totalChanges = -1;
  /** Rows that the transaction under way has changed. */
  #changed = 0;
  /** This connection has committed since its last flush. */
  #unsynced = true;
  /** data_version at the last flush; another one says that somebody else has committed. */
  #syncedDataVersion = -1;
  #broken: StoreError | undefined;
  #hasWritten = false;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#records = new RecordStatements(connection);
  }

  /** Something was committed through this connection. */
  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /** The connection was renewed: what was known about it is void. Its epoch is still ours. */
  forget(): void {
    this.#totalChanges = -1;
    this.#unsynced = true;
    this.#syncedDataVersion = -1;
  }

  commit(batch: Batch, synced: boolean): CommitResult {
    if (this.#broken !== undefined) throw this.#broken;
    const { checks, writes } = batch;
    if (writes.length === 0 && checks.length === 0) {
      if (!synced || this.#isSynced()) return { ok: true, assigned: [] };
    }
    const fast = writes.length > 0;
    const result = this.#attempt(batch, synced, fast) ?? this.#attempt(batch, synced, false);
    if (result === null) throw new Error("a careful commit always has a result");
    return result;
  }

  /** Null: the fast way did not work out, nothing was applied. */
  #attempt(batch: Batch, synced: boolean, fast: boolean): CommitResult | null {
    const connection = this.#connection;
    // Not allowed inside a transaction.
    if (synced) connection.exec("PRAGMA synchronous = FULL");
    try {
      // exec, not a prepared statement: one that fails because of a lock would stay half-run (libsql_connection.ts).
      connection.exec("BEGIN IMMEDIATE");
      this.#changed = 0;
      const result = fast ? this.#fast(batch, synced) : this.#careful(batch, synced);
      if (result === null || !result.ok) {
        this.#rollback();
        return result;
      }
      const dataVersion = synced ? this.#dataVersion() : 0;
      connection.exec("COMMIT");
      this.#epochIsNew = false;
      if (this.#changed > 0) this.#hasWritten = this.#unsynced = true;
      if (synced) {
        this.#unsynced = false;
        this.#syncedDataVersion = dataVersion;
      }
      return result;
    } catch (error) {
      if (isSyncFailure(error)) {
        // The kernel drops dirty pages whose write-back failed, so a later fsync would succeed without them.
        this.#broken = new StoreError(
          "fatal",
          `${this.#connection.path}: the disk failed to store the database: nothing more is committed until it is opened again`,
          { cause: error },
        );
      }
      this.#rollback();
      throw this.#broken ?? error;
    } finally {
      if (synced) connection.exec("PRAGMA synchronous = NORMAL");
    }
  }

  #rollback(): void {
    this.#connection.rollback();
    this.#totalChanges = -1;
    if (this.#epochIsNew) {
      this.#epochIsNew = false;
      this.#versionNext = this.#versionEnd = 0;
    }
  }

  #isSynced(): boolean {
    return !this.#unsynced && this.#dataVersion() === this.#syncedDataVersion;
  }

  #dataVersion(): number {
    return this.#connection.one("data version", [], () => "PRAGMA data_version")?.[0] as number;
  }

  #bumpStoreRow(name: string): number {
    const row = this.#connection.one(
      "store row",
      [name],
      () => `UPDATE "slayerfs_store" SET "value" = "value" + 1 WHERE "name" = ?1 RETURNING "value"`,
    );
    this.#changed++;
    return row?.[0] as number;
  }

  /** A commit that changes no page flushes nothing. */
  #touchIfUnchanged(synced: boolean): void {
    if (synced && this.#changed === 0) this.#bumpStoreRow("syncs");
  }

  #takeVersion(): number {
    if (this.#versionNext === this.#versionEnd) {
      const base = this.#bumpStoreRow("version_epoch") * EPOCH_VERSIONS;
      if (!Number.isSafeInteger(base + EPOCH_VERSIONS) || base <= 0) {
        throw new StoreError("fatal", `${this.#connection.path}: the database has no more record versions`);
      }
      this.#epochIsNew = true;
      this.#versionNext = base;
      this.#versionEnd = base + EPOCH_VERSIONS;
    }
    return this.#versionNext++;
  }

  // The fast way.

  #fast({ checks, writes }: Batch, synced: boolean): CommitResult | null {
    if (this.#totalChanges < 0) this.#totalChanges = this.#countChanges();
    const guards: (RecordCheck | undefined)[] = [];
    const search = checks.length * writes.length <= PAIRS_MAX;
    for (let i = 0; i < checks.length; i++) {
      const check = checks[i] as Check;
      if (check.check !== "empty") {
        const w = search ? guardedWrite(check, writes) : -1;
        if (w >= 0 && guards[w] === undefined) {
          guards[w] = check;
          continue;
        }
      }
      if (!this.#records.holds(check)) return { ok: false, failed: [i], missing: [] };
    }
    const version = this.#takeVersion();
    const assigned: number[] = [];
    for (let i = 0; i < writes.length; i++) {
      const write = writes[i] as Write;
      if (write.write === "append") {
        const value = this.#records.append(write, version);
        if (value === undefined) return null;
        this.#changed += 2;
        assigned.push(value);
      } else if (write.write === "delete" && guards[i] === undefined) {
        this.#changed += this.#records.remove(write);
      } else {
        this.#records.write(write, guards[i], version);
        this.#changed++;
      }
    }
    // Before the count: a changed row that is not counted would make up for a failed guard of the next commit.
    this.#touchIfUnchanged(synced);
    const total = this.#countChanges();
    if (total - this.#totalChanges !== this.#changed) return null;
    this.#totalChanges = total;
    return { ok: true, assigned };
  }

  #countChanges(): number {
    return this.#connection.one("total changes", [], () => "SELECT total_changes()")?.[0] as number;
  }

  // The careful way.

  #careful({ checks, writes }: Batch, synced: boolean): CommitResult {
    this.#totalChanges = -1;
    const failed: number[] = [];
    for (let i = 0; i < checks.length; i++) if (!this.#records.holds(checks[i] as Check)) failed.push(i);
    if (failed.length > 0) return { ok: false, failed, missing: [] };
    const assigned: number[] = [];
    const version = writes.length === 0 ? 0 : this.#takeVersion();
    for (let i = 0; i < writes.length; i++) {
      const write = writes[i] as Write;
      if (write.write === "append") {
        const value = this.#records.append(write, version);
        if (value === undefined) {
          this.#checkMissing(shapeOf(write.counter.table), write.counter.key);
          return { ok: false, failed: [], missing: [i] };
        }
        this.#changed += 2;
        assigned.push(value);
      } else if (write.write === "delete") {
        this.#changed += this.#records.remove(write);
      } else {
        this.#records.write(write, undefined, version);
        if (write.write === "update" && this.#connection.lastChanges() === 0) {
          this.#checkMissing(shapeOf(write.table), write.key);
          return { ok: false, failed: [], missing: [i] };
        }
        this.#changed++;
      }
    }
    this.#touchIfUnchanged(synced);
    return { ok: true, assigned };
  }

  /** An update changed nothing: the record is missing, or else an addition was refused. */
  #checkMissing(shape: TableShape, key: Key): void {
    if (this.#records.exists(shape, key)) throw overflowError(shape);
  }
}

/** The write whose statement can make sure of the check: the first that touches the record. -1: there is none. */
function guardedWrite(check: RecordCheck, writes: readonly Write[]): number {
  const absent = check.check === "version" && check.version === 0;
  for (let i = 0; i < writes.length; i++) {
    const write = writes[i] as Write;
    if (write.write === "append") {
      // The key that it will write is not known yet.
      if (write.table === check.table) return -1;
      if (write.counter.table === check.table && sameKey(write.counter.key, check.key)) return -1;
    } else if (write.table === check.table && sameKey(write.key, check.key)) {
      // An update or delete has no form for a record that must not be there.
      return absent && write.write !== "put" ? -1 : i;
    }
  }
  return -1;
}

function sameKey(a: Key, b: Key): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!sameValue(a[i], b[i])) return false;
  return true;
}

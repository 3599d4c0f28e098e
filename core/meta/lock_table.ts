/**
 * Advisory locks that hold on all clients of a volume: POSIX record locks (table `plocks`) and flock(2) (`flocks`). Each
 * file that has locks has one record with all of them; a client changes it by a commit that checks that it is still what the
 * client saw, so two clients can never both think that they hold what excludes each other.
 *
 * Invariants:
 * - One pass over a file's requests at a time. A pass decides on all requests that are there when it starts, commits what
 *   changed, and only then answers. What arrives meanwhile gets a pass of its own.
 * - `known` is the record as of our last read or commit. Nobody else changes this session's locks while the session lives, so
 *   `known` is always right about them; about other sessions' it may be old: a grant is checked by its commit, and a refusal
 *   that relies on others is decided on a read that began after the request came.
 * - A commit that locks checks that the session has not been ended by another client (its usage row, stale.ts).
 * - An unlock is never given up: if the store fails, its caller is told and the unlock is tried again until it is done.
 * - A file is kept here while this session holds a lock on it or a request is there, and no longer.
 * - Every read of the record reads the inode too: who gets a lock sees the file as the last holder left it.
 *
 * Waiting: an unlock on this client is a pass, which hands the lock on in the same commit. Other clients' unlocks are seen by
 * looking again, first often and then less so, or at once where the store reports changes. Turns between clients:
 * lock_state.ts. Deadlocks are found among this client's waiting owners of record locks (fcntl_locking(2), EDEADLK); like
 * in the kernel, an owner with several threads may be suspected wrongly.
 */
import { type Errno, FsError } from "../errors.ts";
import type { Timer } from "../env.ts";
import type { MetaContext } from "./context.ts";
import { commitLocks, dropLocks, type LockCommit, type LockTableName, readLocks } from "./lock_record.ts";
import {
  type Asked,
  decide,
  type Decision,
  differs,
  isEmpty,
  isSameWrite,
  type LockRequest,
  type LockState,
} from "./lock_state.ts";
import {
  conflictingHolders,
  firstConflict,
  isHolder,
  type LockedRange,
  type LockType,
  RANGE_END_MAX,
} from "./record_locks.ts";
import { WaitGraph } from "./wait_graph.ts";

/** How often a waiting client looks whether others have unlocked. */
const POLL_MS_MIN = 10;
const POLL_MS_MAX = 500;
/** How long a free lock is left to another client that came first: longer than any pause between two of its looks. */
const PATIENCE_MS = 1000;
/** Pause before an unlock that failed is tried again. */
const RETRY_MS = 1000;
const CONFLICTS_MAX = 100;

/** Who waits; the kernel says here that it no longer does (core/vfs/types.ts, Caller). */
export interface Interruptible {
  interrupted?: boolean;
  onInterrupt?: () => void;
}

/** A lock that is in the way. `pid` is 0 for a process of another client: it means nothing here. */
export interface FoundLock extends LockedRange {
  readonly pid: number;
}

interface Pending extends Asked {
  readonly file: LockedFile;
  readonly settle: PromiseWithResolvers<boolean>;
  isDone: boolean;
  /** A commit that grants it is under way: it can no longer be interrupted. */
  isGranting: boolean;
  isInterrupted: boolean;
}

interface LockedFile {
  readonly ino: number;
  /** Undefined: unknown. */
  known: LockState | undefined;
  pending: Pending[];
  running: Promise<void> | undefined;
  /** What the next pass has to do; undefined if there is none. */
  next: "decide" | "read" | undefined;
  waitsForOthers: boolean;
  /** The record was read since this session got a lock last: others may have had locks meanwhile. */
  hasNews: boolean;
  timer: Timer | undefined;
  pollMs: number;
}

/** The locks of one table: record locks or flocks. */
export class LockTable {
  private files = new Map<number, LockedFile>();
  /** Null for flocks, which the kernel does not look at for deadlocks either. */
  private readonly waits: WaitGraph<Pending> | null;
  private stamp = 0;
  private isClosed = false;
  private stopWatching: (() => void) | undefined;

  constructor(private readonly ctx: MetaContext, private readonly table: LockTableName) {
    this.waits = table === "plocks" ? new WaitGraph((pending: Pending) => this.blockers(pending)) : null;
  }

  /**
   * Locks or unlocks a range. EAGAIN (in the way, not to wait), EINTR, EDEADLK, ENOLCK (too many ranges), EIO (the store, or
   * the session was ended). One owner's locks never exclude each other; for flocks a range is the whole file.
   * True if the file may have been changed by other clients since this one got a lock on it last.
   */
  set(ino: number, request: LockRequest, caller: Interruptible = {}): Promise<boolean> {
    if (request.type === "unlock" && !this.mayHold(ino, request.owner)) return Promise.resolve(false);
    if (this.isClosed) return Promise.reject(new FsError("EIO", "the volume is being closed"));
    const file = this.obtain(ino);
    const pending: Pending = {
      ...request,
      file,
      settle: Promise.withResolvers<boolean>(),
      isWaiting: false,
      yieldsSinceMs: undefined,
      isDone: false,
      isGranting: false,
      isInterrupted: false,
    };
    file.pending.push(pending);
    if (request.type !== "unlock") file.pollMs = POLL_MS_MIN;
    if (request.wait) {
      caller.onInterrupt = () => this.interrupt(pending);
      pending.isInterrupted = caller.interrupted === true;
    }
    this.start(file, "decide");
    return pending.settle.promise;
  }

  /** The first lock of another owner that is in the way, or null (F_GETLK). */
  async test(
    ino: number,
    wanted: { readonly owner: string; readonly start: number; readonly end: number; readonly type: LockType },
  ): Promise<FoundLock | null> {
    const { session } = this.ctx;
    const state = await readLocks(this.ctx, this.table, ino);
    const conflict = firstConflict(state.holders, { session, ...wanted });
    if (conflict === undefined) return null;
    const { holder, range } = conflict;
    return { ...range, pid: holder.session === session ? holder.pid : 0 };
  }

  /** False if an owner of this client certainly holds no lock on the file, and no request of it is under way. */
  mayHold(ino: number, owner: string): boolean {
    return this.holds(ino, owner, () => true);
  }

  /** The same for a lock to write. */
  mayWrite(ino: number, owner: string): boolean {
    return this.holds(ino, owner, ({ type }) => type === "write");
  }

  /** Gives back all locks of an owner. Rejects if the store fails; they are given back all the same when it is there again. */
  async endOwner(ino: number, owner: string): Promise<void> {
    await this.set(ino, { owner, pid: 0, start: 0, end: RANGE_END_MAX, type: "unlock", wait: false });
  }

  /** Gives back all locks of this session and refuses what waits. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.watch(false);
    for (const file of this.files.values()) {
      file.timer?.cancel();
      const error = new FsError("EIO", "the volume is being closed");
      for (const pending of file.pending.slice()) if (!pending.isGranting) this.finish(pending, error);
    }
    for (const file of [...this.files.values()]) {
      while (file.running !== undefined) await file.running;
      file.timer?.cancel();
      await dropLocks(this.ctx, this.table, file.ino, this.ctx.session);
    }
    this.files.clear();
  }

  private holds(ino: number, owner: string, which: (range: LockedRange) => boolean): boolean {
    const file = this.files.get(ino);
    if (file === undefined) return false;
    if (file.known === undefined || file.pending.some((pending) => pending.owner === owner)) return true;
    const { session } = this.ctx;
    return file.known.holders.some((holder) =>
      isHolder(holder, { session, owner }) && holder.ranges.some(which)
    );
  }

  private obtain(ino: number): LockedFile {
    let file = this.files.get(ino);
    if (file === undefined) {
      file = {
        ino,
        known: undefined,
        pending: [],
        running: undefined,
        next: undefined,
        waitsForOthers: false,
        hasNews: false,
        timer: undefined,
        pollMs: POLL_MS_MIN,
      };
      this.files.set(ino, file);
    }
    return file;
  }

  /** Runs a pass now, or after the one that is under way. */
  private start(file: LockedFile, what: "decide" | "read"): void {
    if (file.next !== "read") file.next = what;
    file.running ??= this.run(file);
  }

  private async run(file: LockedFile): Promise<void> {
    file.timer?.cancel();
    file.timer = undefined;
    let hasFailed = false;
    while (file.next !== undefined) {
      const what = file.next;
      file.next = undefined;
      try {
        await this.pass(file, what === "read");
      } catch (error) {
        hasFailed = true;
        file.known = undefined;
        this.fail(file, error);
      }
    }
    file.running = undefined;
    this.rest(file, hasFailed);
  }

  /** After the last pass: looks again later if there is a reason to, or forgets the file. */
  private rest(file: LockedFile, hasFailed: boolean): void {
    if (this.isClosed) return;
    if (hasFailed && file.pending.length > 0) {
      file.timer = this.ctx.env.timer(RETRY_MS, () => this.start(file, "read"));
    } else if (file.waitsForOthers) {
      const pauseMs = file.pollMs * (0.75 + this.ctx.env.random() / 2);
      file.pollMs = Math.min(file.pollMs * 2, POLL_MS_MAX);
      file.timer = this.ctx.env.timer(pauseMs, () => this.start(file, "read"));
      this.watch(true);
    } else if (file.pending.length === 0) {
      const { session } = this.ctx;
      if (file.known?.holders.some((holder) => holder.session === session)) return;
      this.files.delete(file.ino);
      if (this.files.size === 0) this.watch(false);
    }
  }

  /** Decides on the requests of a file and answers those that have an answer. Throws if the store fails. */
  private async pass(file: LockedFile, mustRead: boolean): Promise<void> {
    let requests = file.pending.slice();
    let isFresh = false;
    for (let conflicts = 0; conflicts < CONFLICTS_MAX;) {
      let state = file.known;
      if (state === undefined || mustRead) {
        mustRead = false;
        requests = file.pending.slice();
        const previous = state;
        state = await readLocks(this.ctx, this.table, file.ino);
        file.known = state;
        file.hasNews = true;
        isFresh = true;
        if (previous !== undefined && !isSameWrite(previous, state)) file.pollMs = POLL_MS_MIN;
      }
      const decision = decide(state, requests.filter(({ isDone }) => !isDone), {
        session: this.ctx.session,
        isFlock: this.table === "flocks",
        nowMs: this.ctx.env.monotonicMs(),
        patienceMs: PATIENCE_MS,
      });
      if (decision.reliesOnOthers && !isFresh) {
        mustRead = true;
        continue; // once: what is read from now on is fresh
      }
      const outcome = await this.commit(file, state, decision);
      if (outcome === "done") return this.answer(file, decision);
      if (outcome === "ended") return this.refuseAll(file);
      file.known = undefined;
      if (++conflicts > 3) await this.ctx.env.sleep(this.ctx.env.random() * Math.min(conflicts, 20));
    }
    throw new FsError("EBUSY", "too many conflicting changes of the locks of one file");
  }

  /** Writes what was decided, if anything has to be written or checked. */
  private async commit(
    file: LockedFile,
    before: LockState,
    decision: Decision<Pending>,
  ): Promise<LockCommit> {
    const { ctx, table } = this;
    const isLocking = decision.granted.some(({ type }) => type !== "unlock") ||
      decision.state.waiting.length > before.waiting.length;
    const isChanged = differs(before, decision.state);
    if (!isChanged && !isLocking) return "done";
    const after: LockState = isChanged
      ? { ...decision.state, writer: ctx.session, stamp: ++this.stamp }
      : before;
    for (const pending of decision.granted) pending.isGranting = true;
    let outcome: LockCommit | undefined;
    try {
      outcome = await commitLocks(ctx, table, file.ino, { before, after, isLocking });
      // No record looks like any other: whether others had one meanwhile could not be told.
      if (outcome === "done") file.known = isEmpty(after) ? undefined : after;
      return outcome;
    } finally {
      // What is committed stays so until it is answered.
      for (const pending of decision.granted) pending.isGranting = outcome === "done";
    }
  }

  private answer(file: LockedFile, { granted, refused, blocked, waitsForOthers }: Decision<Pending>): void {
    const { hasNews } = file;
    for (const pending of granted) {
      if (pending.type !== "unlock") file.hasNews = false;
      this.finish(pending, undefined, hasNews);
    }
    for (const { request, code } of refused) this.finish(request, lockError(code));
    let isMarkLeft = false;
    for (const pending of blocked) {
      if (pending.isDone) isMarkLeft = true;
      else if (pending.isInterrupted) this.finish(pending, lockError("EINTR"));
      else if (this.waits?.closesRing(pending)) this.finish(pending, lockError("EDEADLK"));
      else if (!pending.isWaiting) {
        pending.isWaiting = true;
        this.waits?.add(pending);
      }
      if (pending.isDone) isMarkLeft = true;
    }
    file.waitsForOthers = waitsForOthers;
    if (granted.length > 0) file.pollMs = POLL_MS_MIN;
    // The record may say that one of them waits.
    if (isMarkLeft) file.next ??= "decide";
  }

  /** Owners of this client that a request waits for. */
  private blockers({ file, owner, start, end, type }: Pending): string[] {
    const { session } = this.ctx;
    if (type === "unlock" || file.known === undefined) return [];
    return conflictingHolders(file.known.holders, { session, owner, start, end, type })
      .filter((holder) => holder.session === session)
      .map((holder) => holder.owner);
  }

  private interrupt(pending: Pending): void {
    if (pending.isDone) return;
    pending.isInterrupted = true;
    // If the commit that grants it fails, the next decision ends it.
    if (pending.isGranting) return;
    this.finish(pending, lockError("EINTR"));
    // The record may say that it waits.
    this.start(pending.file, "decide");
  }

  /** Another client ended this session: it has no locks any more, and gets none. */
  private refuseAll(file: LockedFile): void {
    file.known = undefined;
    file.waitsForOthers = false;
    const error = new FsError("EIO", "this client's session was ended by another client; mount again");
    for (const pending of file.pending.slice()) {
      this.finish(pending, pending.type === "unlock" ? undefined : error);
    }
  }

  /** The store failed: everybody is told. Unlocks stay and are tried again. */
  private fail(file: LockedFile, error: unknown): void {
    file.waitsForOthers = false;
    for (const pending of file.pending.slice()) {
      if (pending.type === "unlock") pending.settle.reject(error);
      else this.finish(pending, error);
    }
  }

  private finish(pending: Pending, error?: unknown, hasNews = false): void {
    if (pending.isDone) return;
    pending.isDone = true;
    const { file } = pending;
    const index = file.pending.indexOf(pending);
    if (index >= 0) file.pending.splice(index, 1);
    if (pending.isWaiting) this.waits?.remove(pending);
    if (error === undefined) pending.settle.resolve(hasNews);
    else pending.settle.reject(error);
  }

  /** Where the store reports other clients' changes, waiting requests are looked at when one concerns them. */
  private watch(isWanted: boolean): void {
    if (!isWanted) {
      this.stopWatching?.();
      this.stopWatching = undefined;
    } else if (this.stopWatching === undefined && this.ctx.store.watch !== undefined) {
      this.stopWatching = this.ctx.store.watch((changes) => {
        for (const { table, key } of changes) {
          const file = table === this.table ? this.files.get(key[0] as number) : undefined;
          if (file?.waitsForOthers) this.start(file, "read");
        }
      });
    }
  }
}

function lockError(code: Errno): FsError {
  return new FsError(code, code === "ENOLCK" ? "too many locked ranges in one file" : undefined);
}

/**
 * The locks on one file as a record keeps them, and what a set of requests makes of them. No store and no time here.
 *
 * Turns: a session whose request is kept waiting by another session leaves word of it in the record (`waiting`, in the
 * order of arrival). Whoever could take a free lock leaves it to the one that waited longer, for a while (`patienceMs`):
 * without that, a client that hands a lock around among its own processes would starve the others, which only look now and
 * then. A request that need not wait never gives way.
 */
import {
  changeHolders,
  conflictingHolders,
  countRanges,
  decodeHolders,
  encodeHolders,
  excludes,
  type Holder,
  isHolder,
  type LockType,
  RANGE_END_MAX,
  type Wanted,
} from "./record_locks.ts";
import type { Columns } from "./schema.ts";

/** Locked ranges of one file, of all owners: each operation reads and writes them all. ENOLCK beyond. */
export const RANGES_MAX = 16_384;

/** What the record says. No record: `noLocks`. */
export interface LockState {
  /** The session that wrote the record last, and its number for that: never the same for two states. 0: no record. */
  readonly writer: number;
  readonly stamp: number;
  readonly holders: readonly Holder[];
  /** One request a session, the longest waiting first. */
  readonly waiting: readonly Wanted[];
}

export const noLocks: LockState = { writer: 0, stamp: 0, holders: [], waiting: [] };

type WaitingRecord = readonly [session: number, owner: string, start: number, end: number, isWrite: number];

export function decodeState(row: Columns<"plocks">): LockState {
  const waiting = row.waiting === "" ? [] : (JSON.parse(row.waiting) as WaitingRecord[]).map(
    ([session, owner, start, end, isWrite]): Wanted => ({
      session,
      owner,
      start,
      end,
      type: isWrite === 1 ? "write" : "read",
    }),
  );
  return { writer: row.writer, stamp: row.stamp, holders: decodeHolders(row.holders), waiting };
}

/** The record's columns; null for no record. */
export function encodeState(state: LockState): Columns<"plocks"> | null {
  const { writer, stamp, holders, waiting } = state;
  if (isEmpty(state)) return null;
  const records = waiting.map(({ session, owner, start, end, type }): WaitingRecord => [
    session,
    owner,
    start,
    end,
    type === "write" ? 1 : 0,
  ]);
  return {
    writer,
    stamp,
    holders: encodeHolders(holders),
    waiting: records.length === 0 ? "" : JSON.stringify(records),
  };
}

/** Such a state is no record. */
export function isEmpty({ holders, waiting }: LockState): boolean {
  return holders.length === 0 && waiting.length === 0;
}

export function isSameWrite(a: LockState, b: LockState): boolean {
  return a.writer === b.writer && a.stamp === b.stamp;
}

/** True if two states differ in more than who wrote them. */
export function differs(a: LockState, b: LockState): boolean {
  return a.waiting.length !== b.waiting.length || a.holders.length !== b.holders.length ||
    encodeHolders(a.holders) !== encodeHolders(b.holders) ||
    JSON.stringify(a.waiting) !== JSON.stringify(b.waiting);
}

/** The state without anything of one session; the same object if there is nothing. */
export function withoutSession(state: LockState, session: number): LockState {
  const holders = state.holders.filter((holder) => holder.session !== session);
  const waiting = state.waiting.filter((wanted) => wanted.session !== session);
  const isSame = holders.length === state.holders.length && waiting.length === state.waiting.length;
  return isSame ? state : { ...state, holders, waiting };
}

/** One process's wish. */
export interface LockRequest {
  readonly owner: string;
  readonly pid: number;
  readonly start: number;
  readonly end: number;
  readonly type: LockType | "unlock";
  /** Wait for what is in the way; else be refused. */
  readonly wait: boolean;
}

/** A request while it is looked at, again and again if it waits. */
export interface Asked extends LockRequest {
  /** It was looked at before and waits now. */
  isWaiting: boolean;
  /** Since when it could have the lock and leaves it to another session. */
  yieldsSinceMs: number | undefined;
}

export interface Refusal<R> {
  readonly request: R;
  readonly code: "EAGAIN" | "ENOLCK";
}

export interface Decision<R> {
  readonly state: LockState;
  readonly granted: R[];
  readonly refused: Refusal<R>[];
  /** Those that wait now. */
  readonly blocked: R[];
  /** Something waits for another session. */
  readonly waitsForOthers: boolean;
  /** A request that was not looked at before is refused or waits because of another session: such knowledge has to be fresh. */
  readonly reliesOnOthers: boolean;
}

export interface DecisionOptions {
  readonly session: number;
  /** flock(2): a lock that cannot be converted is lost before its owner waits or is refused. */
  readonly isFlock: boolean;
  readonly nowMs: number;
  readonly patienceMs: number;
}

/**
 * What becomes of the requests. Unlocks come first (a close must be felt by the request that follows it), then those that
 * wait, then the others, each in the order of arrival.
 */
export function decide<R extends Asked>(
  before: LockState,
  requests: readonly R[],
  options: DecisionOptions,
): Decision<R> {
  const { session, isFlock } = options;
  let { holders, waiting } = before;
  const granted: R[] = [];
  const refused: Refusal<R>[] = [];
  let reliesOnOthers = false;
  for (const request of requests) {
    if (request.type !== "unlock") continue;
    holders = changeHolders(holders, { ...fields(request, session), type: "unlock" });
    granted.push(request);
  }
  const locks = requests.filter(({ type }) => type !== "unlock");
  let remaining = [
    ...locks.filter(({ isWaiting }) => isWaiting),
    ...locks.filter(({ isWaiting }) => !isWaiting),
  ];
  const waitsForOthers = new Set<R>();
  // Another round after something was given up: each round answers a request, or a flock is lost, which happens once to each.
  for (let isAgain = true; isAgain;) {
    isAgain = false;
    const left: R[] = [];
    for (const request of remaining) {
      const wanted = { ...fields(request, session), type: request.type as LockType };
      const conflicts = conflictingHolders(holders, wanted);
      waitsForOthers.delete(request);
      if (conflicts.length === 0) {
        const ahead = request.wait ? waitingAhead(waiting, holders, wanted) : [];
        if (ahead.length > 0 && !isPatienceOver(request, options)) {
          if (!request.isWaiting) reliesOnOthers = true;
          waitsForOthers.add(request);
          left.push(request);
          continue;
        }
        // Who did not come within the time is gone, or will come again.
        if (ahead.length > 0) waiting = waiting.filter((other) => !ahead.includes(other));
        const changed = changeHolders(holders, wanted);
        if (countRanges(changed) > RANGES_MAX && countRanges(changed) > countRanges(holders)) {
          refused.push({ request, code: "ENOLCK" });
          continue;
        }
        holders = changed;
        granted.push(request);
        // It may have been a write lock before.
        if (request.type === "read") isAgain = true;
        continue;
      }
      request.yieldsSinceMs = undefined;
      if (conflicts.some((holder) => holder.session !== session)) {
        if (!request.isWaiting) reliesOnOthers = true;
        waitsForOthers.add(request);
      }
      if (isFlock && holders.some((holder) => isHolder(holder, wanted))) {
        holders = changeHolders(holders, { ...wanted, start: 0, end: RANGE_END_MAX, type: "unlock" });
        isAgain = true;
      }
      if (request.wait) left.push(request);
      else refused.push({ request, code: "EAGAIN" });
    }
    remaining = left;
  }
  const first = remaining.find((request) => waitsForOthers.has(request));
  waiting = withTurn(waiting, session, first);
  return {
    state: { ...before, holders, waiting },
    granted,
    refused,
    blocked: remaining,
    waitsForOthers: first !== undefined,
    reliesOnOthers,
  };
}

function fields({ owner, pid, start, end }: LockRequest, session: number) {
  return { session, owner, pid, start, end };
}

/** Requests of other sessions that came before ours, exclude it, and could have their lock now. */
function waitingAhead(waiting: readonly Wanted[], holders: readonly Holder[], wanted: Wanted): Wanted[] {
  const own = waiting.findIndex(({ session }) => session === wanted.session);
  const before = own === -1 ? waiting : waiting.slice(0, own);
  return before.filter((other) => excludes(other, wanted) && conflictingHolders(holders, other).length === 0);
}

/** Counts from the first time that the request gives way. */
function isPatienceOver(request: Asked, { nowMs, patienceMs }: DecisionOptions): boolean {
  request.yieldsSinceMs ??= nowMs;
  return nowMs - request.yieldsSinceMs >= patienceMs;
}

/** The session's turn is that of its first request that waits for another session; it has none without such a request. */
function withTurn(
  waiting: readonly Wanted[],
  session: number,
  request: LockRequest | undefined,
): readonly Wanted[] {
  const index = waiting.findIndex((wanted) => wanted.session === session);
  if (request === undefined) return index === -1 ? waiting : waiting.toSpliced(index, 1);
  const { owner, start, end } = request;
  const type = request.type as LockType;
  const own = waiting[index];
  const isSame = own !== undefined && own.owner === owner && own.start === start && own.end === end &&
    own.type === type;
  if (isSame) return waiting;
  const turn: Wanted = { session, owner, start, end, type };
  return own === undefined ? [...waiting, turn] : waiting.with(index, turn);
}

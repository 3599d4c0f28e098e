/**
 * Which owners wait for which: finds the request that would close a ring. Nothing is remembered of whom a request waits
 * for: that is asked when a ring is looked for, so it is never out of date.
 */
export class WaitGraph<R extends { readonly owner: string }> {
  private waiting = new Map<string, Set<R>>();

  /** `blockers`: the owners that a request waits for now. */
  constructor(private readonly blockers: (request: R) => readonly string[]) {}

  add(request: R): void {
    let own = this.waiting.get(request.owner);
    if (own === undefined) this.waiting.set(request.owner, own = new Set());
    own.add(request);
  }

  remove(request: R): void {
    const own = this.waiting.get(request.owner);
    own?.delete(request);
    if (own?.size === 0) this.waiting.delete(request.owner);
  }

  /** Would the request wait, over others that wait, for its own owner? */
  closesRing(request: R): boolean {
    const seen = new Set<string>();
    const open = [...this.blockers(request)];
    for (let owner = open.pop(); owner !== undefined; owner = open.pop()) {
      if (owner === request.owner) return true;
      if (seen.has(owner)) continue;
      seen.add(owner);
      for (const other of this.waiting.get(owner) ?? []) open.push(...this.blockers(other));
    }
    return false;
  }
}

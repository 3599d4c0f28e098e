/** Finds a short sequence that fails like a long one, by running parts of it again. */
import type { Failure, Numbered } from "./exerciser.ts";

export interface Shrunk {
  readonly list: readonly Numbered[];
  readonly failure: Failure;
  readonly runs: number;
}

/**
 * `list` ends with the operation that failed. Drops ever smaller pieces of it as long as the rest still fails somehow
 * (delta debugging), until nothing can go or `operationsMax` operations were run. Null: it did not fail again.
 */
export async function shrink(
  list: readonly Numbered[],
  run: (list: readonly Numbered[]) => Promise<Failure | null>,
  operationsMax: number,
): Promise<Shrunk | null> {
  let spent = 0;
  let runs = 0;
  const attempt = async (part: readonly Numbered[]) => {
    spent += part.length;
    runs++;
    const failure = await run(part);
    if (failure === null) return null;
    return { list: part.filter(({ number }) => number <= failure.number), failure };
  };
  let best = await attempt(list);
  if (best === null) return null;
  // The end alone fails often: much faster than to drop pieces.
  for (let length = 8; length < best.list.length; length *= 2) {
    const found = await attempt(best.list.slice(-length));
    if (found === null) continue;
    best = found;
    break;
  }
  for (let piece = Math.ceil(best.list.length / 2); piece >= 1 && spent < operationsMax;) {
    let dropped = false;
    // From the end: what was dropped there leaves the rest where it is.
    for (let end = best.list.length - 1; end > 0 && spent < operationsMax; end -= piece) {
      const start = Math.max(0, end - piece);
      const found = await attempt([...best.list.slice(0, start), ...best.list.slice(end)]);
      if (found === null) continue;
      best = found;
      dropped = true;
      end = Math.min(end, best.list.length - 1 + piece);
    }
    if (!dropped) piece = piece === 1 ? 0 : Math.ceil(piece / 2);
  }
  return { ...best, runs };
}

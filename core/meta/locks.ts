/** The locks of one client: see lock_table.ts. */
import type { MetaContext } from "./context.ts";
import { LockTable } from "./lock_table.ts";

export type { FoundLock, Interruptible } from "./lock_table.ts";
export { dropSessionLocks } from "./lock_record.ts";

/** A client's locks. */
export interface Locks {
  /** flock(2): the whole file, for an open file description. */
  readonly flocks: LockTable;
  /** POSIX record locks: ranges, for a process. */
  readonly records: LockTable;
  close(): Promise<void>;
}

export function createLocks(ctx: MetaContext): Locks {
  const flocks = new LockTable(ctx, "flocks");
  const records = new LockTable(ctx, "plocks");
  return {
    flocks,
    records,
    async close() {
      await Promise.all([flocks.close(), records.close()]);
    },
  };
}

/** What the process's exit code says. Documented in docs/operations.md; scripts depend on these numbers. */
import { UserError } from "../core/errors.ts";

export const ExitCode = {
  ok: 0,
  /** Anything without a number of its own. */
  failure: 1,
  /** The command line itself is wrong: unknown command, flag, value or URL scheme. */
  usage: 2,
  /** There is no volume behind the META-URL. */
  notFormatted: 3,
  /** The mount point cannot be used: missing, not empty, already mounted, no /dev/fuse, not a mount. */
  mountPoint: 4,
  /** A metadata or object store failed: locked, unreadable, not writable, full. */
  store: 5,
  /** The mount ended, but some data could not be stored; the message names the files. */
  dataNotStored: 6,
  /** The mount point is in use. */
  busy: 7,
  /** A volume with other settings is already there. */
  alreadyFormatted: 8,
} as const;

/** Runs `action`; a UserError of no particular exit code gets this one. */
export async function failingAs<T>(exitCode: number, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof UserError && error.exitCode === ExitCode.failure) {
      throw new UserError(error.message, exitCode, { cause: error });
    }
    throw error;
  }
}

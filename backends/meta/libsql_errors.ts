/** What a failure of the SQLite library means for a caller, with the file's name and what to do. */
import { type Errno, StoreError, type StoreErrorKind } from "../../core/errors.ts";

interface Meaning {
  readonly kind: StoreErrorKind;
  readonly errno: Errno;
  readonly text: string;
}

const NO_SPACE: Meaning = {
  kind: "fatal",
  errno: "ENOSPC",
  text: "no space is left for the database: free some on its file system",
};

/** By result code, https://www.sqlite.org/rescode.html: the primary ones, and one extended. */
const meanings: Readonly<Record<number, Meaning>> = {
  3: { kind: "fatal", errno: "EACCES", text: "permission denied" },
  5: { kind: "retry", errno: "EIO", text: "another process keeps the database locked" },
  6: { kind: "retry", errno: "EIO", text: "another process keeps the database locked" },
  7: { kind: "fatal", errno: "ENOMEM", text: "out of memory" },
  8: {
    kind: "fatal",
    errno: "EROFS",
    text: "the database is read-only: this user needs to write to the file and to its directory",
  },
  11: { kind: "fatal", errno: "EIO", text: "the database is damaged: restore it from a backup" },
  13: NO_SPACE,
  14: {
    kind: "fatal",
    errno: "EIO",
    text: "the database cannot be opened: this user needs to write to the file and to its directory",
  },
  15: { kind: "retry", errno: "EIO", text: "another process keeps the database locked" },
  // SQLITE_IOERR_SHMSIZE: the log's index could not grow.
  4874: NO_SPACE,
  26: { kind: "fatal", errno: "EIO", text: "the file is not an SQLite database" },
};

interface DriverError {
  readonly message: string;
  /** The extended result code, if the library gave one. */
  readonly rawCode?: number;
}

function meaningOf(error: unknown): Meaning | undefined {
  const code = rawCodeOf(error);
  return meanings[code] ?? meanings[code & 0xff];
}

function rawCodeOf(error: unknown): number {
  const code = (error as Partial<DriverError> | null)?.rawCode;
  return typeof code === "number" ? code : 0;
}

/** Somebody else holds a lock: the same call may succeed in a moment. */
export function isBusy(error: unknown): boolean {
  return meaningOf(error)?.kind === "retry";
}

/** fsync failed: what was written may be lost although later fsyncs succeed (SQLITE_IOERR_FSYNC, _DIR_FSYNC). */
export function isSyncFailure(error: unknown): boolean {
  const code = rawCodeOf(error);
  return code === 1034 || code === 1290;
}

/** Some record of that key exists already (SQLITE_CONSTRAINT). */
export function isConstraint(error: unknown): boolean {
  return (rawCodeOf(error) & 0xff) === 19;
}

/** The error as the store's callers know it; StoreErrors pass through. */
export function storeErrorOf(error: unknown, path: string): unknown {
  if (error instanceof StoreError) return error;
  const meaning = meaningOf(error);
  if (meaning !== undefined) {
    return new StoreError(meaning.kind, `${path}: ${meaning.text}`, { cause: error, errno: meaning.errno });
  }
  // The library's error, and a failure to open, which it reports without a code.
  if (error instanceof Error && ("rawCode" in error || error.message.startsWith("ConnectionFailed"))) {
    const reason = "rawCode" in error ? error.message : "the database cannot be opened";
    return new StoreError("fatal", `${path}: ${oneLine(reason)}`, { cause: error });
  }
  return error;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}

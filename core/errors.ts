/**
 * The error types of the whole product.
 *
 * - {@link FsError}: an operation failed the way POSIX says; carries an errno name. `fuse/errno.ts` is the one
 *   place that turns names into numbers.
 * - {@link StoreError}: a metadata or object store failed; its kind says what to do about it.
 * - {@link UserError}: something the person at the command line can mend; printed as one line.
 */

/** The errno names that slayerfs answers. Sources: errno(3) and the ERRORS sections of the man pages. */
export type Errno =
  | "E2BIG"
  | "EACCES"
  | "EAGAIN"
  | "EBADF"
  | "EBUSY"
  | "EDEADLK"
  | "EDQUOT"
  | "EEXIST"
  | "EFAULT"
  | "EFBIG"
  | "EINTR"
  | "EINVAL"
  | "EIO"
  | "EISDIR"
  | "ELOOP"
  | "EMFILE"
  | "EMLINK"
  | "ENAMETOOLONG"
  | "ENODATA"
  | "ENODEV"
  | "ENOENT"
  | "ENOLCK"
  | "ENOMEM"
  | "ENOSPC"
  | "ENOSYS"
  | "ENOTCONN"
  | "ENOTDIR"
  | "ENOTEMPTY"
  | "ENOTSUP"
  | "ENOTTY"
  | "ENXIO"
  | "EOVERFLOW"
  | "EPERM"
  | "ERANGE"
  | "EROFS"
  | "ESPIPE"
  | "ESTALE"
  | "ETXTBSY"
  | "EXDEV";

/** A file-system operation failed with a POSIX error. `message` is for logs and library users. */
export class FsError extends Error {
  override name = "FsError";
  constructor(readonly code: Errno, message?: string, options?: ErrorOptions) {
    super(message === undefined ? code : `${code}: ${message}`, options);
  }
}

/** Written data that could not be stored when its client ended: lost, unless another copy exists. */
export class NotStoredError extends FsError {
  override name = "NotStoredError";
  constructor(readonly inodes: readonly number[], message: string, options?: ErrorOptions) {
    super("EIO", message, options);
  }
}

/**
 * What a caller of a store should do about its failure:
 * - `retry`: the same call may succeed in a moment (busy, connection lost, throttled). Nothing was applied,
 *   or applying it again is harmless.
 * - `fatal`: it will not get better by itself (disk full, permission denied, corrupt database).
 * - `caller`: the call was wrong (no such object, unknown table, a volume of a newer version).
 */
export type StoreErrorKind = "retry" | "fatal" | "caller";

/** A metadata or object store failed. Never carries a secret: messages are shown to people and logged. */
export class StoreError extends Error {
  override name = "StoreError";
  /** The errno that the file operation should report if retrying does not help; EIO unless said otherwise. */
  readonly errno: Errno;
  constructor(
    readonly kind: StoreErrorKind,
    message: string,
    options: ErrorOptions & { errno?: Errno } = {},
  ) {
    super(message, options);
    this.errno = options.errno ?? "EIO";
  }
}

/** True for the one failure that `ObjectStore.get` callers tell apart from all others: there is no such object. */
export function isNoSuchObject(error: unknown): boolean {
  return error instanceof StoreError && error.kind === "caller" && error.errno === "ENOENT";
}

/** Bad input or surroundings that a person can mend: printed as one line, then the process exits with `exitCode`. */
export class UserError extends Error {
  override name = "UserError";
  constructor(message: string, readonly exitCode = 1, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The errno for any thrown value: of FsError and StoreError their own, EIO for everything else. */
export function errnoOf(error: unknown): Errno {
  if (error instanceof FsError) return error.code;
  if (error instanceof StoreError) return error.errno;
  return "EIO";
}

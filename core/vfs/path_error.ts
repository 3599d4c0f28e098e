/** Errors of the library: the POSIX code, what was asked and of which path, in one line. */
import { type Errno, errnoOf, FsError, StoreError } from "../errors.ts";

const REASONS: Partial<Record<Errno, string>> = {
  EACCES: "permission denied",
  EBADF: "bad file descriptor",
  EBUSY: "resource busy",
  EDQUOT: "disk quota exceeded",
  EEXIST: "file exists",
  EFBIG: "file too large",
  EINVAL: "invalid argument",
  EIO: "input/output error",
  EISDIR: "is a directory",
  ELOOP: "too many levels of symbolic links",
  EMLINK: "too many links",
  ENAMETOOLONG: "file name too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  ENOTSUP: "operation not supported",
  ENXIO: "no such device or address",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
};

/** Bytes of a path for people: UTF-8 where it is, and JSON's escapes for what would break a line. */
export function showPath(path: string | Uint8Array): string {
  return JSON.stringify(typeof path === "string" ? path : new TextDecoder().decode(path));
}

/** `ENOENT: no such file or directory: open "/a/b"`; the original error is its `cause`. Errors of the program itself
 *  (assertions) pass as they are. */
export function pathError(error: unknown, what: string): unknown {
  if (!(error instanceof FsError) && !(error instanceof StoreError)) return error;
  const code = errnoOf(error);
  let reason = REASONS[code];
  if (error instanceof StoreError) reason = error.message;
  else if (code === "EINVAL" && error.message !== code) reason = error.message.slice(code.length + 2);
  return new FsError(code, reason === undefined ? what : `${reason}: ${what}`, { cause: error });
}

/** What the operating system's errors mean to callers of the file object store. */
import { setImmediate } from "node:timers";
import { StoreError } from "../../core/errors.ts";

/** The errno name of a Deno or node error, "" if it has none. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** `what` says in words what could not be done. */
export function asStoreError(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = codeOf(error);
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new StoreError("fatal", `${what}: the disk is full (${code})`, {
        errno: "ENOSPC",
        cause: error,
      });
    case "EACCES":
    case "EPERM":
      return new StoreError("fatal", `${what}: permission denied (${code})`, {
        errno: "EACCES",
        cause: error,
      });
    case "EROFS":
      return new StoreError("fatal", `${what}: the disk is read-only`, { errno: "EROFS", cause: error });
    case "ENOTDIR":
    case "EISDIR":
      return new StoreError("caller", `${what}: the key of one object is a directory of another's`, {
        errno: code,
        cause: error,
      });
    case "ENOENT":
      return new StoreError("fatal", `${what}: the bucket directory is gone`, { cause: error });
    case "EMFILE":
    case "ENFILE":
    case "EINTR":
    case "EAGAIN":
    case "EBUSY":
      return new StoreError("retry", `${what}: ${code}`, { cause: error });
    default:
      return new StoreError("fatal", `${what}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
  }
}

/** Lets other work of this thread run between runs of synchronous calls. */
export function yieldToOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

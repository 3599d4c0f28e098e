/** The one rule for object keys, shared by the stores: what they refuse, they all refuse. */
import { StoreError } from "../errors.ts";

/** Longest key, bytes: what S3 allows. */
export const KEY_BYTES_MAX = 1024;

const ALPHABET = /^[A-Za-z0-9._/-]+$/;
const BAD_PART = /(^|\/)(\.{0,2})(\/|$)/;

/** A relative path of [A-Za-z0-9._/-] without an empty, `.` or `..` part, not too long. */
export function isObjectKey(key: string): boolean {
  return key.length <= KEY_BYTES_MAX && ALPHABET.test(key) && !BAD_PART.test(key);
}

/** Throws StoreError `caller` for what is not an object key. */
export function checkObjectKey(key: string): void {
  if (!isObjectKey(key)) {
    throw new StoreError("caller", `not an object key: ${JSON.stringify(key.slice(0, 100))}`, {
      errno: "EINVAL",
    });
  }
}

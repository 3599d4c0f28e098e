/**
 * Assertions for programmer errors: they stay on in the product, because a file system that goes on after
 * a broken invariant writes wrong bytes. Bad input from users or kernels is never an assertion: it is an
 * {@link FsError} (core/errors.ts).
 */

/** Thrown by {@link assert}: the program is wrong, not its input. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

/** Throws {@link AssertionError} unless `condition` holds. `message` says what was expected. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the `default:` of a switch that handles every case: a type error if a case was forgotten. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}

/**
 * Cases that a mount skips or fails, each with its reason: for good, or until a fault is mended. Whatever else fails on a
 * mount fails the test, and so does a case here that passes: take it off the list.
 */
import type { Need } from "./needs.ts";

/** What a mount does not offer: cases that need it are skipped there. */
export const notOffered: Readonly<Partial<Record<Need, string>>> = {
  "pipe times": "the kernel moves a fifo's bytes itself and leaves the times of FUSE inodes alone",
};

/** Name of the case -> why it fails, for good. */
export const deviations: Readonly<Record<string, string>> = {};

/** Name of the case -> the fault that it shows. */
export const faults: Readonly<Record<string, string>> = {
  "write/OK: an unprivileged write clears set-user-ID and set-group-ID":
    "set-group-ID without group execute stays, although the writer is not in the file's group",
  "write/OK: set-group-ID without group execute is no privilege for the group's members": "the same",
  "open/EACCES: O_TRUNC without write permission leaves the file":
    "while written bytes wait, a later ctime (of the chmod before) is shown as the write's",
  "stat/OK: blocks count what is allocated, not the size": "blocks are counted from the size",
  "truncate/OK: past 2 GiB, 4 GiB and 1 TiB, sparse": "the same",
  "ftruncate/OK: past 2 GiB, 4 GiB and 1 TiB, sparse": "the same",
  ...of(["regular", "fifo", "block", "char", "socket"], (kind) => [
    `chown/OK: -1, -1 clears the set-id bits of a ${kind}, for those who may chmod`,
    "chown(-1, -1) arrives as a SETATTR of nothing, and only moves ctime",
  ]),
  ...of(["regular", "dir", "fifo", "block", "char", "socket", "symlink"], (kind) => [
    `utimensat/OK: UTIME_NOW and UTIME_OMIT on a ${kind}`,
    "the clock is read once for mtime and once more for ctime",
  ]),
};

function of(kinds: readonly string[], entry: (kind: string) => [string, string]): Record<string, string> {
  return Object.fromEntries(kinds.map(entry));
}

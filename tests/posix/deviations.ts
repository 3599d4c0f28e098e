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
export const deviations: Readonly<Record<string, string>> = {
  "stat/OK: blocks count what is allocated, not the size":
    "blocks are counted from the size, as the volume's accounts are",
  ...of(["regular", "fifo", "block", "char", "socket"], (kind) => [
    `chown/EPERM: -1, -1 by a stranger on a ${kind} with set-id bits`,
    "it does nothing and is no error: the kernel sends the same to announce a write",
  ]),
  "truncate/OK: past 2 GiB, 4 GiB and 1 TiB, sparse": "the same",
  "ftruncate/OK: past 2 GiB, 4 GiB and 1 TiB, sparse": "the same",
};

/** Name of the case -> the fault that it shows. */
export const faults: Readonly<Record<string, string>> = {
  "unlink/OK: an open fifo goes on, and keeps its attributes":
    "the kernel opens a fifo itself: the server does not know that it is held, and lets go of it with its last name",
  "rmdir/OK: a removed directory that is open keeps its attributes": "its row goes with its name",
};

function of(kinds: readonly string[], entry: (kind: string) => [string, string]): Record<string, string> {
  return Object.fromEntries(kinds.map(entry));
}

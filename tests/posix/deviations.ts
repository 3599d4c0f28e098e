/**
 * Cases that a mount fails or skips for good, each with its reason. Anything else that fails on a mount is a fault; a case
 * here that passes is a reason to take it off the list.
 */
import type { Need } from "./needs.ts";

/** What a mount does not offer: cases that need it are skipped there. */
export const notOffered: Readonly<Partial<Record<Need, string>>> = {
  "pipe times": "the kernel moves a fifo's bytes itself and leaves the times of FUSE inodes alone",
};

/** Name of the case -> why it fails. */
export const deviations: Readonly<Record<string, string>> = {
  "write/OK: an unprivileged write clears set-user-ID and set-group-ID":
    "set-group-ID without group execute: the kernel asks a FUSE server to clear the bit only where the group may execute",
  "write/OK: set-group-ID without group execute is no privilege for the group's members":
    "the same: the request does not say whether the writer is in the file's group",
};

/**
 * Calls made as somebody else. The identity belongs to the calling thread alone: glibc's setresuid() would change every
 * thread of the process, the system call itself changes one. The saved user id stays 0, which is how root comes back.
 *
 * Invariant: outside `as` the thread is root with no supplementary groups of its own choosing. `as` takes synchronous
 * functions only, so nothing else runs under the borrowed identity.
 */
import { NR } from "./abi.ts";

export interface User {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups?: readonly number[];
}

export const root: User = { uid: 0, gid: 0 };
export const alice: User = { uid: 65533, gid: 65533 };
export const bob: User = { uid: 65532, gid: 65532 };
export const carol: User = { uid: 65531, gid: 65531 };

const { symbols: c } = Deno.dlopen("libc.so.6", {
  setres: { name: "syscall", parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
  setgroups: { name: "syscall", parameters: ["i64", "i64", "buffer"], result: "i64" },
  geteuid: { parameters: [], result: "u32" },
  unshare: { parameters: ["i32"], result: "i32" },
});

export function isRoot(): boolean {
  return c.geteuid() === 0;
}

const CLONE_FS = 0x200;

/** From now on the thread's umask is its own, too: other tests of the process keep theirs. */
export function ownUmask(): void {
  c.unshare(CLONE_FS);
}

/** Does `action` as `user` and comes back as root. */
export function as<R>(user: User, action: () => R): R {
  if (user.uid === 0 && user.gid === 0 && (user.groups ?? []).length === 0) return action();
  become(user);
  try {
    return action();
  } finally {
    check(c.setres(BigInt(NR.setresuid), 0n, 0n, 0n), "setresuid");
    check(c.setres(BigInt(NR.setresgid), 0n, 0n, 0n), "setresgid");
    check(c.setgroups(BigInt(NR.setgroups), 0n, null), "setgroups");
  }
}

function become(user: User): void {
  const groups = new Uint32Array(user.groups ?? []);
  check(c.setgroups(BigInt(NR.setgroups), BigInt(groups.length), new Uint8Array(groups.buffer)), "setgroups");
  check(c.setres(BigInt(NR.setresgid), BigInt(user.gid), BigInt(user.gid), 0n), "setresgid");
  check(c.setres(BigInt(NR.setresuid), BigInt(user.uid), BigInt(user.uid), 0n), "setresuid");
}

function check(result: bigint, call: string): void {
  if (result < 0n) throw new Error(`${call} failed: the suite needs root`);
}

/**
 * fusermount3(1), the set-user-ID helper of the fuse3 package: it mounts for users who may not call mount(2), on directories
 * that are theirs, and unmounts what they mounted. It opens /dev/fuse as the user, and hands the descriptor over through a
 * socket whose number is in _FUSE_COMMFD (fusermount.c of libfuse).
 */
import { FsError, UserError } from "../core/errors.ts";
import { errnoName } from "./errno.ts";
import { libc, O_NONBLOCK } from "./ffi.ts";

const PROGRAM = "fusermount3";
const COMM_VARIABLE = "_FUSE_COMMFD";
const CONFIG_PATH = "/etc/fuse.conf";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;

/** Mounts and returns the descriptor of /dev/fuse, non-blocking. `options`: as after -o, comma-separated. Throws UserError. */
export async function mountByHelper(mountPoint: string, options: string): Promise<number> {
  const { symbols, errno } = libc();
  const pair = new Int32Array(2);
  if (symbols.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, new Uint8Array(pair.buffer)) !== 0) {
    throw new UserError(`cannot make a socket: ${errnoName(errno())}`);
  }
  const [ours = -1, theirs = -1] = pair;
  try {
    let ending: Promise<Deno.CommandOutput>;
    try {
      // Inherited by programs that are started now, and by no others: nothing is awaited in between.
      symbols.fcntl(theirs, F_SETFD, 0);
      ending = run(["-o", options, "--", mountPoint], { [COMM_VARIABLE]: String(theirs) });
    } finally {
      symbols.close(theirs);
    }
    const { success, stderr } = await ending;
    if (!success) throw mountFailure(mountPoint, messageOf(stderr));
    // It has ended: what it sent is there.
    try {
      const fd = receiveDescriptor(ours);
      symbols.fcntl(fd, F_SETFL, symbols.fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
      return fd;
    } catch (error) {
      await unmountByHelper(mountPoint, true).catch(() => {});
      throw error;
    }
  } finally {
    symbols.close(ours);
  }
}

/** Throws FsError EBUSY if the mount is in use and not `lazy`, else UserError. */
export async function unmountByHelper(mountPoint: string, lazy: boolean): Promise<void> {
  const { success, stderr } = await run(["-u", ...(lazy ? ["-z"] : []), "--", mountPoint]);
  if (success) return;
  const message = messageOf(stderr);
  if (/resource busy/.test(message)) throw new FsError("EBUSY", `${mountPoint} is in use`);
  if (/not permitted|not found in|denied/.test(message)) {
    throw new UserError(`no permission to unmount ${mountPoint}: another user mounted it; run it as root`);
  }
  throw new UserError(`cannot unmount ${mountPoint}: ${message}`);
}

/** May users other than root mount with `allow_other`? */
export function othersMayBeAllowed(): boolean {
  try {
    return /^\s*user_allow_other\s*$/m.test(Deno.readTextFileSync(CONFIG_PATH));
  } catch {
    return false;
  }
}

/** Starts the helper before it returns. */
function run(args: string[], env: Record<string, string> = {}): Promise<Deno.CommandOutput> {
  try {
    return new Deno.Command(PROGRAM, {
      args,
      env: { LC_ALL: "C", ...env },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UserError(
      `users other than root mount with ${PROGRAM}, which is not installed: install the package fuse3, or run as root`,
    );
  }
}

function messageOf(stderr: Uint8Array): string {
  const text = new TextDecoder().decode(stderr).trim();
  return text.replace(/^\S*fusermount3?: /gm, "").replace(/\s*\n\s*/g, "; ") || "it did not say why";
}

function mountFailure(mountPoint: string, message: string): UserError {
  if (/\/dev\/fuse: Permission denied/.test(message)) {
    return new UserError(
      "users other than root may not open /dev/fuse on this machine (Permission denied): " +
        "ask root for chmod 666 /dev/fuse, or mount as root",
    );
  }
  if (/device not found|\/dev\/fuse: No such/.test(message)) {
    return new UserError("there is no /dev/fuse: ask root to load the kernel module (modprobe fuse)");
  }
  if (/no write access|not owned by|Permission denied/.test(message)) {
    return new UserError(
      `users other than root mount only on directories that they own and may write to: ${mountPoint} (${message})`,
    );
  }
  if (/Operation not permitted/.test(message)) {
    return new UserError(
      `${PROGRAM} may not mount: it must be set-user-ID root, and a container needs --cap-add SYS_ADMIN (${message})`,
    );
  }
  return new UserError(`${PROGRAM} cannot mount on ${mountPoint}: ${message}`);
}

/** recvmsg(2) of one byte that carries one descriptor. */
function receiveDescriptor(socket: number): number {
  // struct msghdr, iovec and cmsghdr of 64-bit Linux in one piece of memory, which the call keeps alive.
  const iovec = 56;
  const control = 72;
  const controlBytes = 24;
  const byte = 96;
  const memory = new Uint8Array(104);
  const start = Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
  const view = new DataView(memory.buffer);
  const set = (at: number, value: bigint) => view.setBigUint64(at, value, true);
  set(16, start + BigInt(iovec));
  set(24, 1n);
  set(32, start + BigInt(control));
  set(40, BigInt(controlBytes));
  set(iovec, start + BigInt(byte));
  set(iovec + 8, 1n);
  const count = libc().symbols.recvmsg(socket, memory, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  const isDescriptor = view.getInt32(control + 8, true) === SOL_SOCKET &&
    view.getInt32(control + 12, true) === SCM_RIGHTS;
  if (count !== 1 || !isDescriptor) throw new UserError(`${PROGRAM} handed no descriptor over`);
  return view.getInt32(control + 16, true);
}

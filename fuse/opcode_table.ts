/**
 * The one table of operations: for each opcode how its body is decoded, which call of the Vfs it is, and how the answer is
 * encoded. An opcode that is not here is answered ENOSYS, after which the kernel mostly stops asking.
 */
import { Opcode, RENAME2_IN_BYTES, RENAME_IN_BYTES } from "./abi.ts";
import * as files from "./file_operations.ts";
import * as locks from "./lock_operations.ts";
import * as names from "./name_operations.ts";
import type { Operation } from "./operation.ts";
import * as session from "./session_operations.ts";
import * as xattrs from "./xattr_operations.ts";

/** By opcode. The server hands an operation's result only to that operation's own encode and undo. */
export const operations: readonly (Operation<unknown> | undefined)[] = table([
  [Opcode.LOOKUP, names.lookup],
  [Opcode.FORGET, session.forget],
  [Opcode.GETATTR, names.getattr],
  [Opcode.SETATTR, names.setattr],
  [Opcode.READLINK, names.readlink],
  [Opcode.SYMLINK, names.symlink],
  [Opcode.MKNOD, names.mknod],
  [Opcode.MKDIR, names.mkdir],
  [Opcode.UNLINK, names.unlink],
  [Opcode.RMDIR, names.rmdir],
  [Opcode.RENAME, names.renameOperation("RENAME", RENAME_IN_BYTES, false)],
  [Opcode.LINK, names.link],
  [Opcode.OPEN, files.open],
  [Opcode.READ, files.read],
  [Opcode.WRITE, files.write],
  [Opcode.STATFS, session.statfs],
  [Opcode.RELEASE, files.release],
  [Opcode.FSYNC, files.fsync],
  [Opcode.SETXATTR, xattrs.setxattr],
  [Opcode.GETXATTR, xattrs.getxattr],
  [Opcode.LISTXATTR, xattrs.listxattr],
  [Opcode.REMOVEXATTR, xattrs.removexattr],
  [Opcode.FLUSH, files.flush],
  [Opcode.INIT, session.init],
  [Opcode.OPENDIR, files.opendir],
  [Opcode.READDIR, files.readdirOperation("READDIR", false)],
  [Opcode.RELEASEDIR, files.releasedir],
  [Opcode.FSYNCDIR, files.fsyncdir],
  [Opcode.GETLK, locks.getlk],
  [Opcode.SETLK, locks.setlkOperation("SETLK", false)],
  [Opcode.SETLKW, locks.setlkOperation("SETLKW", true)],
  [Opcode.ACCESS, names.access],
  [Opcode.CREATE, names.create],
  [Opcode.TMPFILE, names.tmpfile],
  [Opcode.INTERRUPT, session.interrupt],
  [Opcode.DESTROY, session.destroy],
  [Opcode.IOCTL, xattrs.ioctl],
  [Opcode.BATCH_FORGET, session.batchForget],
  [Opcode.FALLOCATE, files.fallocate],
  [Opcode.READDIRPLUS, files.readdirOperation("READDIRPLUS", true)],
  [Opcode.RENAME2, names.renameOperation("RENAME2", RENAME2_IN_BYTES, true)],
  [Opcode.LSEEK, files.lseek],
  [Opcode.COPY_FILE_RANGE, files.copyFileRange],
  [Opcode.COPY_FILE_RANGE_64, files.copyFileRange],
]);

function table(
  entries: readonly (readonly [number, Operation<unknown>])[],
): (Operation<unknown> | undefined)[] {
  const byOpcode = new Array<Operation<unknown> | undefined>(64).fill(undefined);
  for (const [opcode, operation] of entries) byOpcode[opcode] = operation;
  return byOpcode;
}

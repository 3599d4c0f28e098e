/**
 * The one place where errno names become numbers. Linux, generic architecture (include/uapi/asm-generic/errno.h): x86-64,
 * aarch64 and riscv64 share it.
 */
import type { Errno } from "../core/errors.ts";

export const errnoNumbers: Readonly<Record<Errno, number>> = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ENOTCONN: 107,
  ESTALE: 116,
  EDQUOT: 122,
};

/** Numbers that only system calls on the device answer. */
export const ECONNABORTED = 103;
export const EPROTO = 71;

/** The name of an errno number, for messages; `errno N` if it is none of ours. */
export function errnoName(number: number): string {
  for (const [name, value] of Object.entries(errnoNumbers)) if (value === number) return name;
  return `errno ${number}`;
}

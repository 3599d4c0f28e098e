/**
 * The kernel's FUSE protocol: numbers and struct layouts of include/uapi/linux/fuse.h (protocol 7.31 to 7.45; the layouts
 * named here are the same in all of them). All fields are in the machine's byte order, which is little-endian wherever
 * Deno runs.
 */

export const KERNEL_MAJOR = 7;
/** The newest minor version whose meaning this code knows. */
export const KERNEL_MINOR_MAX = 45;
/** The oldest that is served: Linux 5.4. */
export const KERNEL_MINOR_MIN = 31;

export const ROOT_ID = 1;

/** enum fuse_opcode */
export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  TMPFILE: 51,
  COPY_FILE_RANGE_64: 53,
} as const;

/** INIT flags, bits 0 to 31 (fuse_init_in.flags). */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  FLOCK_LOCKS: 1 << 10,
  HAS_IOCTL_DIR: 1 << 11,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  WRITEBACK_CACHE: 1 << 16,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

/** INIT flags, bits 32 to 63, shifted down by 32 (fuse_init_in.flags2). */
export const InitFlag2 = {
  HAS_EXPIRE_ONLY: 1 << (35 - 32),
  DIRECT_IO_ALLOW_MMAP: 1 << (36 - 32),
} as const;

/** struct fuse_in_header, 40 bytes. */
export const IN_HEADER_BYTES = 40;
export const InHeader = {
  len: 0,
  opcode: 4,
  unique: 8,
  nodeid: 16,
  uid: 24,
  gid: 28,
  pid: 32,
} as const;

/** struct fuse_out_header, 16 bytes. */
export const OUT_HEADER_BYTES = 16;
export const OutHeader = { len: 0, error: 4, unique: 8 } as const;

/** Bit of `unique` that marks an INTERRUPT; the rest is the unique of the request it is about (fs/fuse/dev.c). */
export const INTERRUPT_UNIQUE_BIT = 1;

/** struct fuse_init_in without the fields of FUSE_INIT_EXT, and with them. */
export const INIT_IN_BYTES = 16;
export const INIT_IN_EXT_BYTES = 64;
export const InitIn = { major: 0, minor: 4, maxReadahead: 8, flags: 12, flags2: 16 } as const;

/** struct fuse_init_out, 64 bytes. */
export const INIT_OUT_BYTES = 64;
export const InitOut = {
  major: 0,
  minor: 4,
  maxReadahead: 8,
  flags: 12,
  maxBackground: 16,
  congestionThreshold: 18,
  maxWrite: 20,
  timeGran: 24,
  maxPages: 28,
  mapAlignment: 30,
  flags2: 32,
} as const;

/** struct fuse_attr, 88 bytes. */
export const ATTR_BYTES = 88;
export const AttrField = {
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
} as const;

/** struct fuse_entry_out: 40 bytes and a fuse_attr. */
export const ENTRY_OUT_BYTES = 40 + ATTR_BYTES;
export const EntryOut = {
  nodeid: 0,
  generation: 8,
  entryValid: 16,
  attrValid: 24,
  entryValidNsec: 32,
  attrValidNsec: 36,
  attr: 40,
} as const;

/** struct fuse_attr_out: 16 bytes and a fuse_attr. */
export const ATTR_OUT_BYTES = 16 + ATTR_BYTES;
export const AttrOut = { attrValid: 0, attrValidNsec: 8, attr: 16 } as const;

/** struct fuse_open_out, 16 bytes. */
export const OPEN_OUT_BYTES = 16;
export const OpenOut = { fh: 0, openFlags: 8 } as const;
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;

/** struct fuse_open_in */
export const OPEN_IN_BYTES = 8;
export const OpenIn = { flags: 0, openFlags: 4 } as const;
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;

/** struct fuse_create_in */
export const CREATE_IN_BYTES = 16;
export const CreateIn = { flags: 0, mode: 4, umask: 8, openFlags: 12 } as const;

/** struct fuse_mknod_in */
export const MKNOD_IN_BYTES = 16;
export const MknodIn = { mode: 0, rdev: 4, umask: 8 } as const;

/** struct fuse_mkdir_in */
export const MKDIR_IN_BYTES = 8;
export const MkdirIn = { mode: 0, umask: 4 } as const;

/** struct fuse_rename_in and fuse_rename2_in */
export const RENAME_IN_BYTES = 8;
export const RENAME2_IN_BYTES = 16;
export const RenameIn = { newdir: 0, flags: 8 } as const;

/** struct fuse_link_in */
export const LINK_IN_BYTES = 8;
export const LinkIn = { oldnodeid: 0 } as const;

/** struct fuse_getattr_in */
export const GETATTR_IN_BYTES = 16;
export const GetattrIn = { flags: 0, fh: 8 } as const;
export const FUSE_GETATTR_FH = 1 << 0;

/** struct fuse_setattr_in, 88 bytes. */
export const SETATTR_IN_BYTES = 88;
export const SetattrIn = {
  valid: 0,
  fh: 8,
  size: 16,
  atime: 32,
  mtime: 40,
  ctime: 48,
  atimensec: 56,
  mtimensec: 60,
  ctimensec: 64,
  mode: 68,
  uid: 76,
  gid: 80,
} as const;
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_CTIME = 1 << 10;
export const FATTR_KILL_SUIDGID = 1 << 11;

/** struct fuse_read_in (READ, READDIR, READDIRPLUS) and fuse_write_in, 40 bytes each. */
export const READ_IN_BYTES = 40;
export const WRITE_IN_BYTES = 40;
export const ReadIn = { fh: 0, offset: 8, size: 16, flags: 20 } as const;
/** open(2) flags of the descriptor as they are now. */
export const WriteIn = { openFlags: 32 } as const;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;

/** struct fuse_write_out */
export const WRITE_OUT_BYTES = 8;

/** struct fuse_release_in, fuse_flush_in: 24 bytes; fuse_fsync_in: 16. All begin with the handle. */
export const RELEASE_IN_BYTES = 24;
export const FLUSH_IN_BYTES = 24;
export const FSYNC_IN_BYTES = 16;
export const FlushIn = { fh: 0, lockOwner: 16 } as const;
export const FsyncIn = { fh: 0, flags: 8 } as const;
export const FUSE_FSYNC_FDATASYNC = 1 << 0;

/** struct fuse_fallocate_in */
export const FALLOCATE_IN_BYTES = 32;
export const FallocateIn = { fh: 0, offset: 8, length: 16, mode: 24 } as const;

/** struct fuse_lseek_in, fuse_lseek_out */
export const LSEEK_IN_BYTES = 24;
export const LseekIn = { fh: 0, offset: 8, whence: 16 } as const;
export const LSEEK_OUT_BYTES = 8;

/** struct fuse_copy_file_range_in. The answer is a fuse_write_out, or since 7.45 a fuse_copy_file_range_out (a u64). */
export const COPY_FILE_RANGE_IN_BYTES = 56;
export const CopyFileRangeIn = {
  fhIn: 0,
  offIn: 8,
  nodeidOut: 16,
  fhOut: 24,
  offOut: 32,
  len: 40,
  flags: 48,
} as const;

/** struct fuse_lk_in and fuse_lk_out; the second is the struct fuse_file_lock at `lk` of the first. */
export const LK_IN_BYTES = 48;
export const LK_OUT_BYTES = 24;
export const LkIn = { fh: 0, owner: 8, lk: 16, flags: 40 } as const;
export const FileLockField = { start: 0, end: 8, type: 16, pid: 20 } as const;
/** The lock is a flock(2). */
export const FUSE_LK_FLOCK = 1 << 0;
/** struct fuse_notify_inval_inode_out, 24 bytes: a message of the server's own, whose \`unique\` is 0 and \`error\` the code.
 *  An offset below 0 leaves the pages alone. */
export const FUSE_NOTIFY_INVAL_INODE = 2;
export const NOTIFY_INVAL_INODE_BYTES = 24;
export const NotifyInvalInode = { ino: 0, offset: 8, length: 16 } as const;

/** fcntl.h; also the types of flocks. */
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;

/** struct fuse_setxattr_in without and with the fields of FUSE_SETXATTR_EXT; the name and the value follow. */
export const SETXATTR_IN_COMPAT_BYTES = 8;
export const SETXATTR_IN_BYTES = 16;
export const SetxattrIn = { size: 0, flags: 4, setxattrFlags: 8 } as const;
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;

/** struct fuse_getxattr_in (GETXATTR, LISTXATTR) and fuse_getxattr_out, both a u32 size and padding. */
export const GETXATTR_IN_BYTES = 8;
export const GETXATTR_OUT_BYTES = 8;
/** Longest value and list: linux/limits.h. */
export const XATTR_SIZE_MAX = 64 << 10;

/** struct fuse_ioctl_in, what is copied in follows; struct fuse_ioctl_out, what is copied out follows. */
export const IOCTL_IN_BYTES = 32;
export const IoctlIn = { fh: 0, flags: 8, cmd: 12, arg: 16, inSize: 24, outSize: 28 } as const;
export const IOCTL_OUT_BYTES = 16;
/** linux/fs.h, as 64-bit programs number them. */
export const FS_IOC_GETFLAGS = 0x8008_6601;
export const FS_IOC_SETFLAGS = 0x4008_6602;
export const FS_IOC_FSGETXATTR = 0x801c_581f;
export const FS_IOC_FSSETXATTR = 0x401c_5820;
/** struct fsxattr, 28 bytes. */
export const Fsxattr = { xflags: 0, extsize: 4, nextents: 8, projid: 12, cowextsize: 16 } as const;

/** struct fuse_access_in */
export const ACCESS_IN_BYTES = 8;

/** struct fuse_interrupt_in */
export const INTERRUPT_IN_BYTES = 8;

/** struct fuse_forget_in; fuse_batch_forget_in and its fuse_forget_one. */
export const FORGET_IN_BYTES = 8;
export const BATCH_FORGET_IN_BYTES = 8;
export const FORGET_ONE_BYTES = 16;

/** struct fuse_statfs_out, 80 bytes. */
export const STATFS_OUT_BYTES = 80;
export const StatfsOut = {
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
} as const;

/** struct fuse_dirent: 24 bytes, the name, and padding to 8 bytes. */
export const DIRENT_BYTES = 24;
export const Dirent = { ino: 0, off: 8, namelen: 16, type: 20 } as const;

/** The kernel refuses to be read with a smaller buffer. */
export const MIN_READ_BUFFER_BYTES = 8192;
export const PAGE_BYTES = 4096;

/** The fixed limits of the format and of POSIX names. Sizes that a volume chooses stand in its format record. */

/** Longest name of a directory entry, bytes: NAME_MAX of limits.h. */
export const NAME_BYTES_MAX = 255;
/** Longest symlink target, bytes: PATH_MAX of limits.h less the terminating NUL. */
export const SYMLINK_BYTES_MAX = 4095;
/** Longest name and value of an extended attribute, and longest list of names: XATTR_*_MAX of linux/limits.h, bytes. */
export const XATTR_NAME_BYTES_MAX = 255;
export const XATTR_VALUE_BYTES_MAX = 64 << 10;
export const XATTR_LIST_BYTES_MAX = 64 << 10;
/** Most hard links to one file: what a signed 32-bit st_nlink holds. */
export const LINKS_MAX = 0x7fff_ffff;
/** Longest file, bytes: every offset up to the end of file is an exact JavaScript number. */
export const FILE_BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** A file is cut into chunks of this size; the same in JuiceFS (pkg/meta/interface.go ChunkSize). */
export const CHUNK_BYTES = 64 << 20;
/** Default block size, bytes; a volume may choose a power of two between the two bounds below. */
export const BLOCK_BYTES_DEFAULT = 4 << 20;
export const BLOCK_BYTES_MIN = 64 << 10;
export const BLOCK_BYTES_MAX = 16 << 20;
/** Each block has one CRC32 for every page of this size of its plain bytes. */
export const CHECKSUM_PAGE_BYTES = 256 << 10;

/** The inode number of the root directory; the kernel's FUSE_ROOT_ID. */
export const ROOT_INO = 1;
/** First inode number given to a file. Numbers below are kept for special directories (trash). */
export const FIRST_INO = 16;

/**
 * The tables of a volume, declared once. Every metadata store derives its own form from this declaration: SQL
 * stores create real tables with typed columns, key-value stores encode rows. All rules about files live in the
 * engine (core/meta/); a store knows only these shapes.
 *
 * Column types: `int` is a JavaScript safe integer (64-bit in SQL); `bytes` a Uint8Array compared bytewise;
 * `text` a well-formed string without NUL. No column is nullable. The key columns come first, in key order; scans are ordered by them.
 */

/** Version of this declaration. A store that holds a higher one refuses to open; a lower one is migrated on open. */
export const SCHEMA_VERSION = 1;

export type ColumnType = "int" | "bytes" | "text";

export interface TableDeclaration {
  /** Key columns in order, then the others. */
  readonly key: Readonly<Record<string, ColumnType>>;
  readonly columns: Readonly<Record<string, ColumnType>>;
  /** Columns that hold the whole key of a record in another table; reads can follow them in the same round trip. */
  readonly references?: Readonly<Record<string, TableName>>;
}

export const tables = {
  /** Settings of the volume, one JSON document per name; `format` is written by `slayerfs format`. */
  volume: { key: { name: "text" }, columns: { value: "text" } },
  /** Allocators: next inode, next slice, next session. */
  counters: { key: { name: "text" }, columns: { value: "int" } },
  /** Attributes. `mode` has the type bits of stat(2); `parent` is a directory's parent (0 for other files);
   *  `flags` are FS_IOC_GETFLAGS bits; `sliceSeq` is the last position given out in this file's slice lists. `xattrBytes` is
   *  what the names of its extended attributes take in listxattr(2), 0 for a file that has none; `xattrKinds` says which
   *  of them change the rules for the file (core/meta/xattrs.ts). */
  inodes: {
    key: { ino: "int" },
    columns: {
      mode: "int",
      uid: "int",
      gid: "int",
      nlink: "int",
      rdev: "int",
      length: "int",
      parent: "int",
      flags: "int",
      sliceSeq: "int",
      xattrBytes: "int",
      xattrKinds: "int",
      atime: "int",
      atimeNsec: "int",
      mtime: "int",
      mtimeNsec: "int",
      ctime: "int",
      ctimeNsec: "int",
    },
  },
  /** Directory entries. `mode` repeats the inode's type bits (never its permissions), for readdir without attributes. */
  edges: {
    key: { parent: "int", name: "bytes" },
    columns: { ino: "int", mode: "int" },
    references: { ino: "inodes" },
  },
  symlinks: { key: { ino: "int" }, columns: { target: "bytes" } },
  /** Extended attributes by their whole names (`user.mime_type`). Those of a removed file go with `deletedFiles`. */
  xattrs: { key: { ino: "int", name: "bytes" }, columns: { value: "bytes" } },
  /** What was written where, in commit order: later `seq` wins. Bytes [off, off+len) of slice `sliceId` (which has
   *  `size` bytes in all) appear at [pos, pos+len) of the chunk. Slice id 0 is a run of zeros without an object. */
  slices: {
    key: { ino: "int", chunk: "int", seq: "int" },
    columns: { pos: "int", sliceId: "int", size: "int", off: "int", len: "int" },
    references: { sliceId: "sliceObjects" },
  },
  /** One record per slice whose blocks are in the object store. `refs` counts the records in `slices` that name it.
   *  `checksums`: CRC32 (u32 little-endian) of every 256 KiB page of each block's plain bytes, block after block. */
  sliceObjects: { key: { sliceId: "int" }, columns: { size: "int", refs: "int", checksums: "bytes" } },
  /** Slice ids handed to a session, [first, first+count). Written before any object of them is uploaded, so that the
   *  leftovers of a crashed session are found here and not by listing the bucket. */
  sliceRanges: { key: { session: "int", first: "int" }, columns: { count: "int" } },
  /** Clients that have the volume open. `info` is a JSON document for people (host, pid, mount point, version). */
  sessions: { key: { session: "int" }, columns: { heartbeatAt: "int", info: "text" } },
  /** Files without a name that a session still has open: their data goes with the last close or with the session. */
  sustained: { key: { session: "int", ino: "int" }, columns: {} },
  /** Files without a name or a user: their slices and extended attributes wait for deletion. The inode record is already gone. */
  deletedFiles: { key: { ino: "int" }, columns: { length: "int", xattrBytes: "int", deletedAt: "int" } },
  /** Slices without references: their objects wait for deletion. */
  deletedSlices: { key: { sliceId: "int" }, columns: { size: "int", deletedAt: "int" } },
  /** Each session's share of the volume's use, added to inside the commits that change it; readers sum all rows.
   *  A single row may be negative (deleting what another session created). */
  usage: { key: { session: "int" }, columns: { bytes: "int", inodes: "int" } },
  /** Advisory locks, one record per file that has any: flock(2) here, POSIX record locks in `plocks`. `holders` and
   *  `waiting` are JSON (core/meta/record_locks.ts, lock_state.ts). (`writer`, `stamp`) differs after every change: who wrote
   *  the record last, and a number that this session uses once. */
  flocks: { key: { ino: "int" }, columns: { writer: "int", stamp: "int", holders: "text", waiting: "text" } },
  plocks: { key: { ino: "int" }, columns: { writer: "int", stamp: "int", holders: "text", waiting: "text" } },
} as const satisfies Record<string, TableDeclaration0>;

/** TableDeclaration before TableName is known. */
interface TableDeclaration0 {
  readonly key: Readonly<Record<string, ColumnType>>;
  readonly columns: Readonly<Record<string, ColumnType>>;
  readonly references?: Readonly<Record<string, string>>;
}

export type Tables = typeof tables;
export type TableName = keyof Tables;
export const tableNames = Object.keys(tables) as TableName[];

/** The declaration of a table without its literal types, for stores that treat all tables alike. */
export function declarationOf(table: TableName): TableDeclaration {
  return tables[table] as unknown as TableDeclaration;
}

type TypeOf<C> = C extends "int" ? number : C extends "bytes" ? Uint8Array : string;
type RowOf<C> = { -readonly [K in keyof C]: TypeOf<C[K]> };

/** Key columns and other columns of a record, without its version. */
export type Row<T extends TableName> = RowOf<Tables[T]["key"]> & RowOf<Tables[T]["columns"]>;
/** The non-key columns of a record: what `put` writes. */
export type Columns<T extends TableName> = RowOf<Tables[T]["columns"]>;

export type InodeRow = Row<"inodes">;
export type EdgeRow = Row<"edges">;
export type SliceRow = Row<"slices">;
export type SliceObjectRow = Row<"sliceObjects">;

/** Every case of the suite, by topic. */
import type { Case } from "./harness.ts";
import { cases as acl } from "./cases/acl.ts";
import { cases as chmod } from "./cases/chmod.ts";
import { cases as chown } from "./cases/chown.ts";
import { cases as create } from "./cases/create.ts";
import { cases as flock } from "./cases/flock.ts";
import { cases as inodeFlags } from "./cases/inode_flags.ts";
import { cases as io } from "./cases/io.ts";
import { cases as link } from "./cases/link.ts";
import { cases as mmap } from "./cases/mmap.ts";
import { cases as open } from "./cases/open.ts";
import { cases as paths } from "./cases/paths.ts";
import { cases as permission } from "./cases/permission.ts";
import { cases as readOnly } from "./cases/read_only.ts";
import { cases as readdir } from "./cases/readdir.ts";
import { cases as recordLocks } from "./cases/record_locks.ts";
import { cases as rename } from "./cases/rename.ts";
import { cases as space } from "./cases/space.ts";
import { cases as statfs } from "./cases/statfs.ts";
import { cases as sticky } from "./cases/sticky.ts";
import { cases as symlink } from "./cases/symlink.ts";
import { cases as truncate } from "./cases/truncate.ts";
import { cases as unlink } from "./cases/unlink.ts";
import { cases as utimensat } from "./cases/utimensat.ts";
import { cases as xattr } from "./cases/xattr.ts";

export const topics: Readonly<Record<string, readonly Case[]>> = {
  acl,
  chmod,
  chown,
  create,
  flock,
  "inode flags": inodeFlags,
  io,
  link,
  mmap,
  open,
  paths,
  permission,
  "read only": readOnly,
  readdir,
  "record locks": recordLocks,
  rename,
  space,
  statfs,
  sticky,
  symlink,
  truncate,
  unlink,
  utimensat,
  xattr,
};

export const suite: readonly Case[] = Object.values(topics).flat();

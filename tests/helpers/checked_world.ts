/** A volume in memory whose operations check permissions, as for users of the library, and callers of it. */
import { createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { createMemoryObjectStore } from "../../backends/object/memory.ts";
import { FsError } from "../../core/errors.ts";
import { ROOT_INO } from "../../core/limits.ts";
import {
  type Acl,
  ACL_GROUP_OBJ,
  ACL_MASK,
  ACL_OTHER,
  ACL_UNDEFINED_ID,
  ACL_USER,
  ACL_USER_OBJ,
  parseAcl,
} from "../../core/meta/acl.ts";
import { ACCESS_ACL_NAME } from "../../core/meta/special_xattrs.ts";
import type { MetaStore } from "../../core/meta/store.ts";
import { type Caller, O_RDWR } from "../../core/vfs/types.ts";
import { formatVolume, openVolume } from "../../core/volume.ts";
import { checkMetadata } from "./check_metadata.ts";
import { bytes, quietEnv } from "./memory_world.ts";

export const root: Caller = { uid: 0, gid: 0, pid: 1 };
export const alice: Caller = { uid: 1000, gid: 1000, pid: 2 };
export const bob: Caller = { uid: 1001, gid: 1001, pid: 3 };

/** u::, u:ID:, g::, m::, o:: with these permissions; without a named user and a mask if `named` is null. */
export function acl(
  owner: number,
  named: readonly [uid: number, perm: number] | null,
  group: number,
  mask: number,
  others: number,
): Acl {
  const entry = (tag: number, perm: number, id = ACL_UNDEFINED_ID) => ({ tag, perm, id });
  return [
    entry(ACL_USER_OBJ, owner),
    ...(named === null ? [] : [entry(ACL_USER, named[1], named[0])]),
    entry(ACL_GROUP_OBJ, group),
    ...(named === null ? [] : [entry(ACL_MASK, mask)]),
    entry(ACL_OTHER, others),
  ];
}

/** Opens a fresh volume. `finish` closes it and checks its metadata. */
export async function checkedWorld(
  format: { acl?: boolean } = {},
  meta: MetaStore = createMemoryMetaStore(),
) {
  const settings = { name: "xattrs", storage: "memory", bucket: "memory:", rootMode: 0o777, ...format };
  const { format: record } = await formatVolume(meta, settings, quietEnv);
  const open = () =>
    openVolume({
      meta,
      objects: createMemoryObjectStore(),
      format: record,
      env: quietEnv,
      options: { client: { host: "test", pid: 1, version: "0" }, checkPermissions: true },
    });
  const volume = await open();
  const { vfs } = volume;
  return {
    meta,
    volume,
    vfs,
    async file(name: string, mode = 0o644, caller = root, parent = ROOT_INO) {
      const { attr, handle } = await vfs.create(caller, parent, bytes(name), mode, O_RDWR, 0);
      await vfs.release(attr.ino, handle);
      return attr.ino;
    },
    async directory(name: string, mode = 0o755, caller = root, parent = ROOT_INO) {
      return (await vfs.mkdir(caller, parent, bytes(name), mode, 0)).attr.ino;
    },
    mode: async (ino: number) => (await vfs.getattr(root, ino, 0)).attr.mode & 0o7777,
    aclOf: async (ino: number, name = ACCESS_ACL_NAME) => {
      const value = await Promise.resolve().then(() => vfs.getxattr(root, ino, name)).catch(() => null);
      return value === null ? null : parseAcl(value);
    },
    async finish() {
      await volume.close();
      await checkMetadata(meta, { sessionsEnded: true });
    },
  };
}

/** The errno of a call, `ok` if it succeeds. */
export async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return "ok";
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

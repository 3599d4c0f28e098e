/** POSIX ACLs as the kernel takes them: the value of system.posix_acl_access and system.posix_acl_default. */
import { getxattr, type Path, setxattr } from "./sys.ts";

const tags = { user: 0x01, namedUser: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 } as const;
const undefinedId = 0xffffffff;

/** Written as setfacl does: "u::rwx,u:1000:r-x,g::r--,m::rwx,o::---". */
export function aclValue(text: string): Uint8Array {
  const entries = text.split(",").map(parseEntry);
  const order: readonly number[] = Object.values(tags);
  entries.sort((a, b) => order.indexOf(a.tag) - order.indexOf(b.tag) || a.id - b.id);
  return encodeAcl(entries);
}

export interface AclEntry {
  readonly tag: number;
  readonly bits: number;
  readonly id: number;
}

/** Layout of linux/posix_acl_xattr.h: version 2, then tag, bits and id of each entry. */
export function encodeAcl(entries: readonly AclEntry[], version = 2): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  view.setUint32(0, version, true);
  entries.forEach(({ tag, bits, id }, index) => {
    view.setUint16(4 + 8 * index, tag, true);
    view.setUint16(6 + 8 * index, bits, true);
    view.setUint32(8 + 8 * index, id, true);
  });
  return new Uint8Array(view.buffer);
}

function parseEntry(text: string): AclEntry {
  const [kind, name, letters] = text.split(":");
  const id = name === undefined || name === "" ? undefinedId : Number(name);
  const tag = kind === "u"
    ? (id === undefinedId ? tags.user : tags.namedUser)
    : kind === "g"
    ? (id === undefinedId ? tags.group : tags.namedGroup)
    : kind === "m"
    ? tags.mask
    : tags.other;
  const bits = [..."rwx"].reduce(
    (sum, letter, index) => sum + ((letters ?? "").includes(letter) ? 4 >> index : 0),
    0,
  );
  return { tag, bits, id };
}

export const setAcl = (path: Path, text: string) => setxattr(path, "system.posix_acl_access", aclValue(text));
export const setDefaultAcl = (path: Path, text: string) =>
  setxattr(path, "system.posix_acl_default", aclValue(text));

/** The ACL as text, or minus the errno (ENODATA: only the mode). */
export const aclOf = (path: Path) => aclText(getxattr(path, "system.posix_acl_access"));
export const defaultAclOf = (path: Path) => aclText(getxattr(path, "system.posix_acl_default"));

function aclText(value: Uint8Array | number): string | number {
  if (typeof value === "number") return value;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const entries: string[] = [];
  for (let at = 4; at < value.length; at += 8) {
    const tag = view.getUint16(at, true);
    const bits = view.getUint16(at + 2, true);
    const id = view.getUint32(at + 4, true);
    const kind = tag === tags.user || tag === tags.namedUser
      ? "u"
      : tag === tags.group || tag === tags.namedGroup
      ? "g"
      : tag === tags.mask
      ? "m"
      : "o";
    const letters = [..."rwx"].map((letter, index) => (bits & (4 >> index)) !== 0 ? letter : "-").join("");
    entries.push(`${kind}:${id === undefinedId ? "" : id}:${letters}`);
  }
  return entries.join(",");
}

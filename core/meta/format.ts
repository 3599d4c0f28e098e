/** The volume's settings, written once by `format` and read by everyone who opens it. */
import { assert } from "../assert.ts";
import type { Env } from "../env.ts";
import { UserError } from "../errors.ts";
import { BLOCK_BYTES_DEFAULT, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, FIRST_INO, ROOT_INO } from "../limits.ts";
import { accountedBytes, DIRECTORY_LENGTH, newInode, S_IFDIR } from "./attr.ts";
import { checkAbsent, type MetaStore, put, read } from "./store.ts";

/** Version of this record; a volume with a higher one is refused. */
export const FORMAT_VERSION = 1;

export interface VolumeFormat {
  readonly formatVersion: number;
  /** Prefix of every object key. */
  readonly name: string;
  readonly uuid: string;
  /** Kind of object store, and its URL without secrets. */
  readonly storage: string;
  readonly bucket: string;
  readonly blockBytes: number;
  readonly compression: "none";
  /** POSIX access control lists: docs/adr/0007-acl.md. */
  readonly acl: boolean;
  /** Limits, 0 for none. */
  readonly capacityBytes: number;
  readonly inodesMax: number;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** What the operator chooses. */
export interface FormatSettings {
  readonly name: string;
  readonly storage: string;
  readonly bucket: string;
  readonly blockBytes?: number;
  readonly capacityBytes?: number;
  readonly inodesMax?: number;
  /** Default: true. */
  readonly acl?: boolean;
  /** Permissions and owner of the root directory. */
  readonly rootMode?: number;
  readonly rootUid?: number;
  readonly rootGid?: number;
}

/** The exit code of commands that find no volume behind a META-URL. */
export const EXIT_NOT_FORMATTED = 3;

/** The settings of the volume in this store; null if it was never formatted. */
export async function readFormat(meta: MetaStore): Promise<VolumeFormat | null> {
  const [found] = await meta.get([read("volume", ["format"])]);
  if (found === null) return null;
  const format = JSON.parse(found.row.value) as VolumeFormat;
  if (format.formatVersion > FORMAT_VERSION) {
    throw new UserError(
      `volume ${format.name} has format version ${format.formatVersion}, this slayerfs knows up to ${FORMAT_VERSION}: use a newer slayerfs`,
    );
  }
  return format;
}

/**
 * Makes a volume: settings, counters, root directory, in one commit. A store that has a volume keeps it: the same
 * settings again are fine (`created` is false), others are a UserError that names the differences.
 */
export async function formatVolume(
  meta: MetaStore,
  settings: FormatSettings,
  env: Env,
): Promise<{ readonly format: VolumeFormat; readonly created: boolean }> {
  const format: VolumeFormat = {
    formatVersion: FORMAT_VERSION,
    name: checkVolumeName(settings.name),
    uuid: uuidOf(env.randomBytes(16)),
    storage: settings.storage,
    bucket: settings.bucket,
    blockBytes: checkBlockBytes(settings.blockBytes ?? BLOCK_BYTES_DEFAULT),
    compression: "none",
    acl: settings.acl ?? true,
    capacityBytes: settings.capacityBytes ?? 0,
    inodesMax: settings.inodesMax ?? 0,
    createdAt: new Date(env.now().sec * 1000).toISOString(),
  };
  const existing = await readFormat(meta);
  if (existing !== null) return { format: requireSame(existing, format), created: false };
  const { ino: _, ...root } = newInode(ROOT_INO, {
    mode: S_IFDIR | (settings.rootMode ?? 0o755),
    uid: settings.rootUid ?? 0,
    gid: settings.rootGid ?? 0,
    nlink: 2,
    length: DIRECTORY_LENGTH,
    parent: ROOT_INO,
  }, env.now());
  const result = await meta.commit({
    checks: [checkAbsent("volume", ["format"]), checkAbsent("inodes", [ROOT_INO])],
    writes: [
      put("volume", ["format"], { value: JSON.stringify(format) }),
      put("inodes", [ROOT_INO], root),
      put("counters", ["nextInode"], { value: FIRST_INO }),
      put("counters", ["nextSlice"], { value: 1 }),
      put("counters", ["nextSession"], { value: 1 }),
      put("usage", [0], { bytes: accountedBytes(root.mode, root.length), inodes: 1 }),
    ],
  }, { durability: "synced" });
  if (result.ok) return { format, created: true };
  // Somebody formatted it at the same moment.
  const winner = await readFormat(meta);
  assert(winner !== null, "a volume has a root directory but no format record");
  return { format: requireSame(winner, format), created: false };
}

function requireSame(existing: VolumeFormat, wanted: VolumeFormat): VolumeFormat {
  const settings = [
    "name",
    "storage",
    "bucket",
    "blockBytes",
    "compression",
    "acl",
    "capacityBytes",
    "inodesMax",
  ] as const;
  const differences = settings.filter((key) => existing[key] !== wanted[key])
    .map((key) => `${key} is ${existing[key]}, not ${wanted[key]}`);
  if (differences.length > 0) {
    throw new UserError(
      `there is already a volume ${existing.name} with other settings (${
        differences.join("; ")
      }): nothing was changed`,
    );
  }
  return existing;
}

function checkVolumeName(name: string): string {
  // The rule of JuiceFS (cmd/format.go), so that volumes can be exchanged: the name is a part of every object key.
  if (!/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(name)) {
    throw new UserError(
      `${
        JSON.stringify(name)
      } is no volume name: use 3 to 63 lower-case letters, digits and hyphens, not at the ends`,
      2,
    );
  }
  return name;
}

function checkBlockBytes(blockBytes: number): number {
  const isPowerOfTwo = Number.isInteger(Math.log2(blockBytes));
  if (!isPowerOfTwo || blockBytes < BLOCK_BYTES_MIN || blockBytes > BLOCK_BYTES_MAX) {
    throw new UserError(
      `the block size must be a power of two from ${BLOCK_BYTES_MIN >> 10} KiB to ${
        BLOCK_BYTES_MAX >> 10
      } KiB`,
      2,
    );
  }
  return blockBytes;
}

/** RFC 9562 version 4 from 16 random bytes. */
function uuidOf(bytes: Uint8Array): string {
  const hex = [...bytes].map((byte, i) => {
    if (i === 6) byte = (byte & 0x0f) | 0x40;
    if (i === 8) byte = (byte & 0x3f) | 0x80;
    return byte.toString(16).padStart(2, "0");
  }).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

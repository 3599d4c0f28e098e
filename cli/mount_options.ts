/** The options of `mount -o`, as mount(8), mount.fuse(8), exports(5) and fstab write them. */
import { UserError } from "../core/errors.ts";
import type { AtimeMode } from "../core/vfs/atime.ts";
import { ExitCode } from "./exit_code.ts";

export interface MountOptions {
  readonly readOnly?: boolean;
  readonly fsName?: string;
  readonly atime?: AtimeMode;
  readonly nodiratime?: boolean;
  readonly nodev?: boolean;
  readonly nosuid?: boolean;
  readonly noexec?: boolean;
  readonly allowOther?: boolean;
  readonly defaultPermissions?: boolean;
  readonly rootSquash?: boolean;
  readonly allSquash?: boolean;
  readonly anonUid?: number;
  readonly anonGid?: number;
  /** Shown as owner and group of every file. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface ParsedOptions {
  readonly options: MountOptions;
  /** Words that are long flags of the command: `buffer-size=300` is `--buffer-size 300`. */
  readonly flags: readonly { readonly name: string; readonly value: string | undefined }[];
  /** Words that mean nothing to anybody; only if they are to be tolerated. */
  readonly unknown: readonly string[];
}

const words: Readonly<Record<string, MountOptions>> = {
  ro: { readOnly: true },
  rw: { readOnly: false },
  atime: { atime: "relatime" },
  relatime: { atime: "relatime" },
  nostrictatime: { atime: "relatime" },
  strictatime: { atime: "strictatime" },
  noatime: { atime: "noatime" },
  diratime: { nodiratime: false },
  nodiratime: { nodiratime: true },
  dev: { nodev: false },
  nodev: { nodev: true },
  suid: { nosuid: false },
  nosuid: { nosuid: true },
  exec: { noexec: false },
  noexec: { noexec: true },
  // Who lets others mount does not let them bring devices and set-user-ID programs: mount(8).
  user: { nodev: true, nosuid: true, noexec: true },
  users: { nodev: true, nosuid: true, noexec: true },
  owner: { nodev: true, nosuid: true },
  group: { nodev: true, nosuid: true },
  allow_other: { allowOther: true },
  noallow_other: { allowOther: false },
  default_permissions: { defaultPermissions: true },
  nodefault_permissions: { defaultPermissions: false },
  root_squash: { rootSquash: true },
  no_root_squash: { rootSquash: false },
  all_squash: { allSquash: true },
  no_all_squash: { allSquash: false },
};

const valued: Readonly<Record<string, (value: string) => MountOptions>> = {
  fsname: (value) => ({ fsName: value }),
  anonuid: (value) => ({ anonUid: parseId(value) }),
  anongid: (value) => ({ anonGid: parseId(value) }),
  uid: (value) => ({ uid: parseId(value) }),
  gid: (value) => ({ gid: parseId(value) }),
};

/** Words that fstab lines carry for mount(8) and systemd, or that say what is so anyway. */
const ignored =
  /^(defaults|auto|noauto|nouser|user=.*|nofail|_netdev|async|nosync|lazytime|nolazytime|loud|silent|[xX]-.*|comment=.*)$/;

/** What cannot be had this way, and what to do instead. */
const refused: Readonly<Record<string, string>> = {
  remount: "a running mount keeps its options; unmount it and mount it again",
  sync: "programs ask for it with fsync and O_SYNC, files with chattr +S",
  dirsync: "programs ask for it with fsync of the directory",
};

/** Reads comma-separated options; later ones win. `flagNames`: the long flags that may stand among them. */
export function parseMountOptions(
  lists: readonly string[],
  { flagNames = [], tolerant = false }: {
    readonly flagNames?: readonly string[];
    readonly tolerant?: boolean;
  } = {},
): ParsedOptions {
  let options: MountOptions = {};
  const flags: { name: string; value: string | undefined }[] = [];
  const unknown: string[] = [];
  for (const word of lists.flatMap((list) => list.split(",")).map((each) => each.trim())) {
    if (word === "") continue;
    const equals = word.indexOf("=");
    const name = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? undefined : word.slice(equals + 1);
    const known = value === undefined ? own(words, name) : parseValued(name, value);
    if (known !== undefined) options = { ...options, ...known };
    else if (flagNames.includes(name)) flags.push({ name, value });
    else if (tolerant) unknown.push(word);
    else if (!ignored.test(word)) throw notSupported(word, name, flagNames);
  }
  return { options, flags, unknown: unknown.filter((word) => !ignored.test(word)) };
}

/** A user's or group's number; -1 is no number of anybody: chown(2). */
export function parseId(value: string): number {
  const id = Number(value);
  if (/^\d{1,10}$/.test(value) && id < 0xffff_ffff) return id;
  throw new UserError(`${JSON.stringify(value)} is no number of a user or group`, ExitCode.usage);
}

/** `UID:GID`, as JuiceFS writes it. */
export function parseIds(value: string): { readonly uid: number; readonly gid: number } {
  const parts = /^([^:]*):([^:]*)$/.exec(value);
  if (parts === null) {
    throw new UserError(`${JSON.stringify(value)} is not UID:GID, for example 65534:65534`, ExitCode.usage);
  }
  return { uid: parseId(parts[1] ?? ""), gid: parseId(parts[2] ?? "") };
}

function parseValued(name: string, value: string): MountOptions | undefined {
  const parse = own(valued, name);
  if (parse === undefined) return undefined;
  if (value === "") throw new UserError(`-o ${name}= has no value`, ExitCode.usage);
  try {
    return parse(value);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`-o ${name}=: ${error.message}`, ExitCode.usage) : error;
  }
}

function notSupported(word: string, name: string, flagNames: readonly string[]): UserError {
  const instead = own(refused, name);
  if (instead !== undefined) return new UserError(`-o ${word} is not supported: ${instead}`, ExitCode.usage);
  const known = [...Object.keys(words), ...Object.keys(valued).map((each) => `${each}=`)].sort();
  const andFlags = flagNames.length > 0 ? ", and the long flags without their dashes" : "";
  return new UserError(
    `-o ${word} is not supported; known are ${known.join(", ")}${andFlags}`,
    ExitCode.usage,
  );
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** Makes up the next command of a sequence, looking at the reference so that most commands hit something. */
import { type Command, type OpenHow, SLOTS } from "./commands.ts";
import type { Random } from "./random.ts";
import type { ReferenceFs } from "./reference_fs.ts";

export interface GenerateOptions {
  /** The volume can be closed and opened again. */
  readonly reopen: boolean;
  /** Paths and link targets may contain `..`. Off where a path could lead out of the directory under test. */
  readonly dotdot: boolean;
}

const NAMES = ["a", "b", "c", "d", "e"];
const DEPTH_MAX = 4;
const CHUNK_BYTES = 64 << 20;

export function nextCommand(random: Random, reference: ReferenceFs, options: GenerateOptions): Command {
  const slot = random.below(SLOTS);
  const path = () => somePath(random, reference, options);
  const open = (): Command => ({
    op: "open",
    slot,
    path: path(),
    how: random.pick(hows),
    mode: random.pick([0o666, 0o644, 0o600, 0o777, 0o444]),
  });
  // Half of the commands work on open files.
  if (random.chance(0.5)) return reference.isOpen(slot) ? openFileCommand(random, reference, slot) : open();
  const mode = random.pick([0o777, 0o755, 0o700, 0o1777]);
  switch (random.pick(weighted)) {
    case "open":
      return open();
    case "mkdir":
      return { op: "mkdir", path: path(), mode };
    case "remove":
      return { op: "remove", path: path() };
    case "removeTree":
      return { op: "removeTree", path: path() };
    case "rename":
      return {
        op: "rename",
        from: path(),
        to: path(),
        flag: random.pick(["", "", "", "", "noReplace", "exchange"]),
      };
    case "link":
      return { op: "link", from: path(), to: path() };
    case "symlink":
      return { op: "symlink", target: linkTarget(random, reference, options), path: path() };
    case "readlink":
      return { op: "readlink", path: path() };
    case "readdir":
      return { op: "readdir", path: random.chance(0.2) ? "/" : path() };
    case "stat":
      return { op: random.chance(0.5) ? "stat" : "lstat", path: path() };
    case "truncate":
      return { op: "truncate", path: path(), length: someOffset(random, 100_000) };
    case "chmod":
      return {
        op: "chmod",
        path: path(),
        mode: random.pick([0o644, 0o600, 0o755, 0o4755, 0o2755, 0o2644, 0o1777, 0]),
      };
    case "chown":
      return { op: "chown", path: path(), uid: random.below(3), gid: random.below(3) };
    case "utime":
      return { op: "utime", path: path(), atimeMs: someTimeMs(random), mtimeMs: someTimeMs(random) };
    case "reopen":
      return options.reopen ? { op: "reopen" } : { op: "readdir", path: "/" };
  }
}

const weights = {
  open: 16,
  mkdir: 10,
  remove: 12,
  removeTree: 2,
  rename: 16,
  link: 7,
  symlink: 6,
  readlink: 2,
  readdir: 5,
  stat: 8,
  truncate: 6,
  chmod: 4,
  chown: 3,
  utime: 5,
  reopen: 1,
};
const weighted = Object.entries(weights).flatMap(([op, weight]) =>
  Array.from({ length: weight }, () => op as keyof typeof weights)
);

const none: OpenHow = {
  read: false,
  write: false,
  append: false,
  create: false,
  createNew: false,
  truncate: false,
};
const hows: OpenHow[] = [
  { ...none, read: true },
  { ...none, read: true, write: true },
  { ...none, read: true, write: true, create: true },
  { ...none, read: true, write: true, create: true },
  { ...none, read: true, write: true, create: true, truncate: true },
  { ...none, read: true, write: true, createNew: true },
  { ...none, write: true, create: true },
  { ...none, write: true, append: true, create: true },
  { ...none, read: true, write: true, append: true },
];

function openFileCommand(random: Random, reference: ReferenceFs, slot: number): Command {
  const length = reference.openLength(slot);
  const fill = random.below(1 << 30);
  switch (random.below(13)) {
    case 0:
      return { op: "close", slot };
    case 1:
      return { op: "fstat", slot };
    case 2:
      return { op: "fsync", slot };
    case 3:
      return {
        op: "seek",
        slot,
        offset: random.below(length + 1000) - (random.chance(0.1) ? 2000 : 0),
        whence: 0,
      };
    case 4:
      return { op: "seek", slot, offset: random.below(2000) - 1000, whence: random.pick([1, 2]) };
    case 5:
      return { op: "ftruncate", slot, length: someOffset(random, length) };
    case 6:
      return { op: "read", slot, length: someLength(random) };
    case 7:
    case 8:
      return { op: "readAt", slot, offset: someOffset(random, length), length: someLength(random) };
    case 9:
      return { op: "write", slot, length: someLength(random), fill };
    default:
      return { op: "writeAt", slot, offset: someOffset(random, length), length: someLength(random), fill };
  }
}

/** Around what matters: the start, the end of the file, blocks, checksum pages, now and then chunks. */
function someOffset(random: Random, fileLength: number): number {
  const near = (at: number) => Math.max(0, at + random.below(65) - 32);
  const kind = random.below(20);
  if (kind < 3) return 0;
  if (kind < 6) return fileLength;
  if (kind < 8) return fileLength + random.below(100_000);
  if (kind < 10) return near(fileLength);
  if (kind < 12) return near(random.below(8) * 65536);
  if (kind < 13) return near(random.below(4) * 262144);
  if (kind === 19 && random.chance(0.4)) return near(CHUNK_BYTES * (1 + random.below(2)));
  return random.below(Math.min(fileLength, 1 << 20) + 1);
}

function someLength(random: Random): number {
  const kind = random.below(20);
  if (kind < 6) return 1 + random.below(100);
  if (kind < 14) return 1 + random.below(8192);
  if (kind < 19) return 1 + random.below(200_000);
  return 1 + random.below(1 << 20);
}

function someTimeMs(random: Random): number {
  return random.pick([0, 1, -1, 999, 1_700_000_000_123, 253_402_300, 9_000_000_000_000]) + random.below(1000);
}

function somePath(random: Random, reference: ReferenceFs, options: GenerateOptions): string {
  const known = reference.paths();
  const kind = random.below(20);
  if (kind < 13 && known.length > 0) return decorated(random, random.pick(known).path);
  const directories = ["", ...known.filter((each) => each.kind === "directory").map((each) => each.path)]
    .filter((path) => path.split("/").length <= DEPTH_MAX);
  if (kind < 18) return decorated(random, `${random.pick(directories)}/${random.pick(NAMES)}`);
  if (options.dotdot && random.chance(0.7)) {
    const parts = Array.from({ length: 1 + random.below(4) }, () => random.pick([...NAMES, "..", ".", ".."]));
    return (random.chance(0.5) ? "/" : "") + parts.join("/");
  }
  // Under a directory that stands for it, the root would be a name like others.
  return random.pick([
    options.dotdot ? "/" : "/.",
    "/.",
    "/nowhere/x",
    "/a/b/c/d",
    "/a//b",
    "/./a",
    "/a/.",
    `/${random.pick(NAMES)}/.`,
  ]);
}

/** Now and then with what must not matter, or matters only for what is no directory. */
function decorated(random: Random, path: string): string {
  const kind = random.below(40);
  if (kind === 0) return `${path}/`;
  if (kind === 1) return `/${path}`;
  if (kind === 2) return `${path}/.`;
  if (kind === 3 && path.startsWith("/")) return path.slice(1);
  return path;
}

function linkTarget(random: Random, reference: ReferenceFs, options: GenerateOptions): string {
  if (random.chance(0.6)) {
    // A link to the root would make `link/..` leave the directory under test.
    const path = somePath(random, reference, { ...options, dotdot: options.dotdot });
    return options.dotdot || /[^/.]/.test(path) ? path : "/a";
  }
  const targets = [
    "a",
    "b",
    "./c",
    "a/b",
    "missing",
    "d/",
    "a/../b",
    ...(options.dotdot ? ["../a", "..", "."] : []),
  ];
  return random.pick(targets);
}

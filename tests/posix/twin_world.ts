/**
 * Two directories that are told the same: a host's own, and one on the file system under test. Random calls as several users
 * over a handful of names; after each, the results, the attributes of every name and which times moved must be alike.
 *
 * Invariant: both sides have seen the same calls, so open descriptors are kept in pairs.
 */
import { AT, errnoName, FALLOC, O, RENAME, S } from "./abi.ts";
import { encodeAcl } from "./acl_format.ts";
import { removeTree } from "./files.ts";
import { alice, as, bob, root, type User } from "./identity.ts";
import * as sys from "./sys.ts";
import * as file from "./sys_file.ts";

/** A call on one side: `at` makes a path of names, `fd` the side's descriptor. */
interface Step {
  readonly text: string;
  readonly user: User;
  readonly run: (side: Side) => unknown;
}

interface Side {
  readonly base: string;
  readonly fds: (number | undefined)[];
  /** What the names were after the step before. */
  before: Map<string, sys.Stat>;
}

type Random = (below: number) => number;

const names = ["a", "b", "c"];
/** Every path the walk knows, by level: three names on each of three. */
const level1 = names;
const level2 = level1.flatMap((x) => names.map((y) => `${x}/${y}`));
const level3 = level2.flatMap((x) => names.map((y) => `${x}/${y}`));
const paths: readonly string[] = [...level1, ...level2, ...level3];
/** Most calls meet a name that exists. */
const levels: readonly (readonly string[])[] = [level1, level1, level1, level2, level2, level3];
const users: readonly User[] = [
  root,
  root,
  alice,
  alice,
  bob,
  { ...alice, groups: [bob.gid] },
  { uid: bob.uid, gid: alice.gid },
];
const ids = [-1, 0, alice.uid, bob.uid];
const modes = [
  0o777,
  0o777,
  0o755,
  0o700,
  0o770,
  0o644,
  0o666,
  0o1777,
  0o2775,
  0o4755,
  0o6777,
  0o2755,
  0o555,
  0o070,
];
const fdSlots = 4;

/** 32-bit xorshift: the same seed, the same walk. */
function randomFrom(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

function pick<V>(random: Random, values: readonly V[]): V {
  return values[random(values.length)] as V;
}

/** The next call. */
function nextStep(random: Random): Step {
  const user = pick(random, users);
  const [p, q] = [pick(random, pick(random, levels)), pick(random, pick(random, levels))];
  const mode = pick(random, modes);
  const slot = random(fdSlots);
  const [uid, gid] = [pick(random, ids), pick(random, ids)];
  const offset = random(9000);
  const length = 1 + random(9000);
  const flags = pick(random, [0, 0, RENAME.NOREPLACE, RENAME.EXCHANGE]);
  const openFlags = pick(random, [O.RDONLY, O.WRONLY, O.RDWR, O.RDWR]) |
    pick(random, [0, O.CREAT, O.CREAT, O.TRUNC]) |
    pick(random, [0, 0, O.EXCL, O.APPEND, O.NOFOLLOW, O.DIRECTORY]) | O.NONBLOCK;
  const type = pick(random, [S.IFREG, S.IFREG, S.IFIFO, S.IFSOCK, S.IFCHR]);
  const target = pick(random, [q, "a", "../b", "../../c", ".", "gone", "b/c"]);
  const nofollow = pick(random, [0, AT.SYMLINK_NOFOLLOW]);
  const time: sys.Time = [
    random(3) === 0 ? 0 : 1000 + random(100),
    pick(random, [0, 7, 0x3fffffff, 0x3ffffffe]),
  ];
  const acl = randomAcl(random);
  const at = (side: Side, path: string) => `${side.base}/${path}`;
  const fd = (side: Side) => side.fds[slot] ?? 987;
  const step = (text: string, run: Step["run"]): Step => ({ text, user, run });
  const table: readonly (() => Step)[] = [
    () =>
      step(`open ${p} ${openFlags.toString(8)} ${mode.toString(8)} -> ${slot}`, (side) => {
        const opened = sys.open(at(side, p), openFlags, mode);
        if (opened < 0) return opened;
        const old = side.fds[slot];
        if (old !== undefined) file.close(old);
        side.fds[slot] = opened;
        return 0;
      }),
    () => step(`mkdir ${p} ${mode.toString(8)}`, (side) => sys.mkdir(at(side, p), mode)),
    () => step(`mkdir ${p} ${mode.toString(8)}`, (side) => sys.mkdir(at(side, p), mode)),
    () => step(`mknod ${p} ${(type | mode).toString(8)}`, (side) => sys.mknod(at(side, p), type, mode, 259)),
    () => step(`symlink ${target} ${p}`, (side) => sys.symlink(target, at(side, p))),
    () => step(`link ${p} ${q}`, (side) => sys.link(at(side, p), at(side, q))),
    () => step(`unlink ${p}`, (side) => sys.unlink(at(side, p))),
    () => step(`rmdir ${p}`, (side) => sys.rmdir(at(side, p))),
    () => step(`rename ${p} ${q} ${flags}`, (side) => sys.rename(at(side, p), at(side, q), flags)),
    () => step(`rename ${p} ${q} ${flags}`, (side) => sys.rename(at(side, p), at(side, q), flags)),
    () => step(`chmod ${p} ${mode.toString(8)}`, (side) => sys.chmod(at(side, p), mode)),
    () => step(`chown ${p} ${uid}:${gid}`, (side) => sys.chown(at(side, p), uid, gid)),
    () => step(`lchown ${p} ${uid}:${gid}`, (side) => sys.lchown(at(side, p), uid, gid)),
    () => step(`truncate ${p} ${length}`, (side) => sys.truncate(at(side, p), length)),
    () =>
      step(
        `utimens ${p} ${time} ${nofollow}`,
        (side) => sys.utimens(at(side, p), time, [5, time[1]], nofollow),
      ),
    () => step(`access ${p} ${mode & 7}`, (side) => sys.access(at(side, p), mode & 7)),
    () => step(`readlink ${p}`, (side) => textOf(sys.readlink(at(side, p)))),
    () => step(`list ${p}`, (side) => listing(at(side, p))),
    () => step(`setxattr ${p}`, (side) => sys.setxattr(at(side, p), "user.a", `${length}`)),
    () => step(`getxattr ${p}`, (side) => textOf(sys.getxattr(at(side, p), "user.a"))),
    () => step(`removexattr ${p}`, (side) => sys.removexattr(at(side, p), "user.a")),
    () => step(`setxattr ${p} access ACL ${acl}`, (side) => sys.setxattr(at(side, p), accessName, acl)),
    () => step(`setxattr ${p} default ACL ${acl}`, (side) => sys.setxattr(at(side, p), defaultName, acl)),
    () => step(`removexattr ${p} default ACL`, (side) => sys.removexattr(at(side, p), defaultName)),
    () =>
      step(
        `pwrite ${slot} ${offset}+${length}`,
        (side) => file.pwrite(fd(side), filled(length, offset), offset),
      ),
    () => step(`write ${slot} ${length}`, (side) => file.write(fd(side), filled(length, slot))),
    () => step(`pread ${slot} ${offset}`, (side) => file.pread(fd(side), length, offset)),
    () => step(`ftruncate ${slot} ${length}`, (side) => file.ftruncate(fd(side), length)),
    () => step(`fchmod ${slot} ${mode.toString(8)}`, (side) => file.fchmod(fd(side), mode)),
    () => step(`fchown ${slot} ${uid}:${gid}`, (side) => file.fchown(fd(side), uid, gid)),
    () =>
      step(`fallocate ${slot} ${offset}+${length}`, (side) => file.fallocate(fd(side), 0, offset, length)),
    () =>
      step(`punch ${slot} ${offset}+${length}`, (side) => file.fallocate(fd(side), punch, offset, length)),
    () => step(`fsync ${slot}`, (side) => file.fsync(fd(side))),
    () => step(`fstat ${slot}`, (side) => attributes(sys.fstat(fd(side)))),
    () =>
      step(`close ${slot}`, (side) => {
        const result = file.close(fd(side));
        side.fds[slot] = undefined;
        return result;
      }),
  ];
  return pick(random, table)();
}

const punch = FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE;
const accessName = "system.posix_acl_access";
const defaultName = "system.posix_acl_default";

function randomAcl(random: Random): Uint8Array {
  const bits = () => pick(random, [0, 4, 5, 6, 7, 7]);
  const unnamed = 0xffffffff;
  return encodeAcl([
    { tag: 1, bits: 7, id: unnamed },
    ...(random(3) > 0 ? [{ tag: 2, bits: bits(), id: alice.uid }] : []),
    { tag: 4, bits: bits(), id: unnamed },
    ...(random(3) > 0 ? [{ tag: 8, bits: bits(), id: bob.gid }] : []),
    // With x: set-group-ID without it is a matter of its own (deviations.ts).
    { tag: 0x10, bits: pick(random, [1, 3, 5, 7, 7]), id: unnamed },
    { tag: 0x20, bits: bits(), id: unnamed },
  ]);
}

function filled(length: number, seed: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).fill(97 + (seed % 26));
}

function textOf(value: Uint8Array | number): string | number {
  return typeof value === "number" ? value : new TextDecoder("latin1").decode(value);
}

function listing(path: string): string | number {
  const fd = sys.open(path, O.RDONLY | O.DIRECTORY);
  if (fd < 0) return fd;
  // A few names: one call gives them all.
  const entries = file.getdents(fd);
  file.close(fd);
  if (typeof entries === "number") return entries;
  const decoder = new TextDecoder();
  return entries.map((each) => decoder.decode(each.name)).sort().join();
}

/** What both sides must agree on. */
function attributes(stat: sys.Stat | number): string {
  if (typeof stat === "number") return errnoName(stat);
  const size = (stat.mode & S.IFMT) === S.IFDIR ? "" : `size ${stat.size}`;
  return `${
    stat.mode.toString(8)
  } ${stat.uid}:${stat.gid} links ${stat.nlink} ${size} rdev ${stat.major},${stat.minor}`;
}

interface TwinWorld {
  /** Does one call on both sides; answers what differs. */
  take(step: Step): string[];
  /** It changes attributes, through a descriptor, of something without a name that is no regular file. */
  isOnNamelessSpecial(step: Step): boolean;
  remove(): void;
}

/** `hostDir` and `testedDir`: existing, empty, enterable by all. */
function twinWorld(hostDir: string, testedDir: string): TwinWorld {
  const [host, tested] = [hostDir, testedDir].map((base): Side => {
    // Links made here lead up two directories at most: whatever is made through them stays in `twin`.
    for (const [path, mode] of [["twin", 0o755], ["twin/1", 0o755], ["twin/1/2", 0o777]] as const) {
      sys.mkdir(`${base}/${path}`, mode);
    }
    return { base: `${base}/twin/1/2`, fds: [], before: new Map() };
  }) as [Side, Side];
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  look(host);
  look(tested);

  return {
    take(step) {
      // Above the grain of the host's clock: a time that moves is then another time.
      Atomics.wait(sleeper, 0, 0, 6);
      const [wanted, got] = [host, tested].map((side) => resultText(as(step.user, () => step.run(side))));
      const found: string[] = [];
      if (wanted !== got) found.push(`result: ${wanted} on the host, ${got} here`);
      const [a, b] = [look(host), look(tested)];
      for (const path of ["", ...paths]) {
        if (a.get(path) !== b.get(path)) {
          found.push(`${path || "."}: ${a.get(path)} on the host, ${b.get(path)} here`);
        }
      }
      return found;
    },
    isOnNamelessSpecial({ text }) {
      const slot = text.match(/^(?:fchmod|fchown) (\d)/)?.[1];
      const found = slot === undefined ? -1 : sys.fstat(host.fds[Number(slot)] ?? 987);
      return typeof found !== "number" && found.nlink === 0 && (found.mode & S.IFMT) !== S.IFREG;
    },
    remove() {
      for (const side of [host, tested]) {
        for (const fd of side.fds) if (fd !== undefined) file.close(fd);
        removeTree(side.base.slice(0, -"/1/2".length));
      }
    },
  };
}

/** Every name's attributes, its first name (hard links), and which times moved since the last look. */
function look(side: Side): Map<string, string> {
  const found = new Map<string, string>();
  const now = new Map<string, sys.Stat>();
  const firstNames = new Map<number, string>();
  for (const path of ["", ...paths]) {
    const stat = sys.lstat(`${side.base}/${path}`);
    if (typeof stat === "number") {
      found.set(path, errnoName(stat));
      continue;
    }
    now.set(path, stat);
    const first = firstNames.get(stat.ino) ?? path;
    firstNames.set(stat.ino, first);
    const before = side.before.get(path);
    const moved = before === undefined || before.ino !== stat.ino
      ? "new"
      : `${before.mtime.join() === stat.mtime.join() ? "" : "m"}${
        before.ctime.join() === stat.ctime.join() ? "" : "c"
      }`;
    // Bytes through a fifo move its times on the host alone (deviations.ts).
    const times = (stat.mode & S.IFMT) === S.IFIFO ? "" : ` moved ${moved}${far(stat)}`;
    found.set(path, `${attributes(stat)} same as ${first || "."}${times}`);
  }
  side.before = now;
  return found;
}

/** Times that were set to a value, not to now. */
function far(stat: sys.Stat): string {
  return stat.mtime[0] < 1e6 ? ` mtime ${stat.mtime}` : "";
}

function resultText(result: unknown): string {
  if (typeof result !== "number") return JSON.stringify(result);
  return result < 0 ? errnoName(result) : String(result);
}

/** What a walk leaves out where the file system under test has a known fault. */
export interface WalkOptions {
  /** Change no id of a file: chown(-1, -1). */
  readonly idleChowns?: boolean;
  /** Change attributes of open directories and fifos that have no name any more. */
  readonly namelessSpecials?: boolean;
}

/** Walks until the sides differ or the steps are done; answers the steps taken and what differs after the last. */
export function walk(
  hostDir: string,
  testedDir: string,
  seed: number,
  stepsMax: number,
  options: WalkOptions = {},
): { steps: string[]; found: string[] } {
  const random = randomFrom(seed);
  const world = twinWorld(hostDir, testedDir);
  const steps: string[] = [];
  try {
    for (let i = 0; i < stepsMax; i++) {
      const step = nextStep(random);
      if (options.idleChowns === false && / -1:-1$/.test(step.text)) continue;
      if (options.namelessSpecials === false && world.isOnNamelessSpecial(step)) continue;
      const { uid, gid, groups } = step.user;
      steps.push(`${i}: as ${uid}:${[gid, ...groups ?? []].join("+")} ${step.text}`);
      const found = world.take(step);
      if (found.length > 0) return { steps, found };
    }
    return { steps, found: [] };
  } finally {
    world.remove();
  }
}

/** Trees to copy: a real one of this machine, and one with everything that a name or an attribute can be. */
import * as libc from "./libc.ts";
import { shell } from "./shell.ts";

const FILES_MIN = 2000;
const FILES_MAX = 12_000;

/** A directory of this machine with several thousand files. Throws if there is none. */
export async function realTree(): Promise<string> {
  const candidates = ["/usr/include", "/usr/share/doc", "/usr/lib/python3", "/usr/share", "/usr/lib", "/etc"];
  for (const path of candidates) {
    const count = Number(await shell(`find ${path} -xdev 2>/dev/null | wc -l || echo 0`).catch(() => "0"));
    if (count >= FILES_MIN && count <= FILES_MAX) return path;
  }
  throw new Error(`none of ${candidates.join(", ")} has ${FILES_MIN} to ${FILES_MAX} files`);
}

const bytes = (...parts: (string | number)[]): Uint8Array => {
  const all: number[] = [];
  for (const part of parts) all.push(...(typeof part === "number" ? [part] : libc.bytesOf(part)));
  return Uint8Array.from(all);
};

/** Names that only bytes can spell, and names that programs stumble over. */
export const ODD_NAMES: readonly Uint8Array[] = [
  bytes("new\nline"),
  bytes("tab\tand\rreturn"),
  bytes("invalid ", 0xff, 0xfe, " utf-8"),
  bytes("cut short ", 0xe2, 0x82),
  bytes("surrogate ", 0xed, 0xa0, 0x80),
  bytes("overlong ", 0xc0, 0xaf),
  bytes(" leading and trailing "),
  bytes("-rf"),
  bytes("..."),
  bytes("a'quote\"and\\backslash"),
  bytes("$HOME `id` *?[x]"),
  bytes("ünï ☃ 🚀"),
  bytes("e", 0xcc, 0x81),
  bytes(0xc3, 0xa9),
  bytes(0x01, 0x7f),
  new Uint8Array(255).fill(0x78),
  new Uint8Array(255).fill(0xff),
  Uint8Array.from({ length: 254 }, (_, i) => i === 46 ? 1 : i + 1),
];

/** Fills `root` with odd names, links of all kinds, modes, owners and times. */
export function makeOddTree(root: string): void {
  const at = (...names: (string | Uint8Array)[]) =>
    names.reduce<Uint8Array>((path, name) => libc.joinBytes(path, name), libc.bytesOf(root));
  const file = (path: Uint8Array, content: Uint8Array<ArrayBuffer>, mode = 0o644) => {
    const fd = libc.open(path, libc.O.CREAT | libc.O.EXCL | libc.O.WRONLY, mode);
    if (content.length > 0) libc.write(fd, content);
    libc.close(fd);
  };
  libc.mkdir(root);
  for (const part of ["names", "links", "modes", "times", "sizes"]) libc.mkdir(at(part));
  for (const [i, name] of ODD_NAMES.entries()) {
    // 0x2f cannot be in a name.
    const safe = name.map((byte) => byte === 0x2f ? 0x5f : byte);
    file(at("names", safe), new Uint8Array(i).fill(i));
    const directory = libc.bytesOf(`dir ${i} `);
    const long = new Uint8Array(Math.min(255, directory.length + safe.length));
    long.set(directory);
    long.set(safe.subarray(0, long.length - directory.length), directory.length);
    libc.mkdir(at("names", long));
    file(at("names", long, safe), new Uint8Array([i]));
  }
  const target = new Uint8Array(4095).fill(0x79);
  const targets: (string | Uint8Array)[] = ["a", "../modes", "/etc/passwd", "dangling/never", ".", "loop 6"];
  for (const [i, each] of [...targets, bytes("bytes ", 0xff), target].entries()) {
    libc.symlink(each, at("links", `link ${i}`));
  }
  libc.symlink("loop", at("links", "loop"));
  file(at("links", "a"), libc.bytesOf("five names\n") as Uint8Array<ArrayBuffer>);
  for (const path of [at("links", "b"), at("names", "a"), at("a"), at("modes", "a")]) {
    libc.link(at("links", "a"), path);
  }
  const isRoot = Deno.uid() === 0;
  for (const [i, mode] of [0, 0o400, 0o777, 0o644, 0o4755, 0o2755, 0o6711, 0o1644].entries()) {
    const path = at("modes", `file ${i}`);
    file(path, new Uint8Array(10));
    if (isRoot) libc.chown(path, 1000 + i, 2000 + i);
    libc.chmod(path, mode);
    libc.mkdir(at("modes", `dir ${i}`));
    if (isRoot) libc.chown(at("modes", `dir ${i}`), 3000 + i, 0xffff_fffe);
    libc.chmod(at("modes", `dir ${i}`), mode | 0o700);
  }
  libc.mkfifo(at("modes", "pipe"), 0o622);
  const times = [[0, 0], [1, 999_999_999], [-1, 5], [-86_400, 1], [2_147_483_648, 123_456_789], [
    4_294_967_296,
    1,
  ]];
  for (const [i, [sec, nsec]] of times.entries()) {
    const path = at("times", `file ${i}`);
    file(path, new Uint8Array(i));
    const time = { atimeSec: sec ?? 0, atimeNsec: nsec ?? 0, mtimeSec: sec ?? 0, mtimeNsec: nsec ?? 0 };
    libc.utimes(path, time);
    libc.symlink("x", at("times", `link ${i}`));
    libc.utimes(at("times", `link ${i}`), time, false);
  }
  for (const size of [0, 1, 4095, 4096, 4097, 131_072, 262_145, 4_194_303, 4_194_304, 4_194_305, 9_000_000]) {
    file(at("sizes", `${size}`), patternBytes(size, size));
  }
}

/** Bytes that differ from place to place and from seed to seed. */
export function patternBytes(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/**
 * Repeats the trial of npm:fuse-native on the Deno that runs this script, in a scratch directory, and prints what
 * happens: docs/adr/0001-raw-fuse-protocol.md rests on it. Needs root, /dev/fuse and the npm registry. Exit code 0: it
 * mounted and answered, so the decision deserves another look; 1: it did not.
 *
 *     deno run -A scripts/try_fuse_native.ts [VERSION]
 */
import { join } from "node:path";

const version = Deno.args[0] ?? "2.2.6";
const TRIAL_MS = 60_000;

/** One file in one directory: the least that shows that requests are answered. */
const PROGRAM = `
import Fuse from "fuse-native";
const attributes = (mode, size) => ({
  mtime: new Date(), atime: new Date(), ctime: new Date(), nlink: 1, size, mode, uid: 0, gid: 0,
});
const text = new TextEncoder().encode("hello\\n");
const operations = {
  readdir: (path, done) => done(0, path === "/" ? ["file"] : []),
  getattr: (path, done) =>
    path === "/" ? done(0, attributes(0o040755, 4096))
      : path === "/file" ? done(0, attributes(0o100644, text.length))
      : done(Fuse.ENOENT),
  open: (_path, _flags, done) => done(0, 42),
  read(_path, _handle, buffer, length, position, done) {
    const part = text.subarray(position, position + length);
    buffer.set(part);
    done(part.length);
  },
};
const fuse = new Fuse(Deno.args[0], operations);
console.log("the add-on is loaded");
fuse.mount((error) => {
  if (error) {
    console.log("mount failed: " + error.message);
    Deno.exit(1);
  }
  console.log("mounted");
});
`;

const directory = await Deno.makeTempDir({ prefix: "try-fuse-native-" });
const mountPoint = join(directory, "mnt");
console.log(`Deno ${Deno.version.deno}, fuse-native ${version}`);
let answered = false;
try {
  await Deno.mkdir(mountPoint);
  await Deno.writeTextFile(join(directory, "trial.mjs"), PROGRAM);
  const config = { imports: { "fuse-native": `npm:fuse-native@${version}` }, nodeModulesDir: "auto" };
  await Deno.writeTextFile(join(directory, "deno.json"), JSON.stringify(config));
  await install();
  await provideLibfuse();
  answered = await trial();
} finally {
  // A process that died left a dead mount, or none.
  await new Deno.Command("umount", { args: ["-l", mountPoint], stderr: "null" }).output();
  await Deno.remove(directory, { recursive: true });
}
console.log(answered ? "Result: it mounted and answered." : "Result: it does not work.");
Deno.exit(answered ? 0 : 1);

/** Without its build scripts: the package has the add-on ready for this platform, or it has not. */
async function install(): Promise<void> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["install"],
    cwd: directory,
    env: { NO_COLOR: "1" },
    stdout: "null",
  }).output();
  console.log(`install: exit code ${output.code}`);
  if (!output.success) console.log(lastLines(new TextDecoder().decode(output.stderr)));
}

/** The add-on needs libfuse.so.2, which few systems still have; the package has a copy under another name. */
async function provideLibfuse(): Promise<void> {
  const platform = `linux-${Deno.build.arch === "x86_64" ? "x64" : "arm64"}`;
  const prebuilt = `node_modules/fuse-native/prebuilds/${platform}/libfuse.so`;
  await Deno.symlink(join(directory, prebuilt), join(directory, "libfuse.so.2"));
}

/** Mounts in a process of its own and reads the file from here. */
async function trial(): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "trial.mjs", mountPoint],
    cwd: directory,
    env: { NO_COLOR: "1", LD_LIBRARY_PATH: directory },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), TRIAL_MS);
  let printed = "";
  let read = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      printed += text;
      if (!text.includes("mounted")) continue;
      const output = await new Deno.Command("cat", { args: [join(mountPoint, "file")] }).output();
      read = new TextDecoder().decode(output.stdout);
      child.kill("SIGTERM");
    }
  };
  await Promise.all([collect(child.stdout), collect(child.stderr)]);
  const status = await child.status;
  clearTimeout(timer);
  console.log(`mount: exit code ${status.code}${status.signal === null ? "" : `, ${status.signal}`}`);
  console.log(lastLines(printed));
  return read === "hello\n";
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-12).map((line) => `  ${line}`).join("\n");
}

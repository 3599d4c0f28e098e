/** kill -9 of the mount in the middle of a write load: what was promised is there, and nothing else is corrupt. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkVolumeAt } from "../helpers/check_volume.ts";
import { verifiers } from "../helpers/crash_verify.ts";
import { writers } from "../helpers/crash_writer.ts";
import * as libc from "../helpers/libc.ts";
import { mountTest } from "../helpers/mounted.ts";

const WRITER = fileURLToPath(new URL("../helpers/crash_writer.ts", import.meta.url));
const ROUNDS = 3;
const kinds = Object.keys(writers);

async function readJournal(path: string): Promise<number[]> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.split("\n").filter((line) => line !== "").map(Number);
}

/** How to break what each writer promised. */
const damages: Readonly<Record<string, (directory: string) => void>> = {
  files: (directory) => libc.truncate(`${directory}/3`, 10),
  append: (directory) => overwriteByte(`${directory}/log`, 1500),
  replace: (directory) => overwriteByte(`${directory}/name`, 5),
  overwrite: (directory) => overwriteByte(`${directory}/file`, 7 * 4096 + 100),
  names: (directory) => libc.symlink("x", `${directory}/s1`),
};

function overwriteByte(path: string, offset: number): void {
  const fd = libc.open(path, libc.O.WRONLY);
  libc.pwrite(fd, new Uint8Array([0xff]), offset);
  libc.close(fd);
}

Deno.test("crash: on a plain directory the writers keep their promises, and damage is noticed", async () => {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-crash-" });
  try {
    for (const kind of kinds) {
      const place = join(directory, kind);
      const journalPath = join(directory, `journal ${kind}`);
      libc.mkdir(place);
      const writer = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", WRITER, kind, place, journalPath],
        stdout: "null",
        stderr: "null",
      }).spawn();
      // `names` removes its first directory with the eleventh: from then on its link is a damage.
      while ((await readJournal(journalPath)).length < 30) await pause(20);
      writer.kill("SIGKILL");
      await writer.status;
      const journal = await readJournal(journalPath);
      verifiers[kind]?.(place, journal);
      damages[kind]?.(place);
      assert.throws(() => verifiers[kind]?.(place, journal), kind);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

mountTest(
  "crash: kill -9 under load loses nothing that was promised, and corrupts nothing",
  async (mounted) => {
    for (let round = 0; round < ROUNDS; round++) {
      const place = join(mounted.mountPoint, `round ${round}`);
      const journalOf = (kind: string) => join(mounted.directory, `journal ${round} ${kind}`);
      libc.mkdir(place);
      for (const kind of kinds) libc.mkdir(join(place, kind));
      const running = kinds.map((kind) =>
        new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", "--no-check", WRITER, kind, join(place, kind), journalOf(kind)],
          stdout: "null",
          stderr: "piped",
        }).output()
      );
      // Every writer has got somewhere; then at a moment that differs from round to round.
      const deadlineMs = performance.now() + 60_000;
      for (const kind of kinds) {
        while (
          (await readJournal(journalOf(kind))).length < 5 && performance.now() < deadlineMs
        ) await pause(50);
      }
      await pause(500 * (round + 1));
      await mounted.kill();
      for (const [i, { code, stderr }] of (await Promise.all(running)).entries()) {
        assert.equal(code, 0, `writer ${kinds[i]}: ${new TextDecoder().decode(stderr)}`);
      }
      // The metadata alone is whole already, before anybody has opened it again.
      await checkVolumeAt(mounted.metaUrl, { cleanEnd: false });
      await mounted.mount();
      for (let before = 0; before <= round; before++) {
        for (const kind of kinds) {
          const journal = await readJournal(join(mounted.directory, `journal ${before} ${kind}`));
          assert.ok(journal.length >= 5, `${kind} of round ${before} promised too little to tell anything`);
          try {
            verifiers[kind]?.(join(mounted.mountPoint, `round ${before}`, kind), journal);
          } catch (error) {
            throw new Error(`${kind} of round ${before}, seen in round ${round}`, { cause: error });
          }
        }
      }
    }
    // And it goes on working.
    await Deno.writeTextFile(join(mounted.mountPoint, "after"), "still here");
    await mounted.remount();
    assert.equal(await Deno.readTextFile(join(mounted.mountPoint, "after")), "still here");
    await mounted.unmount();
    // Sessions that were killed are still on record.
    await checkVolumeAt(mounted.metaUrl, { cleanEnd: false });
  },
);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Who may do what: POSIX "File Access Permissions" (4.5 of the definitions). The class is the first that applies: owner,
 * then group (effective and supplementary), then others; root reads and writes everything and executes what anybody may.
 */
import { ACCESS, O } from "../abi.ts";
import { collect, octal } from "../harness.ts";
import { alice, as, bob, carol, type User } from "../identity.ts";
import { closed } from "../ops.ts";
import { access, chmod, mkdir, open, rmdir, statResult } from "../sys.ts";

const owner: User = alice;
const member: User = { uid: bob.uid, gid: alice.gid };
const supplementary: User = { uid: bob.uid, gid: bob.gid, groups: [carol.gid, alice.gid] };
const other: User = { uid: carol.uid, gid: carol.gid, groups: [bob.gid] };

/** Callers with the shift of the bits that apply to them. */
const callers: readonly (readonly [string, User, number])[] = [
  ["owner", owner, 6],
  ["group", member, 3],
  ["supplementary group", supplementary, 3],
  ["other", other, 0],
];
/** Each class's bits with all others set and with none of them: the class decides, not the union. */
const modesFor = (shift: number) =>
  Array.from({ length: 8 }, (_, bits) => [bits << shift, (0o777 & ~(7 << shift)) | (bits << shift)]).flat();

const wantedBits: readonly (readonly [string, number, number])[] = [
  ["O_RDONLY", O.RDONLY, 4],
  ["O_WRONLY", O.WRONLY, 2],
  ["O_RDWR", O.RDWR, 6],
  ["O_RDONLY|O_TRUNC", O.RDONLY | O.TRUNC, 6],
  ["O_WRONLY|O_TRUNC", O.WRONLY | O.TRUNC, 2],
  ["O_WRONLY|O_APPEND", O.WRONLY | O.APPEND, 2],
];

export const cases = collect((test) => {
  for (const kind of ["regular", "fifo"] as const) {
    for (const [who, user, shift] of callers) {
      test(`open/EACCES: permission bits of a ${kind} for ${who}`, (t) => {
        const path = t.make(kind, t.fresh(), { uid: alice.uid, gid: alice.gid });
        for (const mode of modesFor(shift)) {
          chmod(path, mode);
          const has = (mode >> shift) & 7;
          for (const [name, flags, wants] of wantedBits) {
            const result = as(user, () => closed(open(path, flags | O.NONBLOCK)));
            // A fifo without a reader is ENXIO for writers: the permission was there.
            const granted = kind === "fifo" && (flags & 3) === O.WRONLY ? "ENXIO" : "OK";
            t.fails(result, (has & wants) === wants ? granted : "EACCES", `${octal(mode)} ${name}`);
          }
        }
      });
    }
  }

  for (const [who, user, shift] of callers) {
    test(`access/EACCES: answers what open and a walk would, for ${who}`, (t) => {
      const file = t.make("regular", t.fresh(), { uid: alice.uid, gid: alice.gid });
      const directory = t.make("dir", t.fresh(), { uid: alice.uid, gid: alice.gid });
      for (const path of [file, directory]) {
        for (const mode of modesFor(shift)) {
          chmod(path, mode);
          for (let wants = 0; wants < 8; wants++) {
            const has = (mode >> shift) & 7;
            const granted = (has & wants) === wants;
            t.fails(
              as(user, () => access(path, wants)),
              granted ? "OK" : "EACCES",
              `${octal(mode)} ${wants}`,
            );
          }
        }
      }
    });

    test(`path/EACCES: permission bits of a directory for ${who}`, (t) => {
      const directory = t.make("dir", t.fresh(), { uid: alice.uid, gid: alice.gid });
      t.make("regular", `${directory}/inside`);
      for (const mode of modesFor(shift)) {
        chmod(directory, mode);
        const has = (mode >> shift) & 7;
        const name = octal(mode);
        t.fails(
          as(user, () => closed(open(directory, O.RDONLY))),
          (has & 4) !== 0 ? "OK" : "EACCES",
          `list ${name}`,
        );
        const search = (has & 1) !== 0 ? "OK" : "EACCES";
        t.fails(as(user, () => statResult(`${directory}/inside`)), search, `search ${name}`);
        t.fails(as(user, () => statResult(`${directory}/.`)), search, `dot ${name}`);
        t.fails(as(user, () => mkdir(`${directory}/new`)), (has & 3) === 3 ? "OK" : "EACCES", `add ${name}`);
        t.fails(as(user, () => rmdir(`${directory}/new`)), removal(has), `remove ${name}`);
      }
    });
  }

  test("open/OK: root reads and writes whatever the mode", (t) => {
    const path = t.make("regular", t.fresh(), { uid: alice.uid });
    for (const mode of [0, 0o111, 0o444, 0o222, 0o7000]) {
      chmod(path, mode);
      for (const [name, flags] of wantedBits) t.ok(closed(open(path, flags)), `${octal(mode)} ${name}`);
    }
  });

  test("access/EACCES: root executes a file only when somebody may", (t) => {
    const path = t.make("regular", t.fresh(), { uid: alice.uid });
    for (const mode of [0, 0o666, 0o1, 0o10, 0o100, 0o6644]) {
      chmod(path, mode);
      t.fails(access(path, ACCESS.X), (mode & 0o111) === 0 ? "EACCES" : "OK", octal(mode));
      t.ok(access(path, ACCESS.R | ACCESS.W), octal(mode));
    }
    const directory = t.make("dir", t.fresh(), { mode: 0 });
    t.ok(access(directory, ACCESS.R | ACCESS.W | ACCESS.X), "a directory always");
  });

  test("exec/EACCES: a program without any execute bit, and one for another class", (t) => {
    const program = t.at("true");
    Deno.copyFileSync("/bin/true", program);
    const runs = () => {
      try {
        return new Deno.Command(program, { uid: alice.uid, gid: alice.gid }).outputSync().code === 0;
      } catch {
        return false;
      }
    };
    for (const [mode, wanted] of [[0o755, true], [0o711, true], [0o744, false], [0o666, false]] as const) {
      chmod(program, mode);
      t.is(runs(), wanted, octal(mode));
    }
  });
});

/** After `add`: the name is there when adding was granted. */
function removal(has: number): "OK" | "EACCES" | "ENOENT" {
  if ((has & 1) === 0) return "EACCES";
  return (has & 3) === 3 ? "OK" : "ENOENT";
}

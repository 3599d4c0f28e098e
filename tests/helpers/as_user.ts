/**
 * The command line under another user: as_user.ts UID ARGUMENTS. Root starts it; it becomes the user when the program is
 * loaded, because the user may be able to read neither Deno nor the sources. So it cannot start itself in the background.
 */
import "../../backends/meta/libsql.ts";
import "../../backends/object/file.ts";
import { main } from "../../cli/program.ts";

const PR_SET_DUMPABLE = 4;

if (import.meta.main) {
  const [uid, ...args] = Deno.args;
  become(Number(uid));
  Deno.exit(await main(args));
}

/** For all threads: glibc tells them. */
function become(id: number): void {
  const { symbols } = Deno.dlopen("libc.so.6", {
    setgroups: { parameters: ["usize", "pointer"], result: "i32" },
    setresgid: { parameters: ["u32", "u32", "u32"], result: "i32" },
    setresuid: { parameters: ["u32", "u32", "u32"], result: "i32" },
    prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  });
  const failed = symbols.setgroups(0n, null) !== 0 || symbols.setresgid(id, id, id) !== 0 ||
    symbols.setresuid(id, id, id) !== 0;
  if (failed) throw new Error(`cannot become user ${id}`);
  // Or else its own files in /proc would stay root's.
  symbols.prctl(PR_SET_DUMPABLE, 1n, 0n, 0n, 0n);
}

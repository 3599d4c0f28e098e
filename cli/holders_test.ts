import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { describeHolders, holdersOf } from "./holders.ts";

Deno.test("holders: names the processes that use a directory, and only those", async () => {
  const directory = await Deno.makeTempDir();
  const sibling = directory + "-sibling";
  await Deno.mkdir(sibling);
  await Deno.writeTextFile(`${directory}/open`, "");
  const spawn = (cwd: string, script: string) =>
    new Deno.Command("/bin/sh", { args: ["-c", script], cwd, stdin: "piped", stdout: "piped" }).spawn();
  // Each says that it is there and then waits for its stdin to end.
  const children = [
    spawn(directory, "echo; read x"),
    spawn("/", `exec 3<${directory}/open; echo; read x`),
    spawn(sibling, "echo; read x"),
  ];
  try {
    for (const child of children) {
      const reader = child.stdout.getReader();
      await reader.read();
      reader.releaseLock();
    }
    const held = holdersOf(directory).sort((a, b) => a.what < b.what ? -1 : 1);
    deepStrictEqual(held, [
      { pid: children[0]?.pid, name: "sh", what: "current directory" },
      { pid: children[1]?.pid, name: "sh", what: `open ${directory}/open` },
    ]);
    match(describeHolders(directory), /^ \(held by sh \d+: .*; sh \d+: .*\)$/);
    strictEqual(holdersOf(directory, 1).length, 1);
  } finally {
    for (const child of children) {
      await child.stdin.close();
      await child.stdout.cancel();
      await child.status;
    }
    await Deno.remove(directory, { recursive: true });
    await Deno.remove(sibling);
  }
  strictEqual(describeHolders(directory), "");
});

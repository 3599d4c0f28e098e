/**
 * `deno task compile [OUTPUT]`: one executable, dist/slayerfs unless said otherwise, for this machine's kind. It knows its commit.
 * Without the Deno project's site in reach, point DENORT_BIN to the runtime of this very version of Deno.
 */
import { checkoutCommit } from "../cli/version.ts";

const output = Deno.args[0] ?? "dist/slayerfs";

await Deno.mkdir("dist", { recursive: true });
// cli/version.ts reads it in the executable.
await Deno.writeTextFile("dist/build.json", JSON.stringify({ commit: await checkoutCommit() }) + "\n");

const { code } = await new Deno.Command(Deno.execPath(), {
  args: [
    "compile",
    "--allow-all",
    "--no-check",
    "--include",
    "dist/build.json",
    "--output",
    output,
    "main.ts",
  ],
  stdin: "null",
}).spawn().status;
if (code === 0) {
  const { size } = await Deno.stat(output);
  console.log(`${output}: ${(size / (1 << 20)).toFixed(0)} MiB`);
}
Deno.exit(code);

/**
 * Walks at random in a host directory and in one under test, and tells the first difference:
 * deno run -A tests/posix/twin.ts HOST-DIR DIR [--seed N] [--worlds N] [--steps N] [--show N]
 */
import { parseArgs } from "node:util";
import { umask } from "./sys.ts";
import { walk } from "./twin_world.ts";

const { values: flags, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(Date.now() % 1e9) },
    worlds: { type: "string", default: "10" },
    steps: { type: "string", default: "300" },
    show: { type: "string", default: "20" },
  },
});
const [hostDir, testedDir] = positionals;
if (hostDir === undefined || testedDir === undefined) {
  console.error(
    "usage, as root: deno run -A tests/posix/twin.ts HOST-DIR DIR [--seed N] [--worlds N] [--steps N]",
  );
  Deno.exit(2);
}
const bases = [hostDir, testedDir].map((dir) => {
  const base = Deno.makeTempDirSync({ dir, prefix: "twin-" });
  Deno.chmodSync(base, 0o755);
  return base;
});
umask(0);
const [host, tested] = bases as [string, string];
let differences = 0;
for (let i = 0; i < Number(flags.worlds); i++) {
  const seed = Number(flags.seed) + i;
  const { steps, found } = walk(host, tested, seed, Number(flags.steps));
  if (found.length === 0) continue;
  differences++;
  console.log(
    `seed ${seed}, step ${steps.length}:\n${steps.slice(-Number(flags.show)).join("\n")}\n    ${
      found.join("\n    ")
    }`,
  );
}
for (const base of bases) Deno.removeSync(base);
console.log(`${flags.worlds} worlds from seed ${flags.seed}, ${differences} differ`);
Deno.exit(differences === 0 ? 0 : 1);

/** The slayerfs program: arguments in, exit code out. Everything else is in cli/. */
import { main } from "./cli/program.ts";

Deno.exit(await main(Deno.args));

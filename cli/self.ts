/** How this very program is started: for hints to people, and to start itself in the background. */
import { fromFileUrl } from "./paths.ts";

/** What a person types to run this program again: the executable, or the task in a checkout. */
export function selfCommand(): string {
  if (Deno.build.standalone) return baseName(Deno.execPath());
  // `npx deno ...` sets this for its children: there may be no `deno` on PATH.
  const deno = Deno.env.get("npm_command") === "exec" ? `npx -y deno@${Deno.version.deno}` : "deno";
  return `${deno} task slayerfs`;
}

/** The command that runs this program with `args`. */
export function selfInvocation(args: readonly string[]): string[] {
  if (Deno.build.standalone) return [Deno.execPath(), ...args];
  return [Deno.execPath(), "run", "-A", fromFileUrl(Deno.mainModule), ...args];
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

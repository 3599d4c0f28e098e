/** Which slayerfs this is. A compiled program carries its commit in build.json (scripts/compile.ts). */
import project from "../deno.json" with { type: "json" };

export interface Build {
  readonly version: string;
  /** Abbreviated commit, with `-dirty` if the tree had changes; empty if not known. */
  readonly commit: string;
}

export const version: string = project.version;

/** Asks git in a checkout, so it is not for start-up paths. */
export async function build(): Promise<Build> {
  return { version, commit: Deno.build.standalone ? await embeddedCommit() : await checkoutCommit() };
}

async function embeddedCommit(): Promise<string> {
  try {
    const text = await Deno.readTextFile(new URL("../dist/build.json", import.meta.url));
    return String((JSON.parse(text) as { commit?: unknown }).commit ?? "");
  } catch {
    return "";
  }
}

/** The commit of the checkout that holds this file; empty without git. */
export async function checkoutCommit(): Promise<string> {
  try {
    const root = new URL("..", import.meta.url).pathname;
    const git = new Deno.Command("git", {
      args: ["-C", decodeURIComponent(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    });
    const { success, stdout } = await git.output();
    return success ? new TextDecoder().decode(stdout).trim() : "";
  } catch {
    return "";
  }
}

/** Programs of the host, for end-to-end tests. */

/** Runs a shell script with -e and returns its output; throws with all of the output if it fails. */
export async function shell(script: string, options: { cwd?: string; env?: Record<string, string> } = {}) {
  return await run("/bin/bash", ["-euo", "pipefail", "-c", script], options);
}

/** Runs a program and returns its stdout; throws with its output if it fails. */
export async function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const { code, signal, stdout, stderr } = await outputOf(program, args, options);
  if (code === 0) return stdout;
  throw new Error(
    `${program} ${args.join(" ")}\nended with ${signal ?? `exit code ${code}`}:\n${stdout.slice(-4000)}\n${
      stderr.slice(-4000)
    }`,
  );
}

export interface Output {
  readonly code: number;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever that is. */
export async function outputOf(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Output> {
  const result = await new Deno.Command(program, {
    args: [...args],
    cwd: options.cwd,
    env: { LC_ALL: "C", ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return {
    code: result.code,
    signal: result.signal,
    stdout: decoder.decode(result.stdout),
    stderr: decoder.decode(result.stderr),
  };
}

/** Is there such a program on the PATH? */
export async function hasProgram(name: string): Promise<boolean> {
  return (await outputOf("/bin/sh", ["-c", `command -v ${name}`])).code === 0;
}

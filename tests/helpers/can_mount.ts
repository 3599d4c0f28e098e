/** Tests that mount are left out where nothing can be mounted, and say so in their name. */
import { openDevice } from "../../fuse/device.ts";

/** Why nothing can be mounted here; undefined if it can. */
export function mountSkipReason(): string | undefined {
  if (Deno.build.os !== "linux") return "needs Linux";
  if (Deno.uid() !== 0) return "needs root";
  try {
    openDevice().close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Deno.test for a test that mounts. */
export function mountTest(name: string, run: () => Promise<void>): void {
  const reason = mountSkipReason();
  if (reason === undefined) Deno.test(name, run);
  else Deno.test({ name: `${name} (skipped: ${reason})`, ignore: true, fn: run });
}

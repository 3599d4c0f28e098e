/** Where things of this user live, and paths as people give them. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

export { basename, dirname, resolve } from "node:path";
export const fromFileUrl = fileURLToPath;

/** The directory of the embedded default volume. */
export function defaultVolumeHome(): string {
  const own = Deno.env.get("SLAYERFS_HOME");
  if (own) return resolve(own);
  return resolve(xdg("XDG_DATA_HOME", ".local/share"), "slayerfs/default");
}

/** Where a mount in the background logs unless told otherwise: the place JuiceFS uses. */
export function defaultLogPath(): string {
  if (Deno.uid() === 0) return "/var/log/slayerfs.log";
  return resolve(xdg("XDG_STATE_HOME", ".local/state"), "slayerfs/slayerfs.log");
}

/** XDG base directories: a relative value is to be ignored (XDG Base Directory Specification). */
function xdg(variable: string, fallback: string): string {
  const value = Deno.env.get(variable);
  if (value?.startsWith("/")) return value;
  return resolve(Deno.env.get("HOME") ?? "/", fallback);
}

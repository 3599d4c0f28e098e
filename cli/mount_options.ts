/** The options of `mount -o`, as mount(8) and fstab write them. */
import { UserError } from "../core/errors.ts";
import { ExitCode } from "./exit_code.ts";

export interface MountOptions {
  readonly readOnly?: boolean;
  readonly fsName?: string;
}

/** Words that fstab lines carry for mount(8) and systemd, or that say what is so anyway. */
const ignored =
  /^(defaults|rw|auto|noauto|user|users|nouser|nofail|_netdev|async|dev|nodev|suid|nosuid|exec|allow_other|default_permissions|x-.*|comment=.*)$/;

/** Reads comma-separated options; later ones win. */
export function parseMountOptions(lists: readonly string[]): MountOptions {
  let options: MountOptions = {};
  for (const word of lists.flatMap((list) => list.split(",")).map((each) => each.trim())) {
    if (word === "") continue;
    if (word === "ro") options = { ...options, readOnly: true };
    else if (word.startsWith("fsname=")) options = { ...options, fsName: word.slice("fsname=".length) };
    else if (!ignored.test(word)) {
      throw new UserError(
        `-o ${word} is not supported; known are ro and fsname=NAME`,
        ExitCode.usage,
      );
    }
  }
  return options;
}

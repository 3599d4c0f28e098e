/** Every case of the suite. */
import type { Case } from "./harness.ts";
import { cases as create } from "./cases/create.ts";
import { cases as open } from "./cases/open.ts";
import { cases as paths } from "./cases/paths.ts";
import { cases as permission } from "./cases/permission.ts";
import { cases as symlink } from "./cases/symlink.ts";

export const suite: readonly Case[] = [
  ...create,
  ...open,
  ...paths,
  ...permission,
  ...symlink,
];

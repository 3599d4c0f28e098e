/** Every case of the suite. */
import type { Case } from "./harness.ts";
import { cases as paths } from "./cases/paths.ts";

export const suite: readonly Case[] = [
  ...paths,
];

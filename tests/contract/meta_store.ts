/**
 * The contract suite of metadata stores: everything that core/meta/store.ts promises, but for power failure, as tests.
 * `open` makes a fresh, empty store for each test.
 */
import { registerChecks } from "./meta_store_checks.ts";
import { registerCommits } from "./meta_store_commits.ts";
import type { OpenFixture } from "./meta_store_fixture.ts";
import { registerModel } from "./meta_store_model.ts";
import { registerProcesses } from "./meta_store_processes.ts";
import { registerRaces } from "./meta_store_races.ts";
import { registerReads } from "./meta_store_reads.ts";
import { registerRefusals } from "./meta_store_refusals.ts";

export type { OpenMetaStore } from "./meta_store_fixture.ts";

/** Registers the suite. `processes`: the store's fixtures have a `url` that other processes can open. */
export function metaStoreContract(
  name: string,
  open: OpenFixture,
  options: { processes?: boolean } = {},
): void {
  registerReads(name, open);
  registerChecks(name, open);
  registerCommits(name, open);
  registerRefusals(name, open);
  registerRaces(name, open);
  registerModel(name, open);
  if (options.processes === true) registerProcesses(name, open);
}

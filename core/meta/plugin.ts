/** What a metadata store module exports. The registry (backends/registry.ts) finds it by the scheme of a URL. */
import type { MetaStore } from "./store.ts";
import type { Env } from "../env.ts";

export interface MetaOpenOptions {
  /** `create`: make what is missing (file, schema, tables) and migrate. `open`: migrate what is there; a store without
   *  our tables is a StoreError of kind `caller` whose errno is ENOENT and whose message says that nothing is formatted. */
  readonly mode: "create" | "open";
  readonly env: Env;
}

export interface MetaPlugin {
  readonly apiVersion: 1;
  readonly kind: "meta";
  /** URL schemes without the colon. */
  readonly schemes: readonly string[];
  /** `url` is the whole META-URL as the user gave it. Errors are StoreError, without secrets. */
  open(url: string, options: MetaOpenOptions): Promise<MetaStore>;
  /** The URL as it may be shown and logged: secrets taken out. */
  redact(url: string): string;
}

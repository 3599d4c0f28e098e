/**
 * The built-in plug-ins by URL scheme. Each loads when a URL asks for it, by a literal import: `deno compile` sees those and
 * embeds the modules, and a mount does not load the drivers that it does not use.
 */
import type { ObjectPlugin } from "../core/chunk/object_store.ts";
import { UserError } from "../core/errors.ts";
import type { MetaPlugin } from "../core/meta/plugin.ts";

const metaPlugins: Readonly<Record<string, () => Promise<MetaPlugin>>> = {
  memory: async () => (await import("./meta/memory.ts")).plugin,
  libsql: async () => (await import("./meta/libsql.ts")).plugin,
  sqlite: async () => (await import("./meta/libsql.ts")).plugin,
};

const objectPlugins: Readonly<Record<string, () => Promise<ObjectPlugin>>> = {
  memory: async () => (await import("./object/memory.ts")).plugin,
  file: async () => (await import("./object/file.ts")).plugin,
};

/** The plug-in for a META-URL. UserError: nothing here speaks that scheme. */
export function metaPluginFor(url: string): Promise<MetaPlugin> {
  return find(metaPlugins, url, "a metadata store", "libsql:/path/to/meta.db");
}

/** The plug-in for a bucket's URL. UserError: nothing here speaks that scheme. */
export function objectPluginFor(url: string): Promise<ObjectPlugin> {
  return find(objectPlugins, url, "an object store", "file:/path/to/directory");
}

async function find<P>(
  plugins: Readonly<Record<string, () => Promise<P>>>,
  url: string,
  what: string,
  example: string,
): Promise<P> {
  const scheme = schemeOf(url);
  const load = Object.hasOwn(plugins, scheme) ? plugins[scheme] : undefined;
  if (load !== undefined) return await load();
  // Only the scheme is repeated: what follows it may hold a password.
  const problem = scheme === ""
    ? `that is not the URL of ${what} (a URL looks like ${example})`
    : `the URL scheme '${scheme}:' is not one of ${what}`;
  throw new UserError(`${problem}; known schemes: ${Object.keys(plugins).join(", ")}`);
}

/** The scheme in lower case, without the colon; empty if there is none (RFC 3986, section 3.1). */
function schemeOf(url: string): string {
  return /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase() ?? "";
}

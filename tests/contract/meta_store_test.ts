import { plugin as libsqlPlugin } from "../../backends/meta/libsql.ts";
import { createMemoryMetaData, createMemoryMetaStore } from "../../backends/meta/memory.ts";
import { systemEnv } from "../../core/env.ts";
import { metaStoreContract } from "./meta_store.ts";

const env = systemEnv("error");

metaStoreContract("memory", async () => {
  const data = createMemoryMetaData();
  return {
    store: createMemoryMetaStore(data),
    connect: async () => createMemoryMetaStore(data),
    reopen: async () => createMemoryMetaStore(data),
    cleanup: async () => {},
  };
});

metaStoreContract("libsql", async () => {
  const directory = await Deno.makeTempDir({ prefix: "slayerfs-meta-" });
  const url = `libsql:${directory}/meta.db`;
  const open = (mode: "create" | "open") => libsqlPlugin.open(url, { mode, env });
  return {
    store: await open("create"),
    connect: () => open("open"),
    reopen: () => open("open"),
    url,
    cleanup: () => Deno.remove(directory, { recursive: true }),
  };
}, { processes: true });

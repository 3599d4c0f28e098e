import assert from "node:assert/strict";
import { UserError } from "../core/errors.ts";
import { metaPluginFor, objectPluginFor } from "./registry.ts";

Deno.test("registry: each scheme finds a plug-in that claims it", async () => {
  for (const scheme of ["memory", "libsql", "sqlite"]) {
    const plugin = await metaPluginFor(`${scheme}:x`);
    assert.equal(plugin.kind, "meta");
    assert.equal(plugin.apiVersion, 1);
    assert.ok(plugin.schemes.includes(scheme), scheme);
  }
  for (const scheme of ["memory", "file"]) {
    const plugin = await objectPluginFor(`${scheme}:x`);
    assert.equal(plugin.kind, "object");
    assert.ok(plugin.schemes.includes(scheme), scheme);
  }
});

Deno.test("registry: schemes are compared without case", async () => {
  assert.ok((await metaPluginFor("LibSQL:x")).schemes.includes("libsql"));
});

Deno.test("registry: an unknown scheme is a UserError with the known ones and no secret", async () => {
  await assert.rejects(() => metaPluginFor("mysql://root:hunter2@db/x"), (error: unknown) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /'mysql:'.*known schemes: memory, libsql, sqlite$/);
    assert.ok(!error.message.includes("hunter2"));
    return true;
  });
  await assert.rejects(() => objectPluginFor("gopher:hole"), /known schemes: memory, file$/);
  await assert.rejects(() => metaPluginFor("constructor:x"), UserError);
});

Deno.test("registry: something without a scheme is told apart", async () => {
  await assert.rejects(() => metaPluginFor("/var/lib/meta.db"), /not the URL of a metadata store/);
  await assert.rejects(() => objectPluginFor(""), /not the URL of an object store/);
});

/** Extended attributes, ACLs and inode flags changed by several clients at once: every call to the store takes its time. */
import assert from "node:assert/strict";
import { ROOT_INO } from "../../core/limits.ts";
import { parseAcl, serializeAcl } from "../../core/meta/acl.ts";
import { S_IFREG } from "../../core/meta/attr.ts";
import { FS_IMMUTABLE_FL } from "../../core/meta/inode_flags.ts";
import { ACCESS_ACL_NAME, DEFAULT_ACL_NAME } from "../../core/meta/special_xattrs.ts";
import { type MetaStore, read } from "../../core/meta/store.ts";
import { checkMetadata } from "../helpers/check_metadata.ts";
import { acl, codeOf } from "../helpers/checked_world.ts";
import { delayedMetaStore, seededRandom } from "../helpers/delayed_meta_store.ts";
import { bytes, formattedMemoryStore, newFile, openClient, quietEnv } from "../helpers/memory_world.ts";

/** Runs `race` over clients whose every call to the store takes its time, for many seeds; the metadata must be right. */
async function races(
  runs: number,
  race: (
    clients: Awaited<ReturnType<typeof openClient>>[],
    store: MetaStore,
    random: () => number,
  ) => Promise<void>,
): Promise<void> {
  for (let seed = 1; seed <= runs; seed++) {
    const store = await formattedMemoryStore();
    const random = seededRandom(seed);
    const clients = await Promise.all([1, 2, 3].map(() => openClient(delayedMetaStore(store, random))));
    try {
      await race(clients, store, random);
      await checkMetadata(store);
      for (const client of clients) {
        while (await client.deleteFiles(quietEnv.now().sec + 1) > 0);
        await client.close();
      }
      await checkMetadata(store, { sessionsEnded: true });
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}

const tolerate = async (call: Promise<unknown>, ...expected: string[]): Promise<string> => {
  const code = await codeOf(() => call);
  assert.ok(code === "ok" || expected.includes(code), code);
  return code;
};

Deno.test("of several XATTR_CREATE of one name exactly one succeeds", async () => {
  await races(30, async (clients) => {
    const [first] = clients;
    const { ino } = await (first as typeof clients[0]).create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
    const codes = await Promise.all(
      clients.map((client) =>
        tolerate(client.setxattr(ino, bytes("user.a"), bytes("v"), { create: true }), "EEXIST")
      ),
    );
    assert.equal(codes.filter((code) => code === "ok").length, 1);
  });
});

Deno.test("attributes set while the file is removed go with it or are refused", async () => {
  await races(60, async ([one, two, three], _store, random) => {
    assert.ok(one && two && three);
    for (const mode of [S_IFREG | 0o644, 0o040755]) {
      const { ino } = await one.create(ROOT_INO, bytes("f"), newFile(mode));
      const isDirectory = mode !== (S_IFREG | 0o644);
      if (random() < 0.5) await one.setxattr(ino, bytes("user.before"), bytes("v"));
      await two.getattr(ino);
      await Promise.all([
        isDirectory ? one.rmdir(ROOT_INO, bytes("f")) : one.unlink(ROOT_INO, bytes("f"), () => false),
        tolerate(two.setxattr(ino, bytes("user.a"), bytes("v")), "ENOENT"),
        tolerate(three.removexattr(ino, bytes("user.before")), "ENOENT", "ENODATA"),
      ]);
    }
  });
});

Deno.test("chmod, ACLs and creates below a changing default ACL: bits and ACLs always agree", async () => {
  await races(60, async (clients, _store, random) => {
    const [one] = clients;
    assert.ok(one);
    const { ino: d } = await one.create(ROOT_INO, bytes("d"), newFile(0o040755));
    const { ino: f } = await one.create(d, bytes("f"), newFile(S_IFREG | 0o644));
    await Promise.all(clients.map(async (client, index) => {
      for (let i = 0; i < 8; i++) {
        const mask = Math.floor(random() * 8);
        const value = serializeAcl(acl(7, random() < 0.3 ? null : [1000, 6], 4, mask, 1));
        switch (Math.floor(random() * 6)) {
          case 0:
            await client.setattr(f, { mode: Math.floor(random() * 0o1000) });
            break;
          case 1:
            await client.setxattr(f, ACCESS_ACL_NAME, value);
            break;
          case 2:
            await client.setxattr(d, DEFAULT_ACL_NAME, value);
            break;
          case 3:
            await client.removexattr(
              random() < 0.5 ? d : f,
              random() < 0.5 ? DEFAULT_ACL_NAME : ACCESS_ACL_NAME,
            );
            break;
          default:
            await client.create(d, bytes(`${index}.${i}`), { ...newFile(S_IFREG | 0o666), umask: 0o022 });
        }
      }
    }));
  });
});

Deno.test("an immutable file is never removed or changed by a client that knew it otherwise", async () => {
  await races(40, async ([one, two, three]) => {
    assert.ok(one && two && three);
    const { ino } = await one.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
    await two.lookup(ROOT_INO, bytes("f"));
    await three.lookup(ROOT_INO, bytes("f"));
    await one.setFlags(ino, () => FS_IMMUTABLE_FL);
    const place = { parent: ROOT_INO, name: bytes("f") };
    const codes = await Promise.all([
      codeOf(() => two.unlink(ROOT_INO, bytes("f"), () => false)),
      codeOf(() => two.truncate(ino, 5)),
      codeOf(() => two.setattr(ino, { mode: 0o600 })),
      codeOf(() => three.rename(place, { ...place, name: bytes("g") }, false, () => false)),
      codeOf(() => three.link(ino, ROOT_INO, bytes("h"))),
      codeOf(() => three.setxattr(ino, bytes("user.a"), bytes("v"))),
    ]);
    assert.deepEqual(new Set(codes), new Set(["EPERM"]));
  });
});

Deno.test("what a client remembers of modes and ACLs is never what it builds on", async () => {
  const store = await formattedMemoryStore();
  const [one, two] = await Promise.all([openClient(store), openClient(store)]);
  const { ino: d } = await one.create(ROOT_INO, bytes("d"), newFile(0o040755));
  const { ino: f } = await one.create(d, bytes("f"), newFile(S_IFREG | 0o644));
  const aclOf = async (ino: number) => {
    const [found] = await store.get([read("xattrs", [ino, ACCESS_ACL_NAME])]);
    return found === null ? null : parseAcl(found.row.value);
  };
  const create = async (name: string) => (await two.create(d, bytes(name), newFile(S_IFREG | 0o666))).ino;

  await two.getattr(d);
  const first = acl(7, [1000, 7], 5, 5, 5);
  await one.setxattr(d, DEFAULT_ACL_NAME, serializeAcl(first));
  assert.deepEqual(await aclOf(await create("a")), acl(6, [1000, 7], 5, 4, 4), "a default ACL that is new");
  await one.setxattr(d, DEFAULT_ACL_NAME, serializeAcl(acl(7, [2000, 7], 5, 5, 0)));
  assert.deepEqual(await aclOf(await create("b")), acl(6, [2000, 7], 5, 4, 0), "one that has changed");

  await two.getattr(f);
  await one.setxattr(f, ACCESS_ACL_NAME, serializeAcl(acl(6, [1000, 6], 4, 4, 4)));
  await two.setattr(f, { mode: 0o600 });
  assert.deepEqual(await aclOf(f), acl(6, [1000, 6], 4, 0, 0), "chmod of a file that had no ACL");
  await one.setattr(f, { mode: 0o4600 });
  await two.setxattr(f, ACCESS_ACL_NAME, serializeAcl(acl(7, [1000, 6], 4, 7, 0)));
  assert.equal((await one.refresh(f)).mode & 0o7777, 0o4770, "the set-user-ID bit that came meanwhile");
  await checkMetadata(store);
});

Deno.test("a chmod does not bring back the ACL that it found", async () => {
  await races(60, async ([one, two]) => {
    assert.ok(one && two);
    const { ino } = await one.create(ROOT_INO, bytes("f"), newFile(S_IFREG | 0o644));
    await one.setxattr(ino, ACCESS_ACL_NAME, serializeAcl(acl(6, [1000, 6], 4, 6, 4)));
    await Promise.all([
      two.setattr(ino, { mode: 0o600 }),
      one.setxattr(ino, ACCESS_ACL_NAME, serializeAcl(acl(6, [2000, 6], 4, 6, 4))),
    ]);
    const value = await one.getxattr(ino, ACCESS_ACL_NAME);
    assert.equal(parseAcl(value)?.[1]?.id, 2000);
  });
});

/** Trees of files on a real mount: copied, compared, unmounted, mounted, compared again. */
import assert from "node:assert/strict";
import { mountTest, oracleTest } from "../helpers/mounted.ts";
import { makeOddTree, realTree } from "../helpers/sample_tree.ts";
import { hasProgram, shell } from "../helpers/shell.ts";
import { requireSameTree, snapshot, snapshotDifferences } from "../helpers/tree_snapshot.ts";

oracleTest(
  "tree: a real tree of several thousand files survives copying and remounting",
  async (directory) => {
    await shell(`cp -a ${await realTree()} '${directory}/tree'`);
    return snapshot(`${directory}/tree`);
  },
  {
    compare: (host, mount) => requireSameTree(host, mount, "the copy on the mount differs"),
    again: async (directory, before) =>
      await requireSameTree(before, snapshot(`${directory}/tree`), "differs after remounting"),
  },
);

oracleTest("tree: odd names, links, modes, owners and times", async (directory) => {
  makeOddTree(`${directory}/odd`);
  await shell(`cp -a odd copy`, { cwd: directory });
  const made = snapshot(`${directory}/odd`, { directoryTimes: false });
  const copied = snapshot(`${directory}/copy`, { directoryTimes: false });
  // cp keeps everything but the birth of the tree's own root.
  requireSameTree(made, copied, "the copy differs from its original");
  // Only what is set by hand has the same time on both file systems.
  for (const path of made.keys()) {
    if (!path.startsWith("/times/")) made.set(path, (made.get(path) ?? "").replace(/mtime [-0-9.]+/, ""));
  }
  return { made, copied };
}, {
  compare: (host, mount) => requireSameTree(host.made, mount.made, "the tree on the mount differs"),
  again: async (directory, before) => {
    const copy = snapshot(`${directory}/copy`, { directoryTimes: false });
    await requireSameTree(before.copied, copy, "differs after remounting");
  },
});

oracleTest("tree: tar in and out", async (directory) => {
  makeOddTree(`${directory}/odd`);
  await shell(
    `tar --numeric-owner -cf one.tar odd
     mkdir out && tar --numeric-owner -xpf one.tar -C out
     tar --numeric-owner --sort=name -cf - -C out odd | tar --numeric-owner -tvf - > listing`,
    { cwd: directory },
  );
  const expected = snapshot(`${directory}/odd`);
  const actual = snapshot(`${directory}/out/odd`);
  // tar stores whole seconds only.
  for (const tree of [expected, actual]) {
    for (const [path, line] of tree) tree.set(path, line.replace(/(mtime -?\d+)\.\d+/, "$1"));
  }
  assert.deepEqual(snapshotDifferences(expected, actual), []);
  await Promise.resolve();
}, { ignore: !await hasProgram("tar") });

mountTest("tree: removing a large tree leaves nothing behind", async (mounted) => {
  await shell(`cp -a ${await realTree()} '${mounted.mountPoint}/tree'; rm -rf '${mounted.mountPoint}/tree'`);
  assert.deepEqual([...Deno.readDirSync(mounted.mountPoint)], []);
  await mounted.finish();
});

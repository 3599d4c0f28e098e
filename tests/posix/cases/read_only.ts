/** EROFS: what a read-only mount refuses. The case's own directory is mounted once more, read-only. */
import { ACCESS, O } from "../abi.ts";
import { kinds } from "../files.ts";
import { collect, type Test } from "../harness.ts";
import { creatingOps, isXattrOp, pathOps } from "../ops.ts";
import { access, mkdir, mount, open, rename, rmdir, setxattr, umount } from "../sys.ts";
import { close } from "../sys_file.ts";
import { contentOf, written } from "./open.ts";

const MS_RDONLY = 1;
const MS_REMOUNT = 32;
const MS_BIND = 4096;

/** The same directory twice: `real` can be written, `shown` cannot. */
function readOnly(t: Test): { real: string; shown: string } {
  const [real, shown] = [t.make("dir", t.at("real")), t.make("dir", t.at("shown"))];
  t.must(mount(real, shown, MS_BIND), "bind mount");
  t.defer(() => umount(shown));
  t.must(mount(null, shown, MS_BIND | MS_REMOUNT | MS_RDONLY), "read-only remount");
  return { real, shown };
}

export const cases = collect((test) => {
  test("read-only/EROFS: every call that would change something", (t) => {
    const { real, shown } = readOnly(t);
    for (const op of pathOps.filter((each) => each.writes === true && each.name !== "rename (to)")) {
      const [name, other] = [`f${op.name}`, `o${op.name}`];
      t.make(op.wants === "dir" ? "dir" : "regular", `${real}/${name}`);
      t.make("regular", `${real}/${other}`);
      const path = op.creates === true ? `${shown}/new` : `${shown}/${name}`;
      t.refused(() => op.call(path, `${shown}/${other}`), "EROFS", [`${real}/${name}`, real], op.name);
    }
    t.make("regular", `${real}/a`);
    t.make("regular", `${real}/b`);
    t.fails(rename(`${shown}/a`, `${shown}/b`), "EROFS");
    t.fails(setxattr(`${shown}/a`, "user.a", "x"), "EROFS");
  });

  test("read-only/OK: every call that only looks", (t) => {
    const { real, shown } = readOnly(t);
    const other = written(t, "x");
    for (const op of pathOps.filter((each) => each.writes !== true && !isXattrOp(each))) {
      const name = `f${op.name}`;
      t.make(op.wants ?? "regular", `${real}/${name}`);
      t.ok(op.call(`${shown}/${name}`, other), op.name);
    }
    written(t, "content", `${real}/file`);
    t.is(contentOf(`${shown}/file`), "content");
  });

  test("read-only/EROFS: open for writing of every kind that holds data; fifos and devices are not the disk's", (t) => {
    const { real, shown } = readOnly(t);
    for (const kind of kinds) t.make(kind, `${real}/${kind}`, { target: "regular" });
    for (const flags of [O.WRONLY, O.RDWR, O.RDONLY | O.TRUNC, O.WRONLY | O.CREAT, O.WRONLY | O.APPEND]) {
      t.fails(open(`${shown}/regular`, flags, 0o644), "EROFS", flags.toString(8));
      t.fails(open(`${shown}/symlink`, flags, 0o644), "EROFS", `through a link, ${flags.toString(8)}`);
    }
    t.fails(open(`${shown}/new`, O.WRONLY | O.CREAT, 0o644), "EROFS");
    const fifo = t.ok(open(`${shown}/fifo`, O.RDWR));
    close(fifo);
  });

  test("read-only/EROFS: access W_OK", (t) => {
    const { real, shown } = readOnly(t);
    written(t, "x", `${real}/f`);
    t.fails(access(`${shown}/f`, ACCESS.W), "EROFS");
    t.ok(access(`${shown}/f`, ACCESS.R));
    t.fails(access(shown, ACCESS.W), "EROFS");
  });

  test("read-only/EEXIST, ENOENT: come before EROFS", (t) => {
    const { real, shown } = readOnly(t);
    written(t, "x", `${real}/f`);
    for (const op of creatingOps.filter((each) => !each.name.startsWith("link"))) {
      t.fails(op.call(`${shown}/f`, ""), "EEXIST", op.name);
    }
    t.fails(rmdir(`${shown}/none`), "EROFS");
    t.fails(mkdir(`${shown}/none/x`), "ENOENT");
  });
});

/**
 * Extended attributes, ACLs and inode flags with the programs that people use, on a mount: the same script runs on a plain
 * directory of the host first, and must print the same.
 */
import assert from "node:assert/strict";
import { slayerfs } from "../helpers/cli.ts";
import { mountTest, oracleTest } from "../helpers/mounted.ts";
import { hasProgram, outputOf, run, shell } from "../helpers/shell.ts";

const hasAttr = await hasProgram("setfattr") && await hasProgram("getfattr");
const hasAcl = await hasProgram("setfacl") && await hasProgram("getfacl");
const hasFlags = await hasProgram("chattr") && await hasProgram("lsattr");
const hasCapabilities = await hasProgram("setcap") && await hasProgram("getcap");
/** A user who is not root runs a command: setpriv(1) is in util-linux. */
const AS_BOB = "setpriv --reuid=1001 --regid=1001 --clear-groups";

const named = (name: string, has: boolean, programs: string) =>
  has ? name : `${name} (skipped: no ${programs} here)`;

/** Output and errors of commands that may fail, each with its exit code. */
async function transcript(directory: string, script: string): Promise<string> {
  const lines = script.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const commands = lines.map((line) => `echo ${quoted(`$ ${line}`)}; ${line}; echo "-> $?"`);
  const { stdout } = await outputOf("/bin/bash", [
    "-c",
    `exec 2>&1; umask 022; chmod 755 .\n${sorted}\n${commands.join("\n")}`,
  ], {
    cwd: directory,
  });
  // Extents are ext4's own mark.
  return stdout.replaceAll(/^(-*[a-zA-Z-]*)e(-+) /gm, "$1-$2 ");
}

/** What comes in no order of its own: the attributes of a file, the files of a tree. */
const sorted = `attrs() { getfattr "$@" | sort; return $PIPESTATUS; }
  acls() { find "$@" ! -type l | sort | xargs getfacl -n; }`;

const quoted = (text: string) => `'${text.replaceAll("'", `'"'"'`)}'`;

oracleTest(
  named("setfattr and getfattr", hasAttr, "setfattr"),
  (directory) =>
    transcript(
      directory,
      `touch f; mkdir d; ln -s f link; mkfifo p
       setfattr -n user.text -v 'some text' f
       setfattr -n user.binary -v 0x00ff0a00 f
       setfattr -n user.empty f
       setfattr -n user.on_directory -v 1 d
       setfattr -n trusted.t -v 1 f
       setfattr -h -n trusted.link -v 1 link
       attrs -d -e hex f; attrs -d -m - d; attrs -h -d -m - link; getfattr --only-values -n user.text f
       ${AS_BOB} getfattr -d -m - f | sort
       ${AS_BOB} setfattr -n user.b -v 1 f
       ${AS_BOB} getfattr -n trusted.t f
       setfattr -n user.text -v other f; getfattr -n user.text f
       setfattr -x user.text f; attrs -d f
       setfattr -x user.text f
       setfattr -h -n user.no -v 1 link
       setfattr -n user.no -v 1 p
       setfattr -n other.no -v 1 f
       setfattr -n user. -v 1 f
       setfattr -n system.no -v 1 f
       setfattr -n user.$(printf '%0250d' 0) -v 1 f; getfattr -m 0000 f | wc -c
       setfattr -n user.$(printf '%0251d' 0) -v 1 f
       cp -a f copy; attrs -d -m - copy; mv f moved; ln moved linked; attrs -d -m - linked
       rm -r moved linked d`,
    ),
  { ignore: !hasAttr, compare: (host, mount) => assert.equal(mount, host) },
);

oracleTest(
  named("setfacl and getfacl: access, mask, chmod, defaults, inheritance, who may", hasAcl, "setfacl"),
  (directory) =>
    transcript(
      directory,
      `echo content > f; mkdir d; chmod 640 f
       ${AS_BOB} cat f
       setfacl -m u:1001:rw,g:1002:r f; getfacl -n f; ls -l f | cut -c1-11; stat -c %a f
       ${AS_BOB} cat f
       ${AS_BOB} sh -c 'echo more >> f'
       chmod g-w f; getfacl -n f
       ${AS_BOB} sh -c 'echo more >> f'
       chmod 000 f; getfacl -n f; chmod 660 f; getfacl -n f
       setfacl -x u:1001 f; getfacl -n f
       ${AS_BOB} cat f
       setfacl -b f; getfacl -n f; ls -l f | cut -c1-11
       ${AS_BOB} setfacl -m u:1001:rwx f
       setfacl -d -m u:1001:rwx,g:1002:rx,o::- d; getfacl -n d
       umask 077; touch d/file; mkdir d/sub; mkfifo d/fifo; ln -s x d/link; mkdir d/sub/deep; echo > d/sub/deep/file
       umask 022; getfacl -n d/file d/sub d/fifo d/sub/deep d/sub/deep/file; stat -c '%A %n' d/*
       ${AS_BOB} touch d/sub/mine; setfacl -m u:1001:rwx d; ${AS_BOB} touch d/sub/mine; getfacl -n d/sub/mine
       setfacl -k d/sub; touch d/sub/plain; getfacl -n d/sub/plain
       setfacl -d -m u::rwx,g::rx,o::rx d/sub; (umask 077; touch d/sub/byDefault); getfacl -n d/sub/byDefault
       setfacl -d -m u:1:r f
       cp -a d copy; acls copy; getfacl -nR d > saved; setfacl -bR d; setfacl --restore=saved; acls d
       chmod 2775 d/sub; setfacl -m u:7:rwx d/sub; stat -c %a d/sub; mkdir d/sub/inherits; stat -c %a d/sub/inherits
       setfattr -n system.posix_acl_access -v 0x1234 f
       setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff f
       setfattr -x system.posix_acl_access f; setfattr -x system.posix_acl_default d; getfacl -n d
       setfacl -m ${
        Array.from({ length: 100 }, (_, i) => `u:${2000 + i}:r`).join(",")
      } f; getfacl -n f | wc -l
       rm -r d copy`,
    ),
  {
    ignore: !hasAcl,
    compare: (host, mount) => assert.equal(mount, host),
    again: async (directory) => {
      assert.match(await run("getfacl", ["-n", `${directory}/f`]), /user:2099:r--/);
    },
  },
);

oracleTest(
  named("chattr and lsattr: immutable and append-only files and directories", hasFlags, "chattr"),
  (directory) =>
    transcript(
      directory,
      `echo one > f; mkdir d; echo x > d/f; exec 5>>f
       lsattr f; lsattr -d d
       chattr +i f; lsattr f
       echo two > f
       echo two >> f
       echo two >&5
       rm -f f
       mv f g
       ln f g
       chmod 600 f
       chown 1 f
       touch f
       truncate -s 0 f
       setfattr -n user.a -v 1 f
       echo x > g; mv -f g f; rm g
       cat f; chattr -i f; echo two >> f; cat f
       chattr +a f; lsattr f
       echo three >> f
       echo four > f
       truncate -s 0 f
       rm -f f
       mv f g
       touch f
       touch -d 2001-01-01 f
       cat f; chattr -a f
       chattr +i d; lsattr -d d
       touch d/new; mkdir d/new; ln f d/new; rm -f d/f; mv d/f g; mv f d/new; rmdir d; mv d e
       echo y > d/f; cat d/f; chattr -i d
       chattr +a d
       touch d/new; mv f d/in; ls d
       rm -f d/new; mv d/new g; rmdir d; chattr -a d; mv d/in f
       chattr +dA f; lsattr f; chattr =S f; lsattr f; echo synced > f; chattr = f; lsattr f
       chattr +d d; touch d/inherits; mkdir d/too; lsattr -d d/inherits d/too
       ${AS_BOB} chattr +d f
       chown 1001 f; ${AS_BOB} chattr +d f; ${AS_BOB} chattr +i f; lsattr f
       rm -r d f`,
    ),
  { ignore: !hasFlags || !hasAttr, compare: (host, mount) => assert.equal(mount, host) },
);

oracleTest(
  named("capabilities go with a write, a truncate and chown", hasCapabilities, "setcap"),
  (directory) =>
    transcript(
      directory,
      `cp /bin/true f
       setcap cap_net_raw+ep f; getcap f; chmod 700 f; touch f; getcap f
       echo x >> f; getcap f
       setcap cap_net_raw+ep f; truncate -s 100 f; getcap f
       setcap cap_net_raw+ep f; chown 1001 f; getcap f
       setcap cap_net_raw+ep f; : > f; getcap f`,
    ),
  { ignore: !hasCapabilities, compare: (host, mount) => assert.equal(mount, host) },
);

mountTest(named("values of 64 KiB and a thousand names", hasAttr, "setfattr"), async (mounted) => {
  const file = `${mounted.mountPoint}/f`;
  await shell(
    `touch f; for i in $(seq 1000); do echo "setfattr -n user.name$i -v value$i f"; done | sh
     head -c 49149 /dev/urandom > /tmp/value.$$; setfattr -n user.big -v "0s$(base64 -w0 /tmp/value.$$)" f
     getfattr --only-values -n user.big f | cmp - /tmp/value.$$; rm /tmp/value.$$`,
    { cwd: mounted.mountPoint },
  );
  await mounted.remount();
  const dump = await run("getfattr", ["-d", file]);
  assert.equal(dump.match(/^user\.name/gm)?.length, 1000);
  await Deno.remove(file);
  await mounted.finish();
}, { ignore: !hasAttr });

mountTest(
  named("a volume formatted without ACLs has none, and keeps other attributes", hasAcl, "setfacl"),
  async (mounted) => {
    const printed = await transcript(
      mounted.mountPoint,
      `touch f; setfacl -m u:1001:rw f; getfacl -n f; setfattr -n user.a -v 1 f; getfattr -d f; (umask 027; touch g; stat -c %a g)`,
    );
    assert.match(printed, /Operation not supported/);
    assert.match(printed, /user.a="1"/);
    assert.match(printed, /^640$/m, "the umask counts");
    await mounted.finish();
  },
  { ignore: !hasAcl || !hasAttr, formatArgs: ["--no-acl"] },
);

mountTest(
  named("another mount sees ACLs and flags, and holds to them", hasAcl && hasFlags, "setfacl or chattr"),
  async (one) => {
    const other = `${one.directory}/other`;
    await Deno.mkdir(other);
    const mounted = await slayerfs([
      "mount",
      "-d",
      "--log",
      `${one.directory}/other.log`,
      one.metaUrl,
      other,
    ]);
    assert.equal(mounted.code, 0, mounted.stderr);
    try {
      await shell(`chmod 755 .; echo content > f; chmod 600 f; cat "$OTHER/f"; setfacl -m u:1001:r f`, {
        cwd: one.mountPoint,
        env: { OTHER: other },
      });
      // Attributes may be a second old there.
      await new Promise((resolve) => setTimeout(resolve, 1100));
      assert.equal(await shell(`${AS_BOB} cat f`, { cwd: other }), "content\n");
      await shell("chattr +i f", { cwd: one.mountPoint });
      await new Promise((resolve) => setTimeout(resolve, 1100));
      for (const change of ["echo x > f", "rm -f f", "chmod 644 f", "mv f g"]) {
        const { code, stderr } = await outputOf("/bin/sh", ["-c", change], { cwd: other });
        assert.notEqual(code, 0, change);
        assert.match(stderr, /Operation not permitted/, change);
      }
      await shell("chattr -i f", { cwd: other });
    } finally {
      await slayerfs(["umount", other]);
    }
    await one.finish();
  },
  { ignore: !(hasAcl && hasFlags) },
);

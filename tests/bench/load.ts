/** The same load generator as load.c, for machines without a C compiler: system calls by FFI from one thread. */
import * as libc from "../helpers/libc.ts";

const [what, path = "", count, blockText = "0"] = Deno.args;
const total = Number(count);
const block = Number.parseInt(blockText);
const isRandom = blockText.endsWith("r");

function names(operation: (name: string) => void): number {
  const start = performance.now();
  for (let i = 0; i < total; i++) operation(`${path}/file-${i}`);
  return total / ((performance.now() - start) / 1000);
}

function data(isWrite: boolean): number {
  const buffer = new Uint8Array(block);
  for (let i = 0; i < block; i += 65536) crypto.getRandomValues(buffer.subarray(i, i + 65536));
  const view = new DataView(buffer.buffer);
  const { CREAT, RDONLY, RDWR, TRUNC } = libc.O;
  const start = performance.now();
  const fd = libc.open(path, isWrite ? RDWR | (isRandom ? 0 : CREAT | TRUNC) : RDONLY, 0o644);
  const blocks = Math.floor((isRandom ? libc.fstat(fd).size : total) / block);
  for (let done = 0; done < total; done += block) {
    const at = isRandom ? Math.floor(Math.random() * blocks) * block : done;
    if (isWrite) view.setBigInt64(0, BigInt(at), true);
    const moved = isWrite ? libc.pwrite(fd, buffer, at) : libc.pread(fd, buffer, at);
    if (moved !== block) throw new Error(`${moved} of ${block} bytes at ${at}`);
    if (!isWrite && !isRandom && Number(view.getBigInt64(0, true)) !== at) {
      throw new Error(`wrong bytes at ${at}`);
    }
  }
  if (isWrite) libc.fsync(fd);
  libc.close(fd);
  return total / ((performance.now() - start) / 1000);
}

function perform(): number {
  switch (what) {
    case "create":
      return names((name) => libc.close(libc.open(name, libc.O.CREAT | libc.O.EXCL | libc.O.WRONLY, 0o644)));
    case "stat":
      return names((name) => void libc.stat(name));
    case "unlink":
      return names((name) => libc.unlink(name));
    case "write":
      return data(true);
    case "read":
      return data(false);
    case "drop": {
      // Without posix_fadvise: the whole machine's cache, if we may.
      new Deno.Command("/bin/sh", { args: ["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"] }).outputSync();
      return 0;
    }
    default:
      throw new Error(`unknown operation ${what}`);
  }
}

console.log(perform().toFixed(1));

/** A Vfs that counts the references and handles it gave out, to find out who does not give them back. */
import type { Entry, Opened, Vfs } from "../../core/vfs/types.ts";

export interface CountedVfs extends Vfs {
  /** What was given out and not given back, one line each; more given back than given out shows as negative. */
  outstanding(): string[];
}

export function countedVfs(vfs: Vfs): CountedVfs {
  const references = new Map<number, number>();
  const handles = new Map<number, string>();
  const add = (ino: number, count: number) => {
    const sum = (references.get(ino) ?? 0) + count;
    if (sum === 0) references.delete(ino);
    else references.set(ino, sum);
  };
  const entry = <E extends Entry>(given: E): E => {
    add(given.attr.ino, 1);
    return given;
  };
  const opened = <O extends Opened>(given: O, what: string): O => {
    handles.set(given.handle, what);
    return given;
  };
  return {
    ...vfs,
    outstanding: () => [
      ...[...references].map(([ino, count]) => `${count} references to inode ${ino}`),
      ...[...handles].map(([handle, what]) => `handle ${handle} of ${what}`),
    ],
    lookup: async (...args) => entry(await vfs.lookup(...args)),
    mknod: async (...args) => entry(await vfs.mknod(...args)),
    mkdir: async (...args) => entry(await vfs.mkdir(...args)),
    symlink: async (...args) => entry(await vfs.symlink(...args)),
    link: async (...args) => entry(await vfs.link(...args)),
    create: async (...args) => {
      const created = entry(await vfs.create(...args));
      return opened(created, `file ${created.attr.ino}`);
    },
    open: async (caller, ino, flags) => opened(await vfs.open(caller, ino, flags), `file ${ino}`),
    opendir: async (caller, ino) => opened(await vfs.opendir(caller, ino), `directory ${ino}`),
    readdir: (caller, ino, handle, offset, plus, sink) =>
      vfs.readdir(caller, ino, handle, offset, plus, (name, entryIno, mode, cookie, attr) => {
        const taken = sink(name, entryIno, mode, cookie, attr);
        if (taken && attr !== null) add(entryIno, 1);
        return taken;
      }),
    forget(ino, count) {
      add(ino, -count);
      vfs.forget(ino, count);
    },
    release(ino, handle) {
      handles.delete(handle);
      return vfs.release(ino, handle);
    },
    releasedir(ino, handle) {
      handles.delete(handle);
      return vfs.releasedir(ino, handle);
    },
  };
}

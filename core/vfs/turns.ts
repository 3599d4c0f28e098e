/** Runs functions for the same inode one after the other. Holds nothing for an inode that nobody waits for. */
export function turns(): <T>(ino: number, run: () => Promise<T>) => Promise<T> {
  const last = new Map<number, Promise<unknown>>();
  return async (ino, run) => {
    const before = last.get(ino) ?? Promise.resolve();
    const result = before.then(run);
    const settled = result.catch(() => {});
    last.set(ino, settled);
    try {
      return await result;
    } finally {
      if (last.get(ino) === settled) last.delete(ino);
    }
  };
}

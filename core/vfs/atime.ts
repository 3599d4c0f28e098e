/**
 * Access times, with the rules of mount(8): `relatime` sets atime at a read if it is not later than mtime or ctime, or if
 * it is a day old; `strictatime` at every read; `noatime` never; `nodiratime` not for directories. Reads that the kernel
 * answers from its own cache are not seen here.
 *
 * The commit is not waited for by the read. Until it is done the new time is kept here and shown by every stat of this
 * client: `pending`. At most one commit a file is under way; a failing one loses only the access time.
 */
import type { Env, Timespec } from "../env.ts";
import { isDirectory } from "../meta/attr.ts";
import { FS_NOATIME_FL } from "../meta/inode_flags.ts";
import type { MetaEngine } from "../meta/engine.ts";
import type { Attr } from "./types.ts";

export type AtimeMode = "relatime" | "strictatime" | "noatime";

const DAY_SEC = 86_400;

export class AccessTimes {
  private pending = new Map<number, { readonly time: Timespec; readonly settled: Promise<void> }>();

  constructor(
    private readonly engine: Pick<MetaEngine, "raiseAtime">,
    private readonly env: Env,
    private readonly mode: AtimeMode,
    private readonly nodiratime = false,
  ) {}

  /** The file was read. */
  noteRead(row: Attr): void {
    if (this.mode === "noatime" || (row.flags & FS_NOATIME_FL) !== 0 || this.pending.has(row.ino)) return;
    if (this.nodiratime && isDirectory(row.mode)) return;
    const now = this.env.now();
    if (this.mode === "relatime" && !isDue(row, now)) return;
    const settled = this.engine.raiseAtime(row.ino, now).catch(() => {}).then(() => {
      this.pending.delete(row.ino);
    });
    this.pending.set(row.ino, { time: now, settled });
  }

  /** The row with the access time that this client knows. */
  shown(row: Attr): Attr {
    if (this.pending.size === 0) return row;
    const time = this.pending.get(row.ino)?.time;
    return time === undefined ? row : { ...row, atime: time.sec, atimeNsec: time.nsec };
  }

  /** Resolves when no commit for this file is under way: what is set then is not overtaken. */
  async settled(ino: number): Promise<void> {
    await this.pending.get(ino)?.settled;
  }
}

function isDue(row: Attr, now: Timespec): boolean {
  return now.sec - row.atime >= DAY_SEC ||
    !isLater(row.atime, row.atimeNsec, row.mtime, row.mtimeNsec) ||
    !isLater(row.atime, row.atimeNsec, row.ctime, row.ctimeNsec);
}

const isLater = (sec: number, nsec: number, thanSec: number, thanNsec: number): boolean =>
  sec > thanSec || (sec === thanSec && nsec > thanNsec);

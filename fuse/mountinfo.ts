/** /proc/self/mountinfo (proc_pid_mountinfo(5)): what is mounted where, asked of the kernel and never of the mount. */

export interface MountInfo {
  /** MAJOR:MINOR of st_dev: the name under /sys/class/bdi. */
  readonly device: string;
  readonly mountPoint: string;
  /** For example `ext4` or `fuse.slayerfs`. */
  readonly type: string;
  readonly source: string;
  /** Who mounted a FUSE file system; 0 for all others. */
  readonly userId: number;
}

export const FS_TYPE = "fuse.slayerfs";

/** In mount order: of two mounts on one point the later one is seen. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    // 36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const [, , device, , mountPoint] = fields;
    const type = fields[separator + 1];
    const source = fields[separator + 2];
    const userId = Number(/(?:^|,)user_id=(\d+)/.exec(fields[separator + 3] ?? "")?.[1] ?? 0);
    if (separator < 0 || device === undefined || mountPoint === undefined || type === undefined) continue;
    mounts.push({
      device,
      mountPoint: unescapeField(mountPoint),
      type,
      source: unescapeField(source ?? ""),
      userId,
    });
  }
  return mounts;
}

/** The mount that is seen at this path; undefined if the path is not a mount point. `path` must be canonical. */
export function mountAt(path: string): MountInfo | undefined {
  return parseMountInfo(Deno.readTextFileSync("/proc/self/mountinfo"))
    .findLast((mount) => mount.mountPoint === path);
}

/** Space, tab, newline and backslash are written as \ooo. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

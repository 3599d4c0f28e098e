/** `slayerfs status`: settings, use and sessions of a volume. */
import type { Command } from "commander";
import { systemEnv } from "../core/env.ts";
import { type VolumeStatus, volumeStatus } from "../core/volume.ts";
import { switchFlag } from "./flags.ts";
import { printable, printJson, printLine, printTable } from "./output.ts";
import { selfCommand } from "./self.ts";
import { formatOf, openMeta } from "./stores.ts";
import { formatBytes, formatDuration, plural } from "./units.ts";

/** A session that has said nothing for this long is shown as silent; JuiceFS cleans up after the same time. */
const SILENT_AFTER_MS = 60_000;

export function addStatus(program: Command): void {
  program.command("status")
    .summary("show a volume's settings, use and sessions")
    .description("Shows the settings of a volume, what it holds, and who has it open.")
    .argument("<META-URL>", "where the volume's metadata lives")
    .addOption(switchFlag("--json", "print as JSON"))
    .addHelpText("after", () => {
      const self = selfCommand();
      return `
Examples:
  ${self} status libsql:/var/lib/slayerfs/photos.db
  ${self} status --json libsql:/var/lib/slayerfs/photos.db | jq .sessions`;
    })
    .action(status);
}

async function status(metaUrl: string, flags: { readonly json?: true }): Promise<void> {
  const meta = await openMeta(metaUrl, "open", systemEnv("warn"));
  try {
    await formatOf(meta);
    const current = await volumeStatus(meta.store);
    if (flags.json === true) printJson(current);
    else printStatus(current, meta.shownUrl, Date.now());
  } finally {
    await meta.store.close();
  }
}

function printStatus(current: VolumeStatus, shownUrl: string, nowMs: number): void {
  const { format, sessions } = current;
  const limit = (value: number, shown: string) => value === 0 ? "no limit" : shown;
  printTable([
    ["Volume", format.name],
    ["UUID", format.uuid],
    ["Created", format.createdAt],
    ["Metadata", shownUrl],
    ["Data", format.bucket],
    ["Block size", formatBytes(format.blockBytes)],
    ["Compression", format.compression],
    ["Capacity", limit(format.capacityBytes, formatBytes(format.capacityBytes))],
    ["Most inodes", limit(format.inodesMax, format.inodesMax.toLocaleString("en-US"))],
    ["Used", `${formatBytes(current.usedBytes)} in ${plural(current.usedInodes, "inode")}`],
    [
      "To be deleted",
      `${plural(current.pendingDeletedFiles, "file")}, ${plural(current.pendingDeletedSlices, "slice")}`,
    ],
  ]);
  printLine();
  if (sessions.length === 0) return printLine("No sessions: nobody has the volume open.");
  printTable([
    ["SESSION", "HOST", "PID", "MOUNT POINT", "VERSION", "LAST SEEN"],
    ...sessions.map((each) => {
      const silentMs = Math.max(0, nowMs - each.heartbeatAt * 1000);
      const silent = silentMs > SILENT_AFTER_MS ? " (silent)" : "";
      return [
        String(each.session),
        printable(each.host),
        String(each.pid),
        printable(each.mountPoint ?? "-") + (each.readOnly === true ? " (read-only)" : ""),
        each.version,
        `${formatDuration(silentMs)} ago${silent}`,
      ];
    }),
  ]);
}

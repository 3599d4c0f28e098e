/** What commands print: text for people on stdout, one JSON document for programs. */

/** Prints one line on stdout. */
export function printLine(line = ""): void {
  writeAll(line + "\n");
}

/** Prints one JSON document on stdout. */
export function printJson(value: unknown): void {
  writeAll(JSON.stringify(value, null, 2) + "\n");
}

/** Rows with aligned columns; the last column is not padded. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => widths[column] = Math.max(widths[column] ?? 0, displayWidth(cell)));
  }
  return rows.map((row) =>
    row.map((cell, column) =>
      column === row.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - displayWidth(cell))
    ).join("  ").trimEnd()
  );
}

export function printTable(rows: readonly (readonly string[])[], indent = ""): void {
  for (const line of tableLines(rows)) printLine(indent + line);
}

/** Text that came from elsewhere (paths, host names) must not move the cursor or forge lines. */
export function printable(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

function displayWidth(text: string): number {
  return [...text].length;
}

/** Writes to stdout as it is. A reader that has gone (`slayerfs status | head -1`) is no failure. */
export function writeAll(text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    let written = 0;
    while (written < bytes.length) written += Deno.stdout.writeSync(bytes.subarray(written));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

import { strictEqual, throws } from "node:assert/strict";
import { formatBytes, formatDuration, parseCount, parseDurationMs, parseSizeBytes, plural } from "./units.ts";

Deno.test("units: sizes with and without a unit", () => {
  const cases: [string, "K" | "M" | "G", number][] = [
    ["4096", "K", 4 << 20],
    ["300", "M", 300 << 20],
    ["0", "G", 0],
    ["1.5", "G", 1.5 * 1024 ** 3],
    ["4M", "K", 4 << 20],
    ["4m", "K", 4 << 20],
    ["4MiB", "K", 4 << 20],
    ["64 KB", "M", 64 << 10],
    ["17B", "K", 17],
    ["2T", "G", 2 * 1024 ** 4],
  ];
  for (const [text, unit, bytes] of cases) strictEqual(parseSizeBytes(text, unit), bytes, text);
  for (const text of ["", "x", "-1", "1 2", "4X", "M", "1e3", "9999999P", "0x10"]) {
    throws(() => parseSizeBytes(text, "M"), /is not a size/, text);
  }
});

Deno.test("units: durations are seconds unless said otherwise", () => {
  const cases: [string, number][] = [
    ["1", 1000],
    ["1.0", 1000],
    ["0.25", 250],
    ["500ms", 500],
    ["2s", 2000],
    ["5m", 300_000],
  ];
  for (const [text, ms] of cases) strictEqual(parseDurationMs(text), ms, text);
  for (const text of ["", "s", "-1", "1d", "1 year"]) {
    throws(() => parseDurationMs(text), /is not a duration/, text);
  }
});

Deno.test("units: counts are whole numbers", () => {
  strictEqual(parseCount("0"), 0);
  strictEqual(parseCount(" 12 "), 12);
  for (const text of ["", "-1", "1.5", "1e3", "99999999999999999999"]) {
    throws(() => parseCount(text), /whole number/, text);
  }
});

Deno.test("units: what people read", () => {
  strictEqual(formatBytes(0), "0 B");
  strictEqual(formatBytes(1023), "1023 B");
  strictEqual(formatBytes(4 << 20), "4 MiB");
  strictEqual(formatBytes(1.5 * 1024 ** 3), "1.5 GiB");
  strictEqual(formatBytes(123.4 * 1024), "123 KiB");
  strictEqual(formatBytes(-2048), "-2 KiB");
  strictEqual(formatDuration(850), "850 ms");
  strictEqual(formatDuration(12_000), "12 s");
  strictEqual(formatDuration(600_000), "10 min");
  strictEqual(formatDuration(3 * 86_400_000), "3 d");
  strictEqual(plural(1, "file"), "1 file");
  strictEqual(plural(1200, "file"), "1,200 files");
});

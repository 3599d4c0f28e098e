/** Sizes and durations as people write and read them. */
import { UserError } from "../core/errors.ts";
import { ExitCode } from "./exit_code.ts";

const KIB = 1024;
const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  K: KIB,
  M: KIB ** 2,
  G: KIB ** 3,
  T: KIB ** 4,
  P: KIB ** 5,
};

export type SizeUnit = "B" | "K" | "M" | "G" | "T" | "P";

/** `"300"` in `defaultUnit`, or with a unit of its own: `64K`, `4M`, `4MiB`, `1.5G`. Units are powers of 1024. Bytes, rounded. */
export function parseSizeBytes(text: string, defaultUnit: SizeUnit): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(?:([BKMGTP])(?:i?B)?)?\s*$/i.exec(text);
  const unit = sizeUnits[(match?.[2] ?? defaultUnit).toUpperCase()];
  const sizeBytes = match?.[1] === undefined || unit === undefined
    ? NaN
    : Math.round(Number(match[1]) * unit);
  if (!Number.isSafeInteger(sizeBytes)) {
    throw new UserError(
      `${JSON.stringify(text)} is not a size; write a number, or 64K, 4M, 1G`,
      ExitCode.usage,
    );
  }
  return sizeBytes;
}

/** Seconds as JuiceFS writes them (`1`, `1.0`), or with a unit: `500ms`, `2s`, `5m`. Milliseconds. */
export function parseDurationMs(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*$/.exec(text);
  const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? "s"];
  const durationMs = match?.[1] === undefined || unitMs === undefined ? NaN : Number(match[1]) * unitMs;
  if (!Number.isFinite(durationMs)) {
    throw new UserError(
      `${JSON.stringify(text)} is not a duration; write seconds, or 500ms, 2s, 5m`,
      ExitCode.usage,
    );
  }
  return Math.round(durationMs);
}

/** A whole number of at least 0. */
export function parseCount(text: string): number {
  const count = /^\s*\d+\s*$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(count)) {
    throw new UserError(`${JSON.stringify(text)} is not a whole number of at least 0`, ExitCode.usage);
  }
  return count;
}

/** `4 MiB`, `1.5 GiB`, `17 B`. */
export function formatBytes(bytes: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = Math.abs(bytes);
  let index = 0;
  while (value >= 1024 && index < names.length - 1) {
    value /= 1024;
    index++;
  }
  const digits = index === 0 || Number.isInteger(value) || value >= 100 ? 0 : 1;
  return `${bytes < 0 ? "-" : ""}${value.toFixed(digits)} ${names[index]}`;
}

/** `850 ms`, `12 s`, `5 min`, `3 h`, `2 d`: one unit, for people. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  const seconds = durationMs / 1000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `1 file`, `3 files`. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

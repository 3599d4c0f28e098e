/**
 * Operations of the exerciser: made up from a seed, or given. Each one stands for itself (absolute offsets, whatever the
 * file's length is when it runs), so that any part of a sequence is a sequence, too: that is what shrinking needs.
 */
import type { Random } from "../model/random.ts";

export type Operation =
  | { readonly do: RangeKind; readonly at: number; readonly length: number }
  | { readonly do: "copy"; readonly at: number; readonly length: number; readonly to: number }
  | { readonly do: "truncate"; readonly length: number }
  | { readonly do: "seek"; readonly at: number }
  | { readonly do: WholeKind };

/** `directRead`, `directWrite`: whole pages with O_DIRECT, also where the rest goes through the page cache. `allocate` and
 *  `zero` grow the file, the ones with Keep do not. */
export type RangeKind =
  | "read"
  | "directRead"
  | "write"
  | "directWrite"
  | "mapRead"
  | "mapWrite"
  | "punch"
  | "zero"
  | "zeroKeep"
  | "allocate"
  | "allocateKeep";

/** `drop`: the kernel forgets its clean pages of the file. `pollute`: bytes behind the end, in the last page of a mapping,
 *  are written; they must never become part of the file. */
export type WholeKind = "fsync" | "fdatasync" | "reopen" | "remount" | "drop" | "pollute";
export type Kind = Operation["do"];

export const weights: Readonly<Record<Kind, number>> = {
  read: 14,
  directRead: 4,
  mapRead: 10,
  write: 16,
  directWrite: 3,
  mapWrite: 12,
  truncate: 7,
  punch: 5,
  zero: 3,
  zeroKeep: 2,
  allocate: 2,
  allocateKeep: 1,
  copy: 7,
  seek: 3,
  fsync: 1,
  fdatasync: 1,
  reopen: 3,
  drop: 3,
  pollute: 2,
  remount: 0,
};

export interface Shape {
  /** Bytes of the file that are worked on: from `baseBytes` to `baseBytes + fileBytes`. */
  readonly fileBytes: number;
  readonly baseBytes: number;
  /** Of one operation, at most. */
  readonly operationBytes: number;
  /** Offsets and lengths are multiples of it, `baseBytes` and `fileBytes` must be. */
  readonly alignBytes: number;
  readonly weights: Readonly<Record<Kind, number>>;
}

export const PAGE_BYTES = 4096;

export function makeOperations(random: Random, count: number, shape: Shape): Operation[] {
  const kinds = Object.entries(shape.weights) as [Kind, number][];
  const total = kinds.reduce((sum, [, weight]) => sum + weight, 0);
  const pickKind = (): Kind => {
    let rest = random.below(total);
    for (const [kind, weight] of kinds) {
      rest -= weight;
      if (rest < 0) return kind;
    }
    return "read";
  };
  const { fileBytes, baseBytes, alignBytes } = shape;
  const end = baseBytes + fileBytes;
  const aligned = (n: number) => n - n % alignBytes;
  const length = () => {
    const most = random.chance(0.3) ? Math.min(shape.operationBytes, 512) : shape.operationBytes;
    const some = 1 + random.below(most);
    // Whole pages take other ways through a kernel than parts of them.
    const rounded = random.chance(0.2) ? Math.ceil(some / PAGE_BYTES) * PAGE_BYTES : some;
    return Math.max(alignBytes, aligned(Math.min(rounded, fileBytes)));
  };
  const offset = (length: number) => {
    const any = baseBytes + random.below(fileBytes - length + 1);
    return Math.max(baseBytes, aligned(random.chance(0.2) ? any - any % PAGE_BYTES : any));
  };
  const operations: Operation[] = [];
  for (let i = 0; i < count; i++) {
    const kind = pickKind();
    switch (kind) {
      case "truncate": {
        // Seldom below what is worked on, or to nothing.
        const rare = random.chance(0.05);
        const to = rare
          ? (random.chance(0.5) ? 0 : random.below(end + 1))
          : baseBytes + random.below(fileBytes + 1);
        operations.push({ do: kind, length: aligned(random.chance(0.2) ? to - to % PAGE_BYTES : to) });
        break;
      }
      case "copy": {
        const bytes = Math.max(alignBytes, aligned(Math.min(length(), Math.floor(fileBytes / 2))));
        const at = offset(bytes);
        let to = offset(bytes);
        // copy_file_range(2): ranges of one file must not overlap.
        if (Math.abs(to - at) < bytes) to = at + 2 * bytes <= end ? at + bytes : at - bytes;
        if (to >= baseBytes) operations.push({ do: kind, at, length: bytes, to });
        break;
      }
      case "seek":
        operations.push({ do: kind, at: baseBytes + random.below(fileBytes) });
        break;
      case "fsync":
      case "fdatasync":
      case "reopen":
      case "remount":
      case "drop":
      case "pollute":
        operations.push({ do: kind });
        break;
      default: {
        const bytes = length();
        operations.push({ do: kind, at: offset(bytes), length: bytes });
      }
    }
  }
  return operations;
}

const hex = (n: number) => `0x${n.toString(16)}`;

/** One line: what, where from, where to. */
export function describe(operation: Operation): string {
  if (!("at" in operation)) {
    return operation.do === "truncate" ? `truncate ${hex(operation.length)}` : operation.do;
  }
  if (operation.do === "seek") return `seek ${hex(operation.at)}`;
  const range = `${hex(operation.at)}..${hex(operation.at + operation.length)} (${hex(operation.length)})`;
  return operation.do === "copy" ? `copy ${range} to ${hex(operation.to)}` : `${operation.do} ${range}`;
}

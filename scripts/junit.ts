/** Reads the report that `deno test --junit-path` writes: one element `testcase` per test and per step. */

/** What came of the tests of one file. Steps count with their test; skipped steps are named too. */
export interface FileResult {
  readonly path: string;
  readonly passed: number;
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

interface TestCase {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

export function readJunit(path: string, xml: string): FileResult {
  const cases = [...xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(
    (match): TestCase => {
      const body = match[2] ?? "";
      const outcome = /<(?:failure|error)[\s>]/.test(body)
        ? "failed"
        : /<skipped[\s/>]/.test(body)
        ? "skipped"
        : "passed";
      return { name: decode(match[1] ?? ""), outcome };
    },
  );
  // A step's name is its test's name, " > " and its own.
  const names = new Set(cases.map((each) => each.name));
  const isStep = (name: string) => {
    for (let at = name.indexOf(" > "); at >= 0; at = name.indexOf(" > ", at + 1)) {
      if (names.has(name.slice(0, at))) return true;
    }
    return false;
  };
  const tests = cases.filter((each) => !isStep(each.name));
  return {
    path,
    passed: tests.filter((each) => each.outcome === "passed").length,
    failed: tests.filter((each) => each.outcome === "failed").map((each) => each.name),
    skipped: cases.filter((each) => each.outcome === "skipped").map((each) => each.name),
  };
}

function decode(text: string): string {
  const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(\w+|#\d+|#x[0-9a-f]+);/gi, (whole, name: string) => {
    if (name.startsWith("#x")) return String.fromCodePoint(parseInt(name.slice(2), 16));
    if (name.startsWith("#")) return String.fromCodePoint(Number(name.slice(1)));
    return entities[name] ?? whole;
  });
}

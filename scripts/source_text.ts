/**
 * A light look at TypeScript source for tidy.ts: which modules a file names, and its text with comments and strings blanked out, so
 * that rules about code do not trip over prose. Not a parser: regular expression literals are told from
 * divisions by the token before them, which is right for formatted code.
 */

export interface ModuleReference {
  readonly specifier: string;
  readonly line: number;
  /** Only types are taken: nothing of the module runs. */
  readonly typeOnly: boolean;
}

export interface ScannedSource {
  /** Same length and lines as the source; comments are blanks. */
  readonly withoutComments: string;
  /** Same length and lines as the source; comments and the insides of strings, templates and regular expressions are blanks. */
  readonly code: string;
  /** Every string literal without an escape or a placeholder, with its line. */
  readonly strings: readonly { readonly value: string; readonly line: number }[];
}

/** Splits a source into code, comments and literals. */
export function scanSource(source: string): ScannedSource {
  const code = source.split("");
  const withoutComments = source.split("");
  const strings: { value: string; line: number }[] = [];
  // Depths of `{` at which an enclosing template literal goes on after `}`.
  const templateDepths: number[] = [];
  let depth = 0;
  let line = 1;
  let lastSignificant = "";
  let at = 0;

  const blank = (text: string[], from: number, to: number) => {
    for (let i = from; i < to; i++) if (text[i] !== "\n") text[i] = " ";
  };
  const countLines = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (source[i] === "\n") line++;
  };
  /** Skips template text from `from` to its end or to a placeholder; returns where the code goes on. */
  const skipTemplate = (from: number): number => {
    let end = from;
    while (end < source.length && source[end] !== "`" && !source.startsWith("${", end)) {
      end += source[end] === "\\" ? 2 : 1;
    }
    blank(code, from, Math.min(end, source.length));
    countLines(from, end);
    if (source[end] === "`") return end + 1;
    templateDepths.push(depth++);
    return end + 2;
  };

  while (at < source.length) {
    const char = source[at] as string;
    const next = source[at + 1];
    if (char === "\n") {
      line++;
      at++;
    } else if (char === "/" && next === "/") {
      const end = indexOrEnd(source, "\n", at);
      blank(code, at, end);
      blank(withoutComments, at, end);
      at = end;
    } else if (char === "/" && next === "*") {
      const end = Math.min(indexOrEnd(source, "*/", at + 2) + 2, source.length);
      blank(code, at, end);
      blank(withoutComments, at, end);
      countLines(at, end);
      at = end;
    } else if (char === '"' || char === "'") {
      let end = at + 1;
      while (end < source.length && source[end] !== char && source[end] !== "\n") {
        end += source[end] === "\\" ? 2 : 1;
      }
      const value = source.slice(at + 1, end);
      if (!value.includes("\\")) strings.push({ value, line });
      blank(code, at + 1, end);
      lastSignificant = char;
      at = end + 1;
    } else if (char === "`") {
      const end = skipTemplate(at + 1);
      const value = source.slice(at + 1, end - 1);
      if (source[end - 1] === "`" && !value.includes("\\")) strings.push({ value, line });
      lastSignificant = char;
      at = end;
    } else if (char === "/" && startsRegExp(source, at, lastSignificant)) {
      const end = regExpEnd(source, at);
      blank(code, at + 1, end - 1);
      lastSignificant = "/";
      at = end;
    } else {
      if (char === "{") depth++;
      if (char === "}") {
        depth--;
        if (templateDepths.at(-1) === depth) {
          templateDepths.pop();
          at = skipTemplate(at + 1);
          lastSignificant = "`";
          continue;
        }
      }
      if (char.trim() !== "") lastSignificant = char;
      at++;
    }
  }
  return { withoutComments: withoutComments.join(""), code: code.join(""), strings };
}

/** Imports, exports from, dynamic imports, and `new URL("./x", import.meta.url)`. */
export function moduleReferences(scanned: ScannedSource): ModuleReference[] {
  const references: ModuleReference[] = [];
  const text = scanned.withoutComments;
  const statement =
    /(?:^|[;}\s])(import|export)\s+(type\s+)?((?:[\w*\s{},$]|\btype\b)*?)\s*(?:from\s*)?(["'])([^"'\n]+)\4/g;
  for (const match of text.matchAll(statement)) {
    const keywordAt = match.index + match[0].indexOf(match[1] as string);
    // The same words inside a string or template are not code.
    if (!scanned.code.startsWith(match[1] as string, keywordAt)) continue;
    const names = (match[3] ?? "").trim();
    const inner = /^\{([^}]*)\}$/.exec(names)?.[1];
    const allTypes = inner !== undefined &&
      inner.split(",").map((name) => name.trim()).filter((name) => name !== "")
        .every((name) => name.startsWith("type "));
    references.push({
      specifier: match[5] as string,
      line: lineOf(text, keywordAt),
      typeOnly: match[2] !== undefined || (allTypes && names !== "{}"),
    });
  }
  // A URL of a file that is not a module is data.
  const call = /\b(?:import\s*\(\s*(["'])([^"'\n]+)\1|new\s+URL\s*\(\s*(["'])([^"'\n]+\.ts)\3)/g;
  for (const match of text.matchAll(call)) {
    if (scanned.code[match.index] === " ") continue;
    const specifier = match[2] ?? match[4] ?? "";
    references.push({ specifier, line: lineOf(text, match.index), typeOnly: false });
  }
  return references;
}

export function lineOf(text: string, index: number): number {
  let line = 1;
  for (let i = 0; i < index; i++) if (text.charCodeAt(i) === 10) line++;
  return line;
}

function indexOrEnd(text: string, part: string, from: number): number {
  const index = text.indexOf(part, from);
  return index < 0 ? text.length : index;
}

/** A slash after an operator, an opening bracket or a keyword that takes an expression begins a regular expression. */
function startsRegExp(source: string, at: number, lastSignificant: string): boolean {
  if (lastSignificant === "" || "(,=:[!&|?{};+-*%<>~^".includes(lastSignificant)) return true;
  const before = source.slice(Math.max(0, at - 12), at).trimEnd();
  return /(?:^|[^\w$.])(?:return|typeof|case|in|of|void|delete|await|throw|yield|else|do)$/.test(before);
}

function regExpEnd(source: string, at: number): number {
  let inClass = false;
  for (let i = at + 1; i < source.length; i++) {
    const char = source[i];
    if (char === "\\") i++;
    else if (char === "\n") return i;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "/" && !inClass) return i + 1;
  }
  return source.length;
}

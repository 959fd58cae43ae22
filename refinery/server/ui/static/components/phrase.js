/** Where a quoted phrase stands in a run: the text around it and the path of the value. */

const AROUND = 240;
const MOST_VALUES = 20_000;
const FIELDS = ["outputs", "inputs", "error", "metadata", "reasoning", "messages_in", "messages_out", "documents", "tool_calls", "evaluations"];

/**
 * @param {any} run
 * @param {{quote: string, where?: string}} evidence
 * @returns {{path: string, before: string, phrase: string, after: string, isCutBefore: boolean, isCutAfter: boolean} | null}
 */
export function phraseIn(run, { quote, where = "" }) {
  const first = where ? FIELDS.filter((name) => where.startsWith(name)) : [];
  for (const field of [...first, ...FIELDS.filter((name) => !first.includes(name))]) {
    const found = search(run?.[field], quote, field, where);
    if (found) return found;
  }
  return null;
}

function search(root, quote, field, where) {
  const waiting = [[root, field]];
  let looked = 0;
  let fallback = null;
  while (waiting.length > 0 && looked < MOST_VALUES) {
    const [value, path] = waiting.pop();
    looked += 1;
    if (value === null || value === undefined) continue;
    if (typeof value !== "object") {
      const found = around(String(value), quote, path);
      if (found && (!where || path === where)) return found;
      fallback ??= found;
      continue;
    }
    const children = Array.isArray(value) ? value.map((child, at) => [child, `${path}[${at}]`]) : Object.entries(value).map(([key, child]) => [child, `${path}.${key}`]);
    waiting.push(...children.reverse());
  }
  return fallback ?? (root !== null && typeof root === "object" ? around(JSON.stringify(root), quote, field) : null);
}

function around(text, quote, path) {
  const at = text.indexOf(quote);
  if (at < 0) return null;
  const from = Math.max(0, at - AROUND);
  const to = Math.min(text.length, at + quote.length + AROUND);
  return {
    path, before: text.slice(from, at), phrase: quote, after: text.slice(at + quote.length, to),
    isCutBefore: from > 0, isCutAfter: to < text.length,
  };
}

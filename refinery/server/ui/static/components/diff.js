/** Differences: a patch with its line numbers, or two texts side by side with the words marked. */
import { html, useMemo } from "../html.js";
import { changes, wordChanges } from "../difference.js";
import { visible } from "./text.js";

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/;
const MOST_LINES = 4000;

/**
 * A unified diff, as `git diff` writes it.
 * @param {{text: string, label?: string}} props
 */
export function PatchView({ text, label = "Patch" }) {
  const lines = useMemo(() => numbered(text), [text]);
  return html`<div class="patch" role="region" aria-label=${label} tabindex="0">
    <table class="patch-table">
      <tbody>${lines.slice(0, MOST_LINES).map(({ kind, before, after, text: line }, at) => html`
        <tr key=${at} class=${`patch-${kind}`}>
          <td class="patch-number">${before}</td><td class="patch-number">${after}</td>
          <td class="patch-sign">${SIGNS[kind]}</td>
          <td class="patch-line">${visible(line)}</td>
        </tr>`)}</tbody>
    </table>
    ${lines.length > MOST_LINES && html`<p class="muted">${lines.length - MOST_LINES} further lines are not shown.</p>`}
  </div>`;
}

const SIGNS = { add: "+", remove: "−", same: "", hunk: "", file: "" };

function numbered(text) {
  let before = 0;
  let after = 0;
  let inHunk = false;
  return String(text).replace(/\n$/, "").split("\n").map((line) => {
    const hunk = HUNK.exec(line);
    if (hunk) {
      [before, after, inHunk] = [Number(hunk[1]), Number(hunk[2]), true];
      return { kind: "hunk", text: line };
    }
    if (line.startsWith("diff --git")) inHunk = false;
    if (!inHunk) return { kind: "file", text: line };
    if (line.startsWith("+")) return { kind: "add", after: after++, text: line.slice(1) };
    if (line.startsWith("-")) return { kind: "remove", before: before++, text: line.slice(1) };
    return { kind: "same", before: before++, after: after++, text: line.slice(1) };
  });
}

/**
 * Two texts side by side, differing words marked.
 * @param {{before: string, after: string, beforeLabel?: string, afterLabel?: string}} props
 */
export function SideBySide({ before, after, beforeLabel = "Before", afterLabel = "After" }) {
  const rows = useMemo(() => paired(changes(before, after)), [before, after]);
  return html`<div class="sides" role="region" aria-label=${`${beforeLabel} and ${afterLabel}`} tabindex="0">
    <table class="sides-table">
      <thead><tr><th scope="col">${beforeLabel}</th><th scope="col">${afterLabel}</th></tr></thead>
      <tbody>${rows.map(([left, right], at) => html`<tr key=${at}>
        <td class=${cell(left, "remove")}>${side(left, right, "removed")}</td>
        <td class=${cell(right, "add")}>${side(right, left, "added")}</td>
      </tr>`)}</tbody>
    </table>
  </div>`;
}

const cell = (entry, kind) => (entry === null ? "side-none" : entry.kind === "same" ? "side-same" : `side-${kind}`);

function side(mine, other, what) {
  if (mine === null) return html`<span class="visually-hidden">nothing</span>`;
  if (mine.kind === "same" || !other || other.kind === "same") return visible(mine.text);
  const pair = what === "removed" ? [mine.text, other.text] : [other.text, mine.text];
  const Mark = what === "removed" ? "del" : "ins";
  return wordChanges(...pair)
    .filter(({ kind }) => kind === "same" || kind === (what === "removed" ? "remove" : "add"))
    .map(({ kind, text }) => (kind === "same" ? visible(text) : html`<${Mark}>${visible(text)}</${Mark}>`));
}

/** Removed lines opposite the added ones that follow them. */
function paired(lines) {
  const rows = [];
  for (let at = 0; at < lines.length;) {
    if (lines[at].kind === "same") {
      rows.push([lines[at], lines[at]]);
      at += 1;
      continue;
    }
    const removed = [];
    const added = [];
    while (at < lines.length && lines[at].kind !== "same") {
      (lines[at].kind === "remove" ? removed : added).push(lines[at]);
      at += 1;
    }
    for (let row = 0; row < Math.max(removed.length, added.length); row += 1) {
      rows.push([removed[row] ?? null, added[row] ?? null]);
    }
  }
  return rows;
}

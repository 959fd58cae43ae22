/**
 * Text of a trace: kept as it is, with what hides in it made visible, and long ones cut.
 *
 * Control characters, bidirectional overrides and characters without a width can make a text look
 * other than it is (CVE-2021-42574); each is shown as its code in a box. Links stay text.
 */
import { html, useState } from "../html.js";
import { count } from "../format.js";

/** Characters shown before "show all"; about four screens. */
const SHOWN = 6_000;
/** More are never put into one text node at once; the rest is in the download. */
const MOST = 400_000;

// C0 and C1 controls but tab, newline and return; soft hyphen; zero-width characters; embeddings,
// overrides and isolates; the byte-order mark; tags; surrogates without a partner.
const HIDDEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\u{d800}-\u{dfff}]/gu;

/**
 * A text as nodes, hidden characters as boxes with their code.
 * @param {string} value
 */
export function visible(value) {
  if (value.search(HIDDEN) < 0) return value;
  const parts = [];
  let from = 0;
  for (const match of value.matchAll(HIDDEN)) {
    if (match.index > from) parts.push(value.slice(from, match.index));
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(html`<span class="hidden-character" title=${`a hidden character, U+${code}`}>U+${code}</span>`);
    from = match.index + match[0].length;
  }
  parts.push(value.slice(from));
  return parts;
}

/**
 * @param {{value: any, mono?: boolean, shown?: number}} props `value` is made a string;
 *   `shown`: characters before the button that shows all
 */
export function Text({ value, mono = false, shown = SHOWN }) {
  const [whole, setWhole] = useState(false);
  const text = value === null || value === undefined ? "" : String(value);
  const kept = whole ? text.slice(0, MOST) : text.slice(0, shown);
  const rest = text.length - kept.length;
  return html`<div class=${mono ? "text text-mono" : "text"} dir="auto">${visible(kept)}${rest > 0 && html`
    <span class="text-rest">… ${whole
      ? `${count(rest)} more characters are in the raw document.`
      : html`<button type="button" class="button button-small" onClick=${() => setWhole(true)}>Show ${count(rest)} more characters</button>`}
    </span>`}</div>`;
}

/** One line of a text: line breaks become spaces, the rest is cut by CSS. */
export const oneLine = (value, most = 300) => visible(String(value ?? "").slice(0, most).replace(/\s+/g, " "));

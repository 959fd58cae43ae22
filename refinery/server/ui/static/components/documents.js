/** Documents that were retrieved: rank, score, dates, text; which of them is the newest. */
import { html } from "../html.js";
import { Badge } from "./badge.js";
import { JsonView } from "./json.js";
import { oneLine, Text } from "./text.js";

const SHOWN = 600;

/** @param {{documents: Object[]}} props */
export function Documents({ documents }) {
  const scores = documents.map((one) => one.score).filter((score) => typeof score === "number");
  const best = scores.length ? Math.max(...scores.map(Math.abs)) : 0;
  const dated = documents.map((one) => latest(one.dates)).filter(Boolean).sort();
  const newest = dated.length > 1 ? dated.at(-1) : null;
  return html`<ol class="documents">${documents.map((one, at) => html`<li key=${at} class="document">
    <div class="document-head">
      <span class="document-rank" aria-label=${`Rank ${at + 1}`}>${at + 1}</span>
      <strong class="document-title" dir="auto">${oneLine(one.title || `document ${at + 1}`, 160)}</strong>
      ${sourceOf(one) && html`<span class="muted document-source" dir="auto">${oneLine(sourceOf(one), 80)}</span>`}
      ${typeof one.score === "number" && html`<span class="score" title="Score">
        <span class="score-bar" aria-hidden="true"><span style=${{ width: `${best ? Math.max(0, (one.score / best) * 100) : 0}%` }}></span></span>${shortNumber(one.score)}</span>`}
      ${Object.entries(one.dates ?? {}).map(([name, date]) => html`<span key=${name} class="document-date"><span class="muted">${oneLine(name, 30)}</span> ${oneLine(date, 30)}</span>`)}
      ${newest && latest(one.dates) === newest && html`<${Badge} tone="ok">newest</${Badge}>`}
      ${one.is_current === false && html`<${Badge} tone="warn">no longer valid</${Badge}>`}
    </div>
    <${Text} value=${one.text} shown=${SHOWN} />
    ${one.metadata && Object.keys(one.metadata).length > 0 && html`<details><summary class="muted">Fields</summary><${JsonView} value=${one.metadata} label="Fields of the document" /></details>`}
  </li>`)}</ol>`;
}

/** Where a document is from, when its title does not tell: two of one subject have the same title. */
function sourceOf({ title, metadata }) {
  const source = metadata?.source;
  return typeof source === "string" && source && source !== title ? source : null;
}

/** The latest date of a document as text; ISO dates sort as text. */
function latest(dates) {
  const known = Object.values(dates ?? {}).map(String).filter((date) => /^\d{4}-\d{2}/.test(date)).sort();
  return known.at(-1) ?? null;
}

const shortNumber = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 0.01 ? 4 : 3));

/** What a replay or its variations showed: before and after, step by step, with their fidelity. */
import { html, useState } from "../html.js";
import { cost, count, duration, plural } from "../format.js";
import { link, traceLink } from "../location.js";
import { Badge } from "./badge.js";
import { PatchView, SideBySide } from "./diff.js";
import { Icon } from "./icon.js";
import { Table } from "./table.js";
import { oneLine, Text, visible } from "./text.js";

/** How true to the recording a step was: tone, short words, what it means. */
const FIDELITY = {
  exact: ["ok", "as recorded", "It asked exactly what it asked then, and got the recorded answer."],
  normalised: ["ok", "as recorded, but for ids and times", "It asked the same, new identifiers and times aside, and got the recorded answer."],
  stubbed: ["quiet", "from the recording", "A tool, a search or a value you set; answered from the recording, not run."],
  live: ["live", "live", "A model was really asked, or a tool really run; asked again, it may answer otherwise."],
  unanswered: ["bad", "not answered", "Nobody could answer it, so what follows says nothing."],
};

/** How a step was answered, in one badge. */
export function Fidelity({ value }) {
  const [tone, words, meaning] = FIDELITY[value] ?? ["quiet", value, ""];
  return html`<${Badge} tone=${tone} title=${meaning}>${words}</${Badge}>`;
}

/** The steps of a replay with how each was answered. @param {{steps: any[]}} props */
function Steps({ steps }) {
  if (steps.length === 0) return html`<p class="muted">No model, tool or search was asked.</p>`;
  const kinds = [...new Set(steps.map(({ fidelity }) => fidelity))];
  return html`<div class="stack-tight">
    <${Table} caption="Steps and how each was answered" rows=${steps.map((step, at) => ({ ...step, at }))} rowKey=${({ at }) => at} rowHeader="name"
      columns=${[
        { id: "name", label: "Step", render: ({ kind, name }) => html`<span class="muted">${kind}</span> ${visible(String(name))}` },
        { id: "fidelity", label: "Answered", render: ({ fidelity }) => html`<${Fidelity} value=${fidelity} />` },
        { id: "detail", label: "Note", render: ({ detail }) => visible(String(detail ?? "")) },
      ]} />
    <dl class="legend">${kinds.filter((kind) => FIDELITY[kind]).map((kind) => html`<div key=${kind}>
      <dt><${Fidelity} value=${kind} /></dt><dd>${FIDELITY[kind][2]}</dd></div>`)}</dl>
  </div>`;
}

/** An exact replay. @param {{result: any}} props */
export function ExactResult({ result }) {
  const { divergence } = result;
  return html`<section class="panel" aria-labelledby="exact-title" data-result="replay">
    <div class="panel-head"><h2 id="exact-title">Replayed as recorded</h2>
      <${Badge} tone=${result.same ? "ok" : "warn"}>${result.same ? "Same as recorded" : "Differs"}</${Badge}>
    </div>
    <div class="panel-body stack">
      <p>${result.same
        ? "The recorded code ran again on the recorded answers and ended as it did then, with the same result. Nobody was asked, nothing was spent."
        : visible(`It differs: ${divergence?.message ?? result.error ?? "the result is another one"}`)}</p>
      ${divergence?.diff && html`<${PatchView} text=${divergence.diff} label="What was recorded and what came instead" />`}
      <${Warnings} warnings=${result.warnings} />
      <${Steps} steps=${result.steps} />
      <${Where} result=${result} />
    </div>
  </section>`;
}

/** All variations of a trace: a table when there are several, one of them side by side. */
export function WhatIfResult({ result, trace, runs }) {
  const { variations } = result;
  const [at, setAt] = useState(0);
  const chosen = variations[at] ?? variations[0];
  if (!chosen) return html`<p>No variation was tried.</p>`;
  return html`<section class="stack" aria-labelledby="result-title" data-result="what_if">
    <h2 id="result-title" class="result-title">${variations.length === 1 ? "Before and after" : `${plural(variations.length, "variation")}, each replayed once`}</h2>
    ${variations.length > 1 && html`<${Matrix} result=${result} at=${at} choose=${setAt} />`}
    <${BeforeAfter} key=${at} result=${result} cell=${chosen} trace=${trace} runs=${runs} />
    <${Warnings} warnings=${result.warnings} />
    <p class="muted">${spentText(result)} Each variation ran once: a model may answer differently the next time, so one better answer is a hint and no proof.</p>
  </section>`;
}

function spentText({ live_requests: live, spent_usd: usd, unpriced_requests: unpriced }) {
  if (!live) return "No model was asked live.";
  const priced = !unpriced ? cost(usd) : unpriced >= live ? "price unknown" : `${cost(usd)}, and ${plural(unpriced, "request")} of unknown price`;
  return `${plural(live, "request")} to a live model (${priced}).`;
}

function Matrix({ result, at, choose }) {
  const rows = [
    { label: "As recorded", isOriginal: true, ...result.before, answered: true, key: "original" },
    ...result.variations.map((cell, index) => ({ ...cell, index, key: index })),
  ];
  return html`<${Table} caption="The recording and its variations" rows=${rows} rowKey=${({ key }) => key} rowHeader="label"
    rowClass=${({ index }) => (index === at ? "matrix-chosen" : "")}
    columns=${[
      { id: "label", label: "Variation", render: ({ label, index, isOriginal }) => isOriginal ? label : html`
        <button type="button" class="matrix-choose" aria-pressed=${String(index === at)} onClick=${() => choose(index)}>${visible(label)}</button>` },
      { id: "answer", label: "Answer", className: "matrix-answer", render: (row) => shortAnswer(row) },
      { id: "changed", label: "Answer changed", render: ({ isOriginal, answer_changed: changed }) => isOriginal ? "" : changed === null || changed === undefined ? "unknown" : changed ? "yes" : "no" },
      { id: "live", label: "Live", numeric: true, render: ({ isOriginal, live_steps: live }) => (isOriginal ? "" : count(live)) },
      { id: "tokens", label: "Tokens", numeric: true, render: ({ total_tokens: tokens }) => count(tokens) },
      { id: "cost", label: "Cost", numeric: true, render: (row) => money(row) },
      { id: "time", label: "Model time", numeric: true, render: ({ model_ms: ms }) => duration(ms) },
    ]} />`;
}

function shortAnswer({ answered, status, answer, error, isOriginal }) {
  if (!answered) return html`<${Badge} tone="bad">no result</${Badge}>`;
  if (!isOriginal && status !== "ok") return html`<${Badge} tone="bad">${status}</${Badge}> ${oneLine(error, 200)}`;
  return oneLine(answer, 240);
}

const money = ({ cost_usd: usd, cost_source: source }) => `${cost(usd)}${source === "estimated" ? " est." : ""}`;

function BeforeAfter({ result, cell, trace, runs }) {
  const { before } = result;
  return html`<div class="panel">
    <div class="panel-head">
      <h3>${visible(cell.label)}</h3><${Ending} cell=${cell} />
      ${cell.trace_id && html`<span class="row row-end head-links">
        <a class="button button-small" href=${traceLink(cell.trace_id)}>Open the new trace</a>
        ${!result.one_call && html`<a class="button button-small" href=${link("/compare", { left: trace.trace_id, right: cell.trace_id })}>Compare step by step</a>`}
      </span>`}
    </div>
    <div class="panel-body stack">
      <${NoResult} cell=${cell} />
      ${cell.answered && cell.status === "ok" && html`<div class="answers"><${SideBySide} before=${before.answer} after=${cell.answer} beforeLabel="Before: as recorded" afterLabel=${`After: ${cell.label}`} /></div>`}
      ${cell.answered && cell.status !== "ok" && html`<${Text} value=${cell.error ?? cell.status} mono />`}
      <${Figures} before=${before} after=${cell} />
      ${!result.one_call && html`<${FirstChanged} cell=${cell} runs=${runs} />`}
      <details class="fold" open=${!cell.answered}><summary>Steps, and how true to the recording each is (${fidelitySummary(cell.steps)})</summary><${Steps} steps=${cell.steps} /></details>
      <${Where} result=${result} />
    </div>
  </div>`;
}

function Ending({ cell }) {
  if (!cell.answered) return html`<${Badge} tone="bad">No result</${Badge}>`;
  if (cell.status !== "ok") return html`<${Badge} tone="bad">It failed</${Badge}>`;
  return html`<${Badge} tone=${cell.answer_changed ? "live" : "quiet"}>${cell.answer_changed ? "The answer changed" : "The answer is the same"}</${Badge}>`;
}

function NoResult({ cell }) {
  if (!cell.answered) {
    return html`<div class="note note-bad" role="alert"><${Icon} name="alert" /><div class="stack-tight">
      <strong>This says nothing about the change: a step was not answered.</strong>
      <span>${visible(String(cell.missing ?? ""))}</span>
      <span>A changed request goes to the model the agent itself uses. Start <code>refinery serve</code> where its address and key are set (OPENAI_BASE_URL, OPENAI_API_KEY, or those of Anthropic).</span>
    </div></div>`;
  }
  if (cell.varied) return null;
  return html`<div class="note note-warn"><${Icon} name="alert" /><span>No request was changed by it: the run never came to the step in question, or already asked like this.</span></div>`;
}

/** Numbers before and after. */
function Figures({ before, after }) {
  const rows = [
    ["Model calls", count(before.calls), count(after.calls)],
    ["Tokens", count(before.total_tokens), count(after.total_tokens)],
    ["Cost", money(before), money(after)],
    ["Time of the models", duration(before.model_ms), duration(after.model_ms)],
  ];
  return html`<div class="fit"><${Table} caption="Figures before and after" rows=${rows} rowKey=${([name]) => name} rowHeader="name"
    columns=${[
      { id: "name", label: "", render: ([name]) => name },
      { id: "before", label: "Before", numeric: true, render: ([, value]) => value },
      { id: "after", label: "After", numeric: true, render: ([, , value]) => value },
    ]} /></div>`;
}

function FirstChanged({ cell, runs }) {
  const first = cell.first_changed;
  if (!first) return null;
  const run = runs.find(({ run_id: id }) => id === first.left_run_id);
  const name = visible(String(first.name ?? run?.name ?? "a step"));
  return html`<p>First thing that is different besides what you changed: <strong>${cell.trace_id && first.right_run_id
    ? html`<a href=${traceLink(cell.trace_id, first.right_run_id)}>${name}</a>` : name}</strong>.</p>`;
}

function fidelitySummary(steps) {
  const counts = {};
  for (const { fidelity } of steps) counts[fidelity] = (counts[fidelity] ?? 0) + 1;
  const told = Object.entries(counts).map(([kind, number]) => `${number} ${FIDELITY[kind]?.[1] ?? kind}`);
  return told.join(", ") || "none";
}

/** What the result is to be read with; said as it is. */
export function Warnings({ warnings = [] }) {
  if (warnings.length === 0) return null;
  return html`<div class="note note-warn"><${Icon} name="alert" /><ul class="plain-list">
    ${warnings.map((text) => html`<li key=${text}>${visible(String(text))}</li>`)}</ul></div>`;
}

function Where({ result }) {
  if (!result.commit) return html`<p class="muted">Only the model was asked again; none of the agent's code ran.</p>`;
  return html`<p class="muted">The agent's code of commit <code>${result.commit.slice(0, 12)}</code> ran in the sandbox “${result.sandbox}”.</p>`;
}

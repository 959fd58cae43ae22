/** What a diagnosis could not establish, what it threw away, and how much of the trace was read. */
import { html } from "../html.js";
import { percent } from "../format.js";
import { Badge } from "./badge.js";
import { Table } from "./table.js";
import { visible } from "./text.js";

const ANSWERS = { yes: ["ok", "yes"], partly: ["warn", "in part"], no: ["bad", "no"] };
const EXTENTS = { whole: "whole", part: "in part", summary: "summarised", skipped: "not read" };

/** @param {{found: any, runs: any[]}} props */
export function Unknowns({ found, runs }) {
  const open = found.unanswerable ?? [];
  const rejected = found.rejected ?? [];
  return html`<section class="panel" aria-labelledby="unknown-title">
    <div class="panel-head"><h2 id="unknown-title">Not established</h2></div>
    <div class="panel-body stack">
      ${open.length > 0
        ? html`<ul class="plain-list stack-tight sentences">${open.map((gap) => html`<li key=${gap}>${visible(gap)}</li>`)}</ul>`
        : html`<p>Every question the recording can be asked was asked. That a check found nothing does not prove that nothing is wrong.</p>`}
      ${rejected.length > 0 && html`<div class="stack-tight"><h3>Thrown away</h3><p class="muted">The model said this too, but its quote does not stand in the recording.</p>
        <ul class="plain-list stack-tight">${rejected.map((reason) => html`<li key=${reason}>${visible(reason)}</li>`)}</ul></div>`}
      <${Capabilities} capabilities=${found.capabilities ?? []} />
      <${Readings} readings=${found.readings ?? []} runs=${runs} />
      <p class="muted">${found.engine === "detectors" ? "Looked at by the built-in detectors; no model was asked." : visible(`Read by ${found.model ?? "a model"}${found.cost_usd ? ` for $${found.cost_usd.toFixed(4)}` : ""}.`)}</p>
    </div>
  </section>`;
}

function Capabilities({ capabilities }) {
  if (capabilities.length === 0) return null;
  const missing = capabilities.filter(({ answerable }) => answerable !== "yes").length;
  return html`<details class="fold"><summary>What this recording can tell (${capabilities.length - missing} of ${capabilities.length} questions fully)</summary>
    <div class="fold-body"><${Table} caption="What this recording can tell" rows=${capabilities} rowKey=${({ question }) => question} rowHeader="title" columns=${[
      { id: "title", label: "Question", render: ({ title }) => visible(title) },
      { id: "answerable", label: "Can it tell", render: ({ answerable }) => html`<${Badge} tone=${(ANSWERS[answerable] ?? ["quiet"])[0]}>${(ANSWERS[answerable] ?? [0, answerable])[1]}</${Badge}>` },
      { id: "why", label: "Because", render: ({ why }) => visible(why) },
    ]} /></div></details>`;
}

function Readings({ readings, runs }) {
  if (readings.length === 0) return null;
  const name = (id) => runs.find(({ run_id: run }) => run === id)?.name ?? id;
  return html`<details class="fold"><summary>How much of it the model read</summary>
    <div class="fold-body"><${Table} caption="How much of each step the model read" rows=${readings} rowKey=${({ run_id: id }) => id} rowHeader="name" columns=${[
      { id: "name", label: "Step", render: ({ run_id: id }) => visible(name(id)) },
      { id: "extent", label: "Read", render: ({ extent }) => EXTENTS[extent] ?? extent },
      { id: "share", label: "Share of the text", numeric: true, render: ({ share }) => percent(share) },
    ]} /></div></details>`;
}

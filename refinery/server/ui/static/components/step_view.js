/** A run, shown as what it is: judged items, a conversation, documents, a call, or plain JSON. */
import { html, useState } from "../html.js";
import { address } from "../api.js";
import { KindBadge, StatusBadge } from "./badge.js";
import { Conversation } from "./messages.js";
import { Documents } from "./documents.js";
import { Evaluations } from "./evaluations.js";
import { StepFacts } from "./step_facts.js";
import { CutPayload, JsonView } from "./json.js";
import { Icon } from "./icon.js";
import { Tabs } from "./tabs.js";
import { oneLine, Text } from "./text.js";

/** A run's kind, name and status, for a heading. @param {{run: Object}} props */
export function StepName({ run }) {
  return html`<${KindBadge} kind=${run.kind} /> <span class="title-name" dir="auto" title=${(run.name || "").slice(0, 1000)}>${oneLine(run.name || "unnamed run")}</span> <${StatusBadge} status=${run.status} />`;
}

/** @param {{run: Object, chosen?: string, choose?: (tab: string) => void}} props */
export function StepView({ run, chosen, choose }) {
  const [own, setOwn] = useState(null);
  const tabs = tabsOf(run);
  const wanted = chosen ?? own;
  const tab = tabs.some(({ id }) => id === wanted) ? wanted : tabs[0].id;
  return html`<div class="stack step">
    ${run.error && html`<${StepError} error=${run.error} />`}
    <${StepFacts} run=${run} />
    ${run.reasoning && html`<section class="reasoning" aria-label="Reasoning">
      <h3>Reasoning</h3><${Text} value=${run.reasoning} shown=${1200} /></section>`}
    <div><${Tabs} label="Parts of the step" tabs=${tabs} chosen=${tab} choose=${choose ?? setOwn} /></div>
  </div>`;
}

const isList = (value) => Array.isArray(value) && value.length > 0;
const isThere = (value) => value !== null && value !== undefined;
const isFilled = (value) => isThere(value) && (typeof value !== "object" || Object.keys(value).length > 0);
const isCut = (value) => isThere(value) && typeof value === "object" && "$cut" in value;

/** What a run can be looked at as, the telling views first. */
function tabsOf(run) {
  const spoken = (isList(run.messages_in) ? run.messages_in.length : 0) + (isList(run.messages_out) ? run.messages_out.length : 0);
  const details = detailsOf(run);
  return [
    (isList(run.evaluations) || isCut(run.evaluations)) && { id: "evaluations", label: "Evaluations", count: run.evaluations.length,
      render: () => (isCut(run.evaluations) ? html`<${CutPayload} cut=${run.evaluations.$cut}>${(value) => html`<${Evaluations} evaluations=${value} />`}</${CutPayload}>` : html`<${Evaluations} evaluations=${run.evaluations} />`) },
    isList(run.documents) && { id: "documents", label: "Documents", count: run.documents.length, render: () => html`<${Documents} documents=${run.documents} />` },
    (spoken > 0 || isCut(run.messages_in)) && { id: "conversation", label: "Conversation", count: spoken, render: () => html`<${Conversation} run=${run} />` },
    { id: "data", label: "Input and output", render: () => html`<${Payloads} run=${run} />` },
    isFilled(run.tools) && { id: "tools", label: "Tools offered", count: run.tools.length, render: () => html`<${JsonView} value=${run.tools} label="Tools offered to the model" />` },
    details && { id: "details", label: "Details", render: () => html`<${Details} details=${details} />` },
    { id: "raw", label: "Raw", render: () => html`<${Raw} run=${run} />` },
  ].filter(Boolean);
}

function Payloads({ run }) {
  const parts = [["Input", run.inputs], ["Output", run.outputs]].filter(([, value]) => isThere(value));
  if (parts.length === 0) return html`<p class="muted">Neither input nor output was recorded${run.status === "running" ? " so far" : ""}.</p>`;
  return html`<div class="stack">${parts.map(([name, value]) => html`<section key=${name} class="stack-tight">
    <h3>${name}</h3>
    ${typeof value === "string" ? html`<div class="text-box"><${Text} value=${value} /></div>` : html`<${JsonView} value=${value} label=${name} />`}
  </section>`)}</div>`;
}

const DETAILS = ["metadata", "tags", "feedback", "events", "links", "attachments", "code", "metrics", "params"];

function detailsOf(run) {
  const found = DETAILS.filter((name) => isFilled(run[name]));
  return found.length ? Object.fromEntries(found.map((name) => [name, run[name]])) : null;
}

function Details({ details }) {
  return html`<div class="stack">${Object.entries(details).map(([name, value]) => html`<section key=${name} class="stack-tight">
    <h3>${name[0].toUpperCase() + name.slice(1)}</h3>
    ${name === "tags" && Array.isArray(value)
      ? html`<div class="row">${value.map((tag, at) => html`<span key=${at} class="badge">${oneLine(tag, 80)}</span>`)}</div>`
      : html`<${JsonView} value=${value} label=${name} />`}
  </section>`)}</div>`;
}

function Raw({ run }) {
  const path = `/traces/${encodeURIComponent(run.trace_id)}/runs/${encodeURIComponent(run.run_id)}`;
  const payload = (name) => html`<a class="button button-small" download=${`${name}.json`} href=${address(`${path}/payload/${name}`)}><${Icon} name="download" />${name}</a>`;
  return html`<div class="stack-tight">
    <div class="row"><a class="button button-small" download="run.json" href=${address(path)}><${Icon} name="download" />run</a>
      ${isThere(run.inputs) && payload("inputs")}${isThere(run.outputs) && payload("outputs")}</div>
    <${JsonView} value=${run} label="The whole run" />
  </div>`;
}

/** The error that ended a run, with its stack. @param {{error: {type: string, message: string, stack: string}}} props */
function StepError({ error }) {
  return html`<section class="note note-bad step-error" aria-label="Error">
    <${Icon} name="alert" />
    <div class="stack-tight">
      <h3>${oneLine(error.type || "Error", 200)}</h3>
      <${Text} value=${error.message} shown=${2000} />
      ${error.stack && html`<details class="stack-trace" open=${error.stack.length < 4000}><summary>Stack</summary><${Text} mono value=${error.stack} shown=${8000} /></details>`}
    </div>
  </section>`;
}

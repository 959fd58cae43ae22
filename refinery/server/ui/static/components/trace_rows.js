/** Traces as rows: a table on wide screens, cards on narrow ones (the same elements, by CSS). */
import { html } from "../html.js";
import { compact, cost, count, duration, plural } from "../format.js";
import { traceLink } from "../location.js";
import { toggled } from "../pages/list.js";
import { LabelBadge, StatusBadge } from "./badge.js";
import { Moment } from "./moment.js";
import { oneLine } from "./text.js";

/** @param {{traces: Object[], chosen: string[], choose: (ids: string[]) => void, change: (part: Object) => void}} props */
export function TraceRows({ traces, chosen, choose, change }) {
  return html`<div class="table-scroll traces-scroll">
    <table class="table traces">
      <caption class="visually-hidden">Traces, newest first</caption>
      <thead><tr>
        <th scope="col" class="trace-mark"><span class="visually-hidden">Compare</span></th>
        <th scope="col">Status</th><th scope="col">Name</th><th scope="col">Started</th>
        <th scope="col" class="numeric">Duration</th><th scope="col" class="numeric">Runs</th>
        <th scope="col" class="numeric">Tokens</th><th scope="col" class="numeric">Cost</th>
        <th scope="col">User</th>
      </tr></thead>
      <tbody>${traces.map((trace) => html`<${Row} key=${trace.trace_id} trace=${trace}
        isChosen=${chosen.includes(trace.trace_id)} toggle=${() => choose(toggled(chosen, trace.trace_id))} change=${change} />`)}</tbody>
    </table>
  </div>`;
}

function Row({ trace, isChosen, toggle, change }) {
  const hasFailed = trace.status === "error" || trace.label === "fail";
  const name = trace.name || "unnamed";
  return html`<tr class=${hasFailed ? "trace-row is-failed" : "trace-row"}>
    <td class="trace-mark"><input type="checkbox" checked=${isChosen} onChange=${toggle} aria-label=${`Choose ${name} for comparing`} /></td>
    <td class="trace-status"><${StatusBadge} status=${trace.status} /></td>
    <th scope="row" class="trace-what">
      <div class="trace-title">
        <a class="trace-name" href=${traceLink(trace.trace_id)} dir="auto">${oneLine(name)}</a>
        <${LabelBadge} label=${trace.label} />
        ${trace.errors > 0 && trace.status !== "error" && html`<span class="badge badge-warn" title="Runs inside it failed">${plural(trace.errors, "failed run")}</span>`}
        ${trace.project && html`<span class="trace-project">${oneLine(trace.project, 60)}</span>`}
      </div>
      ${(trace.root_input || trace.root_output) && html`<div class="trace-texts" dir="auto">
        ${trace.root_input && html`<span>${oneLine(trace.root_input)}</span>`}
        ${trace.root_output && html`<span class="trace-answer"><span aria-hidden="true">→ </span><span class="visually-hidden">Answer: </span>${oneLine(trace.root_output)}</span>`}
      </div>`}
    </th>
    <td class="trace-start"><${Moment} ms=${trace.start_ms} /></td>
    <td class="numeric trace-duration">${trace.status === "running" && trace.duration_ms === null ? "…" : duration(trace.duration_ms)}</td>
    <td class="numeric" data-label="runs">${count(trace.runs)}</td>
    <td class=${known(trace.tokens)} data-label="tokens" title=${trace.tokens === null ? "not recorded" : count(trace.tokens)}>${compact(trace.tokens)}</td>
    <td class=${known(trace.cost_usd)}>${cost(trace.cost_usd)}</td>
    <td class="trace-user">${trace.user_id && html`<button type="button" class="link-button" title=${`Traces of this user: ${trace.user_id.slice(0, 200)}`}
      onClick=${() => change({ user: trace.user_id })}>${oneLine(trace.user_id, 60)}</button>`}</td>
  </tr>`;
}

/** What is not known is not told on narrow screens. */
const known = (value) => (value === null ? "numeric is-unknown" : "numeric");

/** The figures of a trace on one line. */
import { html } from "../html.js";
import { compact, cost, count, duration } from "../format.js";
import { link } from "../location.js";
import { Copy } from "./copy.js";
import { Moment } from "./moment.js";
import { oneLine } from "./text.js";

/** @param {{trace: Object}} props a trace's line */
export function TraceFacts({ trace }) {
  const facts = [
    ["Started", html`<${Moment} ms=${trace.start_ms} />`],
    ["Duration", duration(trace.duration_ms)],
    ["Runs", html`${count(trace.runs)}${trace.errors > 0 && html` <span class="fact-bad">${count(trace.errors)} failed</span>`}`],
    ["Tokens", html`<span title=${count(trace.tokens)}>${compact(trace.tokens)}</span>`],
    ["Cost", cost(trace.cost_usd)],
    trace.user_id && ["User", html`<a href=${link("/", { user: trace.user_id })}>${oneLine(trace.user_id, 60)}</a>`],
    trace.session_id && ["Session", html`<a href=${link("/", { session: trace.session_id })}>${oneLine(trace.session_id, 40)}</a>`],
    trace.project && ["Project", html`<a href=${link("/", { project: trace.project })}>${oneLine(trace.project, 60)}</a>`],
    ["Source", oneLine(trace.source, 40)],
    ["Trace", html`<span class="fact-id"><code>${oneLine(trace.trace_id, 36)}</code><${Copy} text=${trace.trace_id} label="Copy the trace's id" /></span>`],
  ];
  return html`<dl class="fact-line">${facts.filter(Boolean).map(([name, value]) => html`
    <div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

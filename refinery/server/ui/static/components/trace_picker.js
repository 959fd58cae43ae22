/** Chooses a trace: the latest ones, those named like another one first. */
import { html, useState } from "../html.js";
import { useData } from "../api.js";
import { duration } from "../format.js";
import { StatusBadge } from "./badge.js";
import { Moment } from "./moment.js";
import { Failure, Loading } from "./states.js";
import { oneLine } from "./text.js";

const LISTED = 12;

/** @param {{label: string, like?: string, choose: (id: string) => void}} props */
export function TracePicker({ label, like, choose }) {
  const [words, setWords] = useState("");
  const other = useData(like ? `/traces/${encodeURIComponent(like)}` : null);
  const name = other.data?.trace.name;
  const isReady = !like || other.data || other.error;
  const { data, error, reload } = useData(isReady ? "/traces" : null, words ? { q: words, limit: 50 } : { name, limit: 50 });
  const traces = (data?.traces ?? []).filter((trace) => trace.trace_id !== like).slice(0, LISTED);
  return html`<section class="panel picker" aria-label=${label}>
    <div class="row"><strong>${label}</strong>${name && !words && html`<span class="muted">named “${oneLine(name, 60)}”</span>`}</div>
    <input class="input" type="search" aria-label=${`Find the ${label.toLowerCase()}`} placeholder="Words somewhere in the trace" value=${words} onInput=${(event) => setWords(event.target.value)} />
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data && traces.length === 0 && html`<p class="muted">No other trace fits.</p>`}
    <ul class="picker-list">${traces.map((trace) => html`<li key=${trace.trace_id}>
      <button type="button" class="picker-item" onClick=${() => choose(trace.trace_id)}>
        <${StatusBadge} status=${trace.status} compact /><span class="picker-name"><b>${oneLine(trace.name || "unnamed", 80)}</b> <span class="muted">${oneLine(trace.root_input ?? "", 90)}</span></span>
        <span class="muted picker-time"><${Moment} ms=${trace.start_ms} /> · ${duration(trace.duration_ms)}</span>
      </button></li>`)}</ul>
  </section>`;
}

/** The step chosen in a trace, beside its tree. */
import { html, useEffect, useState } from "../html.js";
import { useData } from "../api.js";
import { link, runLink, traceLink } from "../location.js";
import { Copy } from "./copy.js";
import { Failure, Loading } from "./states.js";
import { StepName, StepView } from "./step_view.js";

/** Moving fast through the tree asks for the run one stops at only. */
const SETTLE_MS = 90;
const REFRESH_MS = 3000;

/** @param {{trace: Object, run: string, isRunning?: boolean}} props */
export function StepPanel({ trace, run, isRunning = false }) {
  const settled = useSettled(run);
  const path = `/traces/${encodeURIComponent(trace.trace_id)}/runs/${encodeURIComponent(settled)}`;
  const { data, error, reload } = useData(path, {}, { everyMs: isRunning ? REFRESH_MS : 0 });
  const found = data?.run ?? data;
  return html`<section class="panel step-panel" aria-label="The chosen step" aria-busy=${String(!data && !error)}>
    ${error && html`<div class="panel-body"><${Failure} error=${error} retry=${reload} /></div>`}
    ${!found && !error && html`<${Loading} label="Reading the step" />`}
    ${found && html`<div class="panel-head">
        <h2 class="step-title"><${StepName} run=${found} /></h2>
        <div class="row step-actions"><${StepActions} trace=${trace.trace_id} run=${found} /><a class="button button-small" href=${runLink(trace.trace_id, settled)}>Open</a></div>
      </div>
      <div class="panel-body"><${StepView} key=${found.run_id} run=${found} /></div>`}
  </section>`;
}

/** Try the step another way, and a link to it. @param {{trace: string, run: Object}} props */
export function StepActions({ trace, run }) {
  const target = link(`/whatif/${encodeURIComponent(trace)}/${encodeURIComponent(run.run_id)}`);
  return html`
    ${run.kind === "llm" && html`<a class="button button-small" href=${target}>Try another model</a>`}
    <${Copy} text=${() => location.origin + traceLink(trace, run.run_id)} label="Copy a link to this run" icon="link">Copy link</${Copy}>`;
}

function useSettled(value) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(setSettled, SETTLE_MS, value);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

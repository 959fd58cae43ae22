/** One run on a page of its own. */
import { html } from "../html.js";
import { useData } from "../api.js";
import { navigate, runLink, traceLink, useQuery } from "../location.js";
import { useKeys } from "../keys.js";
import { ancestorsOf } from "../run_tree.js";
import { Page } from "../components/page.js";
import { Failure, Loading } from "../components/states.js";
import { StepActions } from "../components/step_panel.js";
import { StepName, StepView } from "../components/step_view.js";
import { FindPhrase } from "../components/find_phrase.js";
import { Icon } from "../components/icon.js";

const REFRESH_MS = 3000;

export default function StepPage({ params }) {
  const [query, change] = useQuery();
  const path = `/traces/${encodeURIComponent(params.trace)}`;
  const tree = useData(path);
  const runs = tree.data?.runs ?? [];
  const at = runs.findIndex((run) => run.run_id === params.run);
  const isRunning = runs[at]?.status === "running";
  const { data, error, reload } = useData(`${path}/runs/${encodeURIComponent(params.run)}`, {}, { everyMs: isRunning ? REFRESH_MS : 0 });
  const run = data?.run ?? data;
  const go = (to) => runs[to] && navigate(runLink(params.trace, runs[to].run_id) + (query.tab ? `?tab=${encodeURIComponent(query.tab)}` : ""));
  useKeys([
    { key: "j", label: "Next run", run: () => go(at + 1) },
    { key: "k", label: "Previous run", run: () => go(at - 1) },
    { key: "u", label: "Up to the trace", run: () => navigate(traceLink(params.trace, params.run)) },
  ]);
  const crumbs = [["Traces", "/ui/"], [tree.data?.trace.name || "Trace", traceLink(params.trace, params.run)],
    ...ancestorsOf(runs, params.run).slice(1).slice(-3).map((one) => [one.name || one.kind || "run", runLink(params.trace, one.run_id)])];
  const title = run?.name || "Run";
  return html`<${Page} title=${title} crumbs=${crumbs} heading=${run && html`<${StepName} run=${run} />`}
    actions=${run && html`${runs.length > 1 && html`<${Walk} at=${at} runs=${runs} trace=${params.trace} go=${go} />`}<${StepActions} trace=${params.trace} run=${run} />`}>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!run && !error && html`<${Loading} label="Reading the run" />`}
    ${run && html`<${FindPhrase} run=${run} phrase=${query.find} where=${query.where} />`}
    ${run && html`<${StepView} key=${run.run_id} run=${run} chosen=${query.tab} choose=${(tab) => change({ tab }, { replace: true })} />`}
  </${Page}>`;
}

function Walk({ at, runs, go }) {
  return html`<div class="row walk" role="group" aria-label="Neighbouring runs">
    <button type="button" class="icon-button" aria-label="Previous run" title="Previous run (k)" disabled=${at <= 0} onClick=${() => go(at - 1)}><span class="turned"><${Icon} name="chevron" /></span></button>
    <span class="muted">${at + 1} of ${runs.length}</span>
    <button type="button" class="icon-button" aria-label="Next run" title="Next run (j)" disabled=${at < 0 || at >= runs.length - 1} onClick=${() => go(at + 1)}><${Icon} name="chevron" /></button>
  </div>`;
}

/** One trace: its tree and waterfall, the step chosen in it, search inside, findings, actions. */
import { html, useEffect, useMemo, useState } from "../html.js";
import { useData } from "../api.js";
import { navigate, runLink, traceLink, useQuery } from "../location.js";
import { useKeys } from "../keys.js";
import { ancestorsOf, marksOf, spanOf, visibleRows } from "../run_tree.js";
import { Page } from "../components/page.js";
import { Failure, Loading } from "../components/states.js";
import { StatusBadge, LabelBadge } from "../components/badge.js";
import { oneLine } from "../components/text.js";
import { TraceActions } from "../components/trace_actions.js";
import { TraceFacts } from "../components/trace_facts.js";
import { TraceFindings } from "../components/trace_findings.js";
import { TraceSearch } from "../components/trace_search.js";
import { OverviewStrip } from "../components/overview_strip.js";
import { StepPanel } from "../components/step_panel.js";
import { Waterfall } from "../components/waterfall.js";

const REFRESH_MS = 2000;
/** A large trace is read less often while it runs: it is up to 2 MB. */
const LARGE_RUNS = 1000;
const BESIDE = matchMedia("(min-width: 1060px)");

export default function TracePage({ params }) {
  const path = `/traces/${encodeURIComponent(params.trace)}`;
  const [pace, setPace] = useState(0);
  const state = useData(path, {}, { everyMs: pace });
  const { data, error, reload } = state;
  useEffect(() => {
    const isOpen = data && !data.trace.is_complete && data.trace.status === "running";
    setPace(isOpen ? (data.runs.length > LARGE_RUNS ? 5 : 1) * REFRESH_MS : 0);
  }, [data]);
  const crumbs = [["Traces", "/ui/"]];
  if (!data) {
    return html`<${Page} title="Trace" crumbs=${crumbs}>
      ${error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} label="Reading the trace" />`}
    </${Page}>`;
  }
  const { trace } = data;
  const name = trace.name || "Unnamed trace";
  return html`<${Page} wide title=${name} crumbs=${crumbs}
      heading=${html`<span class="title-name" dir="auto" title=${name.slice(0, 1000)}>${oneLine(name)}</span> <${StatusBadge} status=${trace.status} /> <${LabelBadge} label=${trace.label} />`}
      actions=${html`<${TraceActions} trace=${trace} reload=${reload} />`}>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    <${TraceFacts} trace=${trace} />
    <${Runs} trace=${trace} runs=${data.runs} findings=${data.findings ?? []} />
  </${Page}>`;
}

function Runs({ trace, runs, findings }) {
  const [query, change] = useQuery();
  const [closed, setClosed] = useState(() => new Set());
  const [found, setFound] = useState({ ids: [], hits: new Set() });
  const [isBeside, setBeside] = useState(BESIDE.matches);
  const [zoomed, setZoomed] = useState(null);
  useEffect(() => {
    const follow = () => setBeside(BESIDE.matches);
    BESIDE.addEventListener("change", follow);
    return () => BESIDE.removeEventListener("change", follow);
  }, []);
  const isKnown = query.run && runs.some((run) => run.run_id === query.run);
  const selected = isKnown ? query.run : isBeside ? runs[0]?.run_id ?? null : null;
  const whole = useMemo(() => spanOf(runs), [runs]);
  const zoomedRun = zoomed && runs.find((run) => run.run_id === zoomed);
  const span = zoomedRun ? spanOf([zoomedRun]) ?? whole : whole;
  const rows = useMemo(() => visibleRows(runs, closed), [runs, closed]);
  const inner = useMemo(() => branches(runs), [runs]);
  const marks = useMemo(() => marksOf(findings), [findings]);
  const links = useMemo(() => findings.filter((one) => one.cause_run_id !== one.symptom_run_id)
    .map((one) => [one.cause_run_id, one.symptom_run_id]), [findings]);

  const open = (id) => navigate(runLink(trace.trace_id, id));
  const show = (id) => {
    const above = new Set(ancestorsOf(runs, id).map((run) => run.run_id));
    if ([...above].some((one) => closed.has(one))) setClosed(new Set([...closed].filter((one) => !above.has(one))));
    change({ run: id }, { replace: true });
  };
  const select = (id, byPointer = false) => (byPointer && !isBeside ? open(id) : show(id));
  const toggle = (id, close = !closed.has(id)) => {
    const next = new Set(closed);
    if (close) next.add(id);
    else next.delete(id);
    setClosed(next);
  };
  const step = (ids, by) => {
    if (!ids.length) return;
    const order = runs.map((run) => run.run_id);
    const here = order.indexOf(selected);
    const places = ids.map((id) => order.indexOf(id)).sort((a, b) => a - b);
    const next = by > 0 ? places.find((place) => place > here) ?? places[0] : places.findLast((place) => place < here) ?? places.at(-1);
    show(order[next]);
  };
  const failed = runs.filter((run) => run.status === "error").map((run) => run.run_id);
  const move = (by) => {
    const at = rows.findIndex((row) => row.run.run_id === selected);
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next) show(next.run.run_id);
  };
  useKeys([
    { key: "j", label: "Next run", run: () => move(1) },
    { key: "k", label: "Previous run", run: () => move(-1) },
    { key: "e", label: "Next failed run", run: () => step(failed, 1) },
    { key: "n", label: "Next hit of the search", run: () => step(found.ids, 1) },
    { key: "N", label: "Previous hit", run: () => step(found.ids, -1) },
    { key: "o", label: "Open the run on its own page (or Enter)", run: () => selected && open(selected) },
    { key: "z", label: "Zoom the timeline to the run, or back", run: () => setZoomed(zoomed ? null : selected) },
    { key: "/", label: "Search inside the trace", run: () => document.getElementById("trace-search")?.focus() },
  ]);
  return html`
    <${TraceFindings} findings=${findings} runs=${runs} select=${show} trace=${trace} />
    <div class=${isBeside ? "trace-split" : "trace-single"}>
      <section class="panel tree-panel" aria-label="Runs of this trace">
        <div class="tree-tools">
          <${TraceSearch} trace=${trace} runs=${runs} query=${query.find ?? ""} setQuery=${(find) => change({ find: find || null }, { replace: true })}
            found=${found} setFound=${setFound} show=${show} step=${(by) => step(found.ids, by)} />
          ${failed.length > 0 && html`<button type="button" class="button button-small" onClick=${() => step(failed, 1)}>Next failed (${failed.length})</button>`}
          ${zoomed && html`<button type="button" class="button button-small" onClick=${() => setZoomed(null)}>Whole time</button>`}
          ${rows.length < runs.length
            ? html`<button type="button" class="button button-small" onClick=${() => setClosed(new Set())}>Open all</button>`
            : inner.size > 0 && html`<button type="button" class="button button-small" onClick=${() => setClosed(inner)}>Close all</button>`}
        </div>
        <${OverviewStrip} runs=${runs} span=${whole} marks=${marks} select=${show} />
        <${Waterfall} rows=${rows} runs=${runs} span=${span} marks=${marks} links=${links} hits=${found.hits}
          selected=${selected} select=${select} open=${open} toggle=${toggle} />
      </section>
      ${isBeside && selected && html`<${StepPanel} trace=${trace} run=${selected}
        isRunning=${runs.find((run) => run.run_id === selected)?.status === "running"} />`}
    </div>`;
}

/** Every run with children but the roots. */
function branches(runs) {
  return new Set(runs.filter((run, at) => run.depth > 0 && (runs[at + 1]?.depth ?? 0) > run.depth).map((run) => run.run_id));
}

/** How long things take, how often they fail and what they cost: in all, over time, by group. */
import { html } from "../html.js";
import { useData } from "../api.js";
import { compact, cost, count, duration, percent, UNKNOWN } from "../format.js";
import { link, useQuery } from "../location.js";
import { Page } from "../components/page.js";
import { Chart } from "../components/chart.js";
import { Empty, Failure, Loading } from "../components/states.js";
import { Table } from "../components/table.js";
import { oneLine } from "../components/text.js";

const GROUPS = [["name", "By name"], ["model", "By model"], ["project", "By project"]];
const SPANS = [["", "Any time"], ["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]];

export default function PerformancePage() {
  const [query, change] = useQuery();
  const group = GROUPS.some(([id]) => id === query.group) ? query.group : "name";
  const { data, error, reload } = useData("/performance", { group, since: query.since, until: query.until, project: query.project });
  const projects = useData("/projects").data?.projects ?? [];
  return html`<${Page} title="Performance">
    <div class="filters">
      <div class="segments" role="group" aria-label="Group">${GROUPS.map(([id, label]) => html`
        <button key=${id} type="button" class="segment" aria-pressed=${String(id === group)} onClick=${() => change({ group: id })}>${label}</button>`)}</div>
      <select class="input" aria-label="Time" onChange=${(event) => change({ since: event.target.value || null })}>
        ${SPANS.map(([id, label]) => html`<option key=${id} value=${id} selected=${(query.since ?? "") === id}>${label}</option>`)}</select>
      ${projects.length > 1 && html`<select class="input" aria-label="Project" onChange=${(event) => change({ project: event.target.value || null })}>
        <option value="">Any project</option>${projects.filter((one) => one.name).slice(0, 200).map((one) => html`<option key=${one.name} value=${one.name} selected=${query.project === one.name}>${one.name}</option>`)}</select>`}
    </div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data && !error && html`<${Loading} label="Measuring" />`}
    ${data && data.total.count === 0 && html`<${Empty} title=${group === "model" ? "No model call in this time" : "No trace in this time"} />`}
    ${data && data.total.count > 0 && html`<${Figures} data=${data} group=${group} project=${query.project} />`}
  </${Page}>`;
}

function Figures({ data, group, project }) {
  const { times, at } = evened(data.buckets);
  const of = (name) => at.map((bucket) => bucket?.[name] ?? null);
  const counted = (pick) => at.map((bucket) => (bucket ? pick(bucket) : 0));
  const what = group === "model" ? "Calls" : "Traces";
  return html`
    <dl class="figures" aria-label="In all">${totals(data.total, what).map(([name, value, note]) => html`
      <div key=${name} class="panel figure"><dt>${name}</dt><dd>${value}${note && html`<span class="muted">${note}</span>`}</dd></div>`)}</dl>
    ${data.is_cut && html`<p class="muted">Only the newest ${count(data.read)} were read; choose a shorter time to see all of it.</p>`}
    <div class="charts">
      <${Chart} title="Duration" times=${times} format=${duration} series=${[
        { label: "p50", values: of("p50_ms"), color: "--accent" }, { label: "p90", values: of("p90_ms"), color: "--kind-agent" }, { label: "p99", values: of("p99_ms"), color: "--kind-tool" }]} />
      <${Chart} title=${`${what} and failures`} times=${times} format=${count} whole series=${[
        { label: what.toLowerCase(), values: counted((one) => one.count), color: "--chart-quiet", bars: true }, { label: "failed", values: counted((one) => one.errors), color: "--bad", bars: true }]} />
      ${data.total.tokens !== null && html`<${Chart} title="Tokens" times=${times} format=${compact} series=${[{ label: "tokens", values: counted((one) => one.tokens ?? 0), color: "--kind-retriever", bars: true }]} />`}
      ${data.total.cost_usd !== null && html`<${Chart} title="Cost" times=${times} format=${cost} series=${[{ label: "cost", values: counted((one) => one.cost_usd ?? 0), color: "--ok", bars: true }]} />`}
    </div>
    <${Table} caption="Figures by group" rows=${data.groups} rowKey=${(one) => one.name} rowHeader="name" columns=${columns(group, project)} />`;
}

function totals(total, what) {
  return [
    [what, count(total.count)],
    ["Failed", percent(total.error_rate), ` ${count(total.errors)}`],
    ["Median", duration(total.p50_ms)], ["p90", duration(total.p90_ms)], ["p99", duration(total.p99_ms)],
    ["Tokens", compact(total.tokens)],
    ...(total.cost_usd === null ? [] : [["Cost", cost(total.cost_usd)]]),
  ];
}

function columns(group, project) {
  const target = (name) => (group === "name" ? link("/", { name, project }) : group === "project" ? link("/", { project: name }) : link("/search", { q: name, kind: "llm" }));
  const most = (one) => (one.error_rate > 0 ? "fact-bad" : "");
  return [
    { id: "name", label: group[0].toUpperCase() + group.slice(1), render: (one) => html`<a href=${target(one.name)}>${oneLine(one.name || "unnamed", 120)}</a>` },
    { id: "count", label: "Count", numeric: true, render: (one) => count(one.count) },
    { id: "errors", label: "Failed", numeric: true, render: (one) => html`<span class=${most(one)}>${one.count ? percent(one.error_rate) : UNKNOWN}</span>` },
    ...["p50", "p90", "p99"].map((name) => ({ id: name, label: name, numeric: true, render: (one) => duration(one[`${name}_ms`]) })),
    { id: "tokens", label: "Tokens", numeric: true, render: (one) => compact(one.tokens) },
    { id: "cost", label: "Cost", numeric: true, render: (one) => cost(one.cost_usd) },
  ];
}

/** Spans of time without anything in them are not told; a chart needs them. */
function evened(buckets) {
  if (buckets.length === 0) return { times: [], at: [] };
  const [first, last] = [buckets[0], buckets.at(-1)];
  const width = Math.max(1, first.end_ms - first.start_ms);
  const known = new Map(buckets.map((one) => [Math.round((one.start_ms - first.start_ms) / width), one]));
  const total = Math.min(500, Math.round((last.start_ms - first.start_ms) / width) + 1);
  const places = [...Array(total).keys()];
  return { times: places.map((place) => first.start_ms + (place + 0.5) * width), at: places.map((place) => known.get(place) ?? null) };
}

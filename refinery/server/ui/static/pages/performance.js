/** How long things take, how often they fail and what they cost: in all, over time, by group. */
import { html } from "../html.js";
import { useData } from "../api.js";
import { compact, cost, count, duration, percent, plural, UNKNOWN } from "../format.js";
import { link, useQuery } from "../location.js";
import { Page } from "../components/page.js";
import { Chart } from "../components/chart.js";
import { Empty, Failure, Loading } from "../components/states.js";
import { Table } from "../components/table.js";
import { oneLine } from "../components/text.js";

const GROUPS = [["name", "By name"], ["model", "By model"], ["project", "By project"]];
/** What the figures of duration mean, for who points at them. */
const MEANINGS = { p50: "Half took at most this long", p90: "90 of 100 took at most this long", p99: "99 of 100 took at most this long" };
/** Of fewer, the slowest one is the 99th per cent. */
const ENOUGH_FOR_P99 = 100;
const SPAN_UNITS = [[86_400_000, "day"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];
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
        ${withOwn(SPANS, query.since).map(([id, label]) => html`<option key=${id} value=${id} selected=${(query.since ?? "") === id}>${label}</option>`)}</select>
      ${(projects.length > 1 || query.project) && html`<select class="input" aria-label="Project" onChange=${(event) => change({ project: event.target.value || null })}>
        <option value="">Any project</option>${withOwn(projects.filter((one) => one.name).slice(0, 200).map((one) => [one.name, one.name]), query.project).map(([id, label]) => html`<option key=${id} value=${id} selected=${query.project === id}>${label}</option>`)}</select>`}
    </div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data && !error && html`<${Loading} label="Measuring" />`}
    ${data && data.total.count === 0 && html`<${Empty} title=${`No ${group === "model" ? "model call" : "trace"}${query.project ? " of this project" : ""}${query.since || query.until ? " in this time" : query.project ? "" : " yet"}`}>
      ${query.since || query.until || query.project
        ? html`<button type="button" class="button" onClick=${() => change({ since: null, until: null, project: null })}>Any time, any project</button>`
        : html`<p><a href="/ui/">How to record one</a></p>`}</${Empty}>`}
    ${data && data.total.count > 0 && html`<${Figures} data=${data} group=${group} project=${query.project} />`}
  </${Page}>`;
}

/** Choices, with one that stands in the address and is none of them. */
const withOwn = (choices, own) => (!own || choices.some(([id]) => id === own) ? choices : [...choices, [own, own]]);

function Figures({ data, group, project }) {
  const { times, at, width } = evened(data.buckets);
  const of = (name) => at.map((bucket) => bucket?.[name] ?? null);
  const counted = (pick) => at.map((bucket) => (bucket ? pick(bucket) : 0));
  const what = group === "model" ? "Calls" : "Traces";
  return html`
    <dl class="figures" aria-label="In all">${totals(data.total, what).map(([name, value, note]) => html`
      <div key=${name} class="panel figure"><dt>${name}</dt><dd>${value}${note && html`<span class="muted">${note}</span>`}</dd></div>`)}</dl>
    ${data.is_cut && html`<p class="muted">Only the newest ${count(data.read)} were read; choose a shorter time to see all of it.</p>`}
    <p class="muted">Median (p50), p90 and p99: half, 90 and 99 of 100 took at most that long.${data.total.count < ENOUGH_FOR_P99 ? ` Of only ${plural(data.total.count, what.toLowerCase().slice(0, -1))}, p99 is the slowest one.` : ""}
      ${times.length > 1 && ` Each point and bar stands for ${spanWords(width)}.`}</p>
    <div class="charts">
      <${Chart} title="Duration" times=${times} width=${width} format=${duration} steps="time" series=${[
        { label: "p50", values: of("p50_ms"), color: "--accent" }, { label: "p90", values: of("p90_ms"), color: "--kind-agent" }, { label: "p99", values: of("p99_ms"), color: "--kind-tool", dashed: true }]} />
      <${Chart} title=${`${what} and failures`} times=${times} width=${width} format=${count} steps="whole" series=${[
        { label: what.toLowerCase(), values: counted((one) => one.count), color: "--chart-quiet", bars: true }, { label: "failed", values: counted((one) => one.errors), color: "--bad", bars: true }]} />
      ${data.total.tokens !== null && html`<${Chart} title="Tokens" times=${times} width=${width} steps="whole" format=${compact} series=${[{ label: "tokens", values: counted((one) => one.tokens ?? 0), color: "--kind-retriever", bars: true }]} />`}
      ${data.total.cost_usd !== null && html`<${Chart} title="Cost, in US dollars" times=${times} width=${width} format=${cost} series=${[{ label: "cost", values: counted((one) => one.cost_usd ?? 0), color: "--ok", bars: true }]} />`}
    </div>
    <${Table} caption="Figures by group" rows=${data.groups} rowKey=${(one) => one.name} rowHeader="name" columns=${columns(group, project, data.groups)} />`;
}

function totals(total, what) {
  return [
    [what, count(total.count)],
    ["Failed", percent(total.error_rate), ` ${count(total.errors)} of ${count(total.count)}`],
    ["Median (p50)", duration(total.p50_ms)], ["p90", duration(total.p90_ms)], ["p99", duration(total.p99_ms)],
    ["Tokens", compact(total.tokens)],
    ...(total.cost_usd === null ? [] : [["Cost", cost(total.cost_usd)]]),
  ];
}

function columns(group, project, groups) {
  const target = (name) => (group === "name" ? link("/", { name, project }) : group === "project" ? link("/", { project: name }) : link("/search", { q: name, kind: "llm" }));
  const most = (one) => (one.error_rate > 0 ? "fact-bad" : "");
  return [
    { id: "name", label: group[0].toUpperCase() + group.slice(1), render: (one) => (one.name ? html`<a href=${target(one.name)}>${oneLine(one.name, 120)}</a>` : html`<span class="muted">${UNNAMED[group]}</span>`) },
    { id: "count", label: group === "model" ? "Calls" : "Traces", numeric: true, render: (one) => count(one.count) },
    { id: "errors", label: "Failed", numeric: true, render: (one) => html`<span class=${most(one)}>${one.count ? percent(one.error_rate) : UNKNOWN}</span>` },
    ...["p50", "p90", "p99"].map((name) => ({ id: name, label: html`<abbr title=${MEANINGS[name]}>${name}</abbr>`, numeric: true, render: (one) => duration(one[`${name}_ms`]) })),
    { id: "tokens", label: "Tokens", numeric: true, render: (one) => compact(one.tokens) },
    ...(groups.some((one) => one.cost_usd !== null) ? [{ id: "cost", label: "Cost", numeric: true, render: (one) => cost(one.cost_usd) }] : []),
  ];
}

const UNNAMED = { name: "without a name", model: "model not recorded", project: "without a project" };

/** How long a bucket is: `15 min`, `6 h`, `1 day`. */
function spanWords(ms) {
  const [unit, name] = SPAN_UNITS.find(([size]) => ms >= size) ?? SPAN_UNITS.at(-1);
  const number = Number((ms / unit).toFixed(ms / unit < 10 ? 1 : 0));
  return `${count(number)} ${name === "day" && number !== 1 ? "days" : name}`;
}

/** Spans of time without anything in them are not told; a chart needs them. */
function evened(buckets) {
  if (buckets.length === 0) return { times: [], at: [], width: 0 };
  const [first, last] = [buckets[0], buckets.at(-1)];
  const width = Math.max(1, first.end_ms - first.start_ms);
  const known = new Map(buckets.map((one) => [Math.round((one.start_ms - first.start_ms) / width), one]));
  const total = Math.min(500, Math.round((last.start_ms - first.start_ms) / width) + 1);
  const places = [...Array(total).keys()];
  return { width, times: places.map((place) => first.start_ms + (place + 0.5) * width), at: places.map((place) => known.get(place) ?? null) };
}

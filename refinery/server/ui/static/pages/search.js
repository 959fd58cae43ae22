/** Search over every run of every trace: words, user, session, time, project, status, kind. */
import { html, useEffect, useState } from "../html.js";
import { get, useData } from "../api.js";
import { duration, iso, moment } from "../format.js";
import { runLink, traceLink, useQuery } from "../location.js";
import { useKeys } from "../keys.js";
import { Page } from "../components/page.js";
import { Empty, Failure, Loading } from "../components/states.js";
import { KindBadge, StatusBadge } from "../components/badge.js";
import { announce, toast } from "../components/toast.js";
import { Icon } from "../components/icon.js";
import { oneLine, visible } from "../components/text.js";

const FIELDS = ["q", "user", "session", "from", "to", "project", "status", "kind"];
const KINDS = ["agent", "chain", "llm", "tool", "retriever", "embedding", "prompt", "parser", "reranker", "guardrail", "evaluator", "step", "event"];

export default function SearchPage() {
  const [query, change] = useQuery();
  const asked = Object.fromEntries(FIELDS.filter((name) => query[name]).map((name) => [name, query[name]]));
  const isAsked = Object.keys(asked).length > 0;
  const key = JSON.stringify(asked);
  const { data, error, reload, loading } = useData(isAsked ? "/search" : null, asked);
  const [more, setMore] = useState({ key, hits: [], next: undefined });
  const own = more.key === key ? more : { key, hits: [], next: undefined };
  const hits = [...(data?.hits ?? []), ...own.hits];
  const next = own.next === undefined ? data?.next : own.next;
  useEffect(() => { if (data) announce(`${data.hits.length} runs found`); }, [data]);
  useKeys([{ key: "/", label: "Search", run: () => document.getElementById("search-q")?.focus() }]);
  const read = async () => {
    try {
      const page = await get("/search", { ...asked, cursor: next });
      setMore({ key, hits: [...own.hits, ...page.hits], next: page.next });
    } catch (fault) { toast.failure(fault); }
  };
  return html`<${Page} title="Search">
    <${SearchForm} key=${key} query=${query} change=${change} />
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${isAsked && !data && !error && html`<${Loading} label="Searching" />`}
    ${!isAsked && html`<${Empty} title="Find runs of all traces"><p>Words that occur in the same run, in its input, output, error or metadata. Narrow it down by person, time, project, status or kind.</p></${Empty}>`}
    ${isAsked && data && hits.length === 0 && html`<${Empty} title="No run fits" />`}
    ${hits.length > 0 && html`<ol class="found" aria-label="Runs that fit" aria-busy=${String(loading)}>
      ${hits.map((hit, at) => html`<${Hit} key=${at} hit=${hit} words=${asked.q ?? ""} />`)}</ol>
      <p class="list-end muted">${next ? html`<button type="button" class="button" onClick=${read}>Show older ones</button>` : `${hits.length === 1 ? "One run" : `${hits.length} runs`}.`}</p>`}
  </${Page}>`;
}

/** The fields keep what is typed while the page around them is drawn anew (`defaultValue`). */
function SearchForm({ query, change }) {
  const { data: projects } = useData("/projects");
  const submit = (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    change({ ...given, from: moved(given.from), to: moved(given.to) });
  };
  const choose = (name, label, options) => html`<label class="field"><span>${label}</span><select class="input" name=${name}>
    <option value="">any</option>${options.map((one) => html`<option key=${one} value=${one} selected=${query[name] === one}>${one}</option>`)}</select></label>`;
  const names = (projects?.projects ?? []).map((one) => one.name).filter(Boolean).slice(0, 200);
  return html`<form class="panel search-form" role="search" onSubmit=${submit}>
    <div class="row search-words"><div class="search-field"><${Icon} name="search" />
      <input id="search-q" class="input" type="search" name="q" aria-label="Words" placeholder="Words in a run" defaultValue=${query.q ?? ""} maxlength="2000" autocomplete="off" /></div>
      <button class="button button-primary">Search</button></div>
    <div class="search-fields">
      <label class="field"><span>User</span><input class="input" name="user" defaultValue=${query.user ?? ""} autocomplete="off" /></label>
      <label class="field"><span>Session</span><input class="input" name="session" defaultValue=${query.session ?? ""} autocomplete="off" /></label>
      <label class="field"><span>From</span><input class="input" type="datetime-local" name="from" defaultValue=${localMoment(query.from)} /></label>
      <label class="field"><span>Until</span><input class="input" type="datetime-local" name="to" defaultValue=${localMoment(query.to)} /></label>
      ${choose("project", "Project", query.project && !names.includes(query.project) ? [query.project, ...names] : names)}
      ${choose("status", "Status", ["error", "ok", "running", "cancelled"])}
      ${choose("kind", "Kind", KINDS)}
    </div>
  </form>`;
}

/** What a field for local time holds, as ISO 8601 in UTC. */
function moved(text) {
  const then = text ? new Date(text) : null;
  return then && !Number.isNaN(then.getTime()) ? then.toISOString() : null;
}

/** A moment as a field for local time takes it; empty when it is none. */
function localMoment(text) {
  const then = new Date(text ?? "");
  if (Number.isNaN(then.getTime())) return "";
  return new Date(then.getTime() - then.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function Hit({ hit, words }) {
  return html`<li class=${hit.status === "error" ? "panel hit-card is-failed" : "panel hit-card"}>
    <div class="row"><${KindBadge} kind=${hit.kind} /><a class="trace-name" href=${runLink(hit.trace_id, hit.run_id)}>${oneLine(hit.name || "unnamed run", 160)}</a>
      <${StatusBadge} status=${hit.status} />
      <span class="hit-facts muted">${hit.project && html`<span>${oneLine(hit.project, 60)}</span>`}${hit.user_id && html`<span>${oneLine(hit.user_id, 60)}</span>`}
        <span>${duration(hit.duration_ms)}</span><time datetime=${iso(hit.start_ms)} title=${iso(hit.start_ms)}>${moment(hit.start_ms)}</time><a href=${traceLink(hit.trace_id, hit.run_id)}>in its trace</a></span></div>
    ${hit.snippet && html`<p class="hit-snippet" dir="auto"><code class="muted">${oneLine(hit.where, 120)}</code> ${marked(hit.snippet, words)}</p>`}
  </li>`;
}

/** A snippet with the words searched for marked, as nodes. */
function marked(snippet, words) {
  const wanted = [...new Set(words.toLowerCase().split(/\s+/).filter((word) => word.length > 1))].slice(0, 20);
  if (wanted.length === 0) return visible(snippet);
  const pattern = new RegExp(`(${wanted.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
  return snippet.split(pattern).map((part, at) => (at % 2 ? html`<mark key=${at}>${visible(part)}</mark>` : visible(part)));
}

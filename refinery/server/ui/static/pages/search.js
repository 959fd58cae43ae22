/** Search over every conversation: words, meaning, user, session, time, project, status, kind. */
import { html, useEffect, useState } from "../html.js";
import { session, useData } from "../api.js";
import { plural } from "../format.js";
import { runLink, traceLink, useQuery } from "../location.js";
import { useKeys } from "../keys.js";
import { Page } from "../components/page.js";
import { Empty, Failure, Loading } from "../components/states.js";
import { KindBadge, StatusBadge } from "../components/badge.js";
import { announce } from "../components/toast.js";
import { Icon } from "../components/icon.js";
import { Moment } from "../components/moment.js";
import { oneLine, visible } from "../components/text.js";

const FIELDS = ["q", "by", "user", "session", "from", "to", "project", "status", "kind", "limit"];
const KINDS = ["agent", "chain", "llm", "tool", "retriever", "embedding", "prompt", "parser", "reranker", "guardrail", "evaluator", "step", "event"];
const WAYS = [["", "By words and meaning"], ["text", "By words only"], ["meaning", "By meaning only"]];
const FIRST = 20;
const MOST = 200;

export default function SearchPage() {
  const [query, change] = useQuery();
  const asked = Object.fromEntries(FIELDS.filter((name) => query[name]).map((name) => [name, query[name]]));
  const isAsked = Object.keys(asked).some((name) => name !== "by" && name !== "limit");
  const key = JSON.stringify({ ...asked, limit: undefined });
  const { data, error, reload, loading } = useData(isAsked ? "/search" : null, asked);
  const results = data?.results ?? [];
  const limit = Number(asked.limit) || FIRST;
  useEffect(() => { if (data) announce(`${plural(data.results.length, "conversation")} found`); }, [data]);
  useKeys([{ key: "/", label: "Search", run: () => document.getElementById("search-q")?.focus() }]);
  return html`<${Page} title="Search">
    <${SearchForm} key=${key} query=${query} change=${change} />
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${isAsked && !data && !error && html`<${Loading} label="Searching" />`}
    ${!isAsked && html`<${Empty} title="Find conversations"><p>By words that occur in a run and by what was meant. Narrow it down by person, time, project, status or kind.</p></${Empty}>`}
    ${isAsked && data && results.length === 0 && html`<${Empty} title="No conversation fits" />`}
    ${results.length > 0 && html`<ol class="found" aria-label="Conversations that fit" aria-busy=${String(loading)}>
      ${results.map((one) => html`<${Result} key=${one.trace_id} one=${one} />`)}</ol>
      <p class="list-end muted">${results.length >= limit && limit < MOST ? html`<button type="button" class="button" onClick=${() => change({ limit: String(Math.min(MOST, limit * 2)) })}>Show more</button>` : `${plural(results.length, "conversation")}.`}</p>`}
    ${data && html`<${How} data=${data} />`}
  </${Page}>`;
}

/** How was searched, and what was left out. */
function How({ data }) {
  const arms = data.arms.map((arm) => (arm === "text" ? "words" : `meaning (embedder ${data.embedder}${isByParts(data) ? ": shared words and parts of words, no synonyms" : ""})`));
  return html`<div class="muted">${arms.length > 0 && html`<p>Searched by ${arms.join(" and ")}.</p>`}
    ${data.notes.map((note) => html`<p key=${note}>${visible(note)}</p>`)}</div>`;
}

/** The embedder that comes with Refinery knows no language. */
const isByParts = ({ embedder }) => String(embedder).startsWith("hash-");

/** The fields keep what is typed while the page around them is drawn anew (`defaultValue`). */
function SearchForm({ query, change }) {
  const { data: projects } = useData("/projects");
  const [hasMeaning, setMeaning] = useState(false);
  useEffect(() => { session().then((about) => setMeaning(about.has_meaning), () => setMeaning(false)); }, []);
  const submit = (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    change({ ...given, from: moved(given.from), to: moved(given.to), limit: null });
  };
  const choose = (name, label, options) => html`<label class="field"><span>${label}</span><select class="input" name=${name}>
    <option value="">Any</option>${options.map((one) => html`<option key=${one} value=${one} selected=${query[name] === one}>${one}</option>`)}</select></label>`;
  const names = (projects?.projects ?? []).map((one) => one.name).filter(Boolean).slice(0, 200);
  return html`<form class="panel search-form" role="search" onSubmit=${submit}>
    <div class="row search-words"><div class="search-field"><${Icon} name="search" />
      <input id="search-q" class="input" type="search" name="q" aria-label="Words" placeholder="Words or a sentence" defaultValue=${query.q ?? ""} maxlength="2000" autocomplete="off" /></div>
      ${hasMeaning && html`<select class="input search-by" name="by" aria-label="How to search">
        ${WAYS.map(([way, label]) => html`<option key=${way} value=${way} selected=${(query.by || "") === way}>${label}</option>`)}</select>`}
      <button class="button button-primary">Search</button></div>
    <div class="search-fields">
      <label class="field"><span>User</span><input class="input" name="user" defaultValue=${query.user ?? ""} autocomplete="off" /></label>
      <label class="field"><span>Session</span><input class="input" name="session" defaultValue=${query.session ?? ""} autocomplete="off" /></label>
      <label class="field"><span>From (your time)</span><input class="input" type="datetime-local" name="from" defaultValue=${localMoment(query.from)} /></label>
      <label class="field"><span>Until (your time)</span><input class="input" type="datetime-local" name="to" defaultValue=${localMoment(query.to)} /></label>
      ${choose("project", "Project", query.project && !names.includes(query.project) ? [query.project, ...names] : names)}
      ${choose("status", "Status", ["failed", "error", "ok", "running", "cancelled"])}
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

function Result({ one }) {
  return html`<li class=${one.status === "error" || one.label === "fail" ? "panel hit-card is-failed" : "panel hit-card"}>
    <div class="row"><a class="trace-name" href=${traceLink(one.trace_id)}>${oneLine(one.name || "unnamed trace", 160)}</a>
      <${StatusBadge} status=${one.status} />
      <span class="hit-facts muted">${one.project && html`<span>${oneLine(one.project, 60)}</span>`}${one.user_id && html`<span>${oneLine(one.user_id, 60)}</span>`}
        ${one.start && html`<${Moment} ms=${Date.parse(one.start)} />`}</span></div>
    ${one.asked && html`<p class="hit-snippet hit-said" dir="auto"><span class="muted">Asked:</span> ${visible(one.asked)}</p>`}
    ${one.answered && html`<p class="hit-snippet hit-said" dir="auto"><span class="muted">Answered:</span> ${visible(one.answered)}</p>`}
    ${one.why.map((why) => html`<${Why} key=${why.arm} trace=${one.trace_id} why=${why} />`)}
  </li>`;
}

/** One reason why a conversation was found. */
function Why({ trace, why }) {
  const where = why.run_id && html`${why.run_kind && html`<${KindBadge} kind=${why.run_kind} />`} <a href=${runLink(trace, why.run_id)}>${oneLine(why.run_name || "unnamed run", 120)}</a>`;
  return why.arm === "meaning"
    ? html`<p class="hit-snippet"><span class="muted">Alike: ${why.similarity.toFixed(2)} of 1 (rank ${why.rank})</span></p>`
    : html`<p class="hit-snippet" dir="auto"><span class="muted">Has the words (rank ${why.rank}) in</span> ${where} ${marked(why.snippet, why.words)}</p>`;
}

/** A snippet with the words searched for marked, as nodes. */
function marked(snippet, words) {
  if (words.length === 0) return visible(snippet);
  const pattern = new RegExp(`(${words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
  return snippet.split(pattern).map((part, at) => (at % 2 ? html`<mark key=${at}>${visible(part)}</mark>` : visible(part)));
}

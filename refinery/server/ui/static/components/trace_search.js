/** Search inside a trace: names at once, then everything that was recorded. */
import { html, useEffect, useState } from "../html.js";
import { get } from "../api.js";
import { count } from "../format.js";
import { announce } from "./toast.js";
import { Icon } from "./icon.js";
import { oneLine } from "./text.js";

const TYPING_MS = 250;
const LISTED = 8;
const NONE = { ids: [], hits: new Set(), list: [] };

/**
 * @param {{trace: Object, runs: Object[], query: string, setQuery: (text: string) => void,
 *   found: Object, setFound: (found: Object) => void, show: (id: string) => void,
 *   step: (by: number) => void}} props
 */
export function TraceSearch({ trace, runs, query, setQuery, found, setFound, show, step }) {
  const [typed, setTyped] = useState(query);
  const [isListed, setListed] = useState(false);
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      if (typed !== query) setQuery(typed);
      setFound(typed.trim() ? await hitsOf(trace, runs, typed.trim(), abort.signal) : NONE);
    }, TYPING_MS);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [typed, runs.length]);
  useEffect(() => { if (typed.trim()) announce(`${found.ids.length} runs hold it`); }, [found]);
  const onKeyDown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    step(event.shiftKey ? -1 : 1);
  };
  return html`<div class="trace-search">
    <div class="search-field">
      <${Icon} name="search" />
      <input id="trace-search" class="input" type="search" placeholder="Search inside" aria-label="Search inside this trace"
        value=${typed} onInput=${(event) => setTyped(event.target.value)} onKeyDown=${onKeyDown} onFocus=${() => setListed(true)}
        maxlength="300" autocomplete="off" spellcheck=${false} />
    </div>
    ${typed.trim() && html`<span class="muted hits-count">${count(found.ids.length)} of ${count(runs.length)}</span>
      <button type="button" class="icon-button icon-button-small" aria-label="Previous hit" disabled=${!found.ids.length} onClick=${() => step(-1)}>↑</button>
      <button type="button" class="icon-button icon-button-small" aria-label="Next hit" disabled=${!found.ids.length} onClick=${() => step(1)}>↓</button>`}
    ${isListed && typed.trim() && found.list?.length > 0 && html`<ul class="hits" aria-label="Hits">
      ${found.list.slice(0, LISTED).map((hit, at) => html`<li key=${at}><button type="button" class="hit" onClick=${() => { show(hit.run_id); setListed(false); }}>
        <b>${oneLine(hit.name, 60)}</b><span class="muted"> ${oneLine(hit.where, 60)}</span>
        <span class="hit-text">${oneLine(hit.snippet, 160)}</span></button></li>`)}
    </ul>`}
  </div>`;
}

async function hitsOf(trace, runs, text, signal) {
  const lowered = text.toLowerCase();
  const named = runs.filter((run) => `${run.name ?? ""} ${run.kind ?? ""} ${run.model ?? ""}`.toLowerCase().includes(lowered));
  const names = new Map(runs.map((run) => [run.run_id, run.name || run.kind || "run"]));
  let hits = [];
  try {
    hits = (await get(`/traces/${encodeURIComponent(trace.trace_id)}/search`, { q: text }, signal)).hits;
  } catch (error) {
    if (error.name === "AbortError") return NONE;
  }
  const ids = new Set([...named.map((run) => run.run_id), ...hits.map((hit) => hit.run_id)]);
  return { ids: [...ids], hits: ids, list: hits.map((hit) => ({ ...hit, name: names.get(hit.run_id) ?? "" })) };
}

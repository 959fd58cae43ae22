/** The filters above a list of traces; what is chosen stands in the URL. */
import { html, useEffect, useRef, useState } from "../html.js";
import { useData } from "../api.js";
import { Icon } from "./icon.js";

export const FILTER_NAMES = ["q", "status", "label", "project", "user", "session", "name", "source", "since", "until"];
const TYPING_MS = 300;
const SPANS = [["", "Any time"], ["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]];
const STATUSES = [["", "Any status"], ["error", "Failed"], ["ok", "OK"], ["running", "Running"], ["cancelled", "Cancelled"]];
const LABELS = [["", "Any label"], ["fail", "Labelled fail"], ["pass", "Labelled pass"]];
/** More names than this are typed, not picked. */
const MOST_OPTIONS = 200;

/**
 * @param {{query: Object<string, string>, change: (part: Object, options?: Object) => void}} props
 */
export function Filters({ query, change }) {
  const set = (name) => (value) => change({ [name]: value || null }, { replace: name === "q" });
  const shown = FILTER_NAMES.filter((name) => query[name]);
  return html`<form class="filters" role="search" aria-label="Filter the traces" onSubmit=${(event) => event.preventDefault()}>
    <${Words} value=${query.q ?? ""} set=${set("q")} />
    <${Pick} label="Status" value=${query.status} set=${set("status")} options=${STATUSES} />
    <${Pick} label="Label" value=${query.label} set=${set("label")} options=${LABELS} />
    <${Pick} label="Time" value=${query.since} set=${set("since")} options=${SPANS} />
    <${Names} label="project" path="/projects" field="projects" value=${query.project} set=${set("project")} />
    <${Names} label="user" path="/users" field="users" value=${query.user} set=${set("user")} />
    <button type="button" class="button" id="filter-failed" aria-pressed=${String(query.status === "error")}
      onClick=${() => set("status")(query.status === "error" ? "" : "error")}><${Icon} name="alert" />Failed</button>
    ${["session", "name", "source", "until"].filter((name) => query[name]).map((name) => html`
      <button key=${name} type="button" class="button filter-chip" onClick=${() => set(name)("")} aria-label=${`Remove the filter ${name}`}>
        ${name}: <b>${query[name].slice(0, 40)}</b><${Icon} name="cross" /></button>`)}
    ${shown.length > 0 && html`<button type="button" class="button button-quiet"
      onClick=${() => change(Object.fromEntries(FILTER_NAMES.map((name) => [name, null])))}>Clear</button>`}
  </form>`;
}

/** Words, put into the URL when the typing pauses. */
function Words({ value, set }) {
  const [typed, setTyped] = useState(value);
  const timer = useRef(0);
  const field = useRef(null);
  useEffect(() => {
    if (document.activeElement !== field.current) setTyped(value);
  }, [value]);
  const type = (event) => {
    setTyped(event.target.value);
    clearTimeout(timer.current);
    timer.current = setTimeout(set, TYPING_MS, event.target.value);
  };
  return html`<div class="search-field">
    <${Icon} name="search" />
    <input ref=${field} id="filter-q" class="input" type="search" aria-label="Words somewhere in the trace"
      placeholder="Words somewhere in the trace" value=${typed} onInput=${type} maxlength="500" autocomplete="off" spellcheck=${false} />
  </div>`;
}

function Pick({ label, value = "", set, options }) {
  const known = options.some(([id]) => id === value) ? options : [...options, [value, value]];
  return html`<select class="input" aria-label=${label} onChange=${(event) => set(event.target.value)}>
    ${known.map(([id, text]) => html`<option key=${id} value=${id} selected=${id === value}>${text}</option>`)}
  </select>`;
}

/** Names with counts, as the API lists them. */
function Names({ label, path, field, value = "", set }) {
  const { data } = useData(path);
  const names = (data?.[field] ?? []).filter((one) => one.name).slice(0, MOST_OPTIONS);
  if (names.length < 2 && !value) return null;
  const options = names.map((one) => [one.name, `${one.name} (${one.count ?? one.traces ?? 0})`]);
  return html`<${Pick} label=${label[0].toUpperCase() + label.slice(1)} value=${value} set=${set}
    options=${[["", `Any ${label}`], ...options]} />`;
}

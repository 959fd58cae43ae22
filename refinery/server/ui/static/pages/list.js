/** The list of traces: filters in the URL, live refresh, keys, and how to record when it is empty. */
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { get, useData } from "../api.js";
import { link, navigate, useQuery } from "../location.js";
import { useKeys } from "../keys.js";
import { Page } from "../components/page.js";
import { Empty, Failure, Loading } from "../components/states.js";
import { announce, toast } from "../components/toast.js";
import { Filters, FILTER_NAMES } from "../components/filters.js";
import { HowToRecord } from "../components/how_to_record.js";
import { TraceRows } from "../components/trace_rows.js";

const REFRESH_MS = 4000;
const LIVE = "refinery-live";

export default function ListPage() {
  const [query, change] = useQuery();
  const filters = Object.fromEntries(FILTER_NAMES.map((name) => [name, query[name]]));
  const isFiltered = FILTER_NAMES.some((name) => query[name]);
  const [live, setLive] = useState(() => localStorage.getItem(LIVE) !== "off");
  const first = useData("/traces", filters, { everyMs: live ? REFRESH_MS : 0 });
  const more = useMore(filters, first.data);
  const traces = useMemo(() => joined(first.data?.traces, more.traces), [first.data, more.traces]);
  const [chosen, setChosen] = useState([]);
  const list = useRef(null);
  useListKeys(list, traces, chosen, setChosen);
  useEffect(() => {
    if (first.data && isFiltered) announce(`${traces.length} traces${more.next ? " and more" : ""}`);
  }, [JSON.stringify(filters), first.data !== null]);
  const toggleLive = (event) => {
    localStorage.setItem(LIVE, event.target.checked ? "on" : "off");
    setLive(event.target.checked);
  };
  const isEmpty = first.data && traces.length === 0;
  return html`<${Page} title="Traces" actions=${html`
    ${chosen.length > 0 && html`<a class="button"
      href=${link("/compare", { left: chosen[0], right: chosen[1] })}>Compare ${chosen.length} of 2</a>`}
    <label class="check live-switch"><input type="checkbox" checked=${live} onChange=${toggleLive} />Live</label>`}>
    ${!(isEmpty && !isFiltered) && html`<${Filters} query=${query} change=${change} />`}
    ${first.error && html`<${Failure} error=${first.error} retry=${first.reload} />`}
    ${!first.data && !first.error && html`<${Loading} label="Reading the traces" />`}
    ${isEmpty && (isFiltered
      ? html`<${Empty} title="No trace fits these filters">
          <button type="button" class="button" onClick=${() => navigate("/ui/")}>Show all traces</button></${Empty}>`
      : html`<${HowToRecord} />`)}
    ${traces.length > 0 && html`<div ref=${list} class="stack">
      <${TraceRows} traces=${traces} chosen=${chosen} choose=${setChosen} change=${change} />
      <p class="list-end muted" role="status">
        ${more.next
          ? html`<button type="button" class="button" disabled=${more.isReading} onClick=${more.read}>
              ${more.isReading ? "Reading …" : "Show older traces"}</button>`
          : html`<span>${traces.length === 1 ? "One trace" : `${traces.length} traces`}${isFiltered ? " fit" : ""}.</span>`}
      </p>
    </div>`}
  </${Page}>`;
}

/** Pages behind the first one, read on demand; another filter starts over. */
function useMore(filters, first) {
  const key = JSON.stringify(filters);
  const [state, setState] = useState({ key, traces: [], next: undefined, isReading: false });
  const own = state.key === key ? state : { key, traces: [], next: undefined, isReading: false };
  const next = own.next === undefined ? first?.next ?? null : own.next;
  const read = async () => {
    setState({ ...own, isReading: true });
    try {
      const page = await get("/traces", { ...filters, cursor: next });
      setState({ key, traces: [...own.traces, ...page.traces], next: page.next, isReading: false });
    } catch (error) {
      toast.failure(error);
      setState({ ...own, isReading: false });
    }
  };
  return { traces: own.traces, next, isReading: own.isReading, read };
}

/** The first page as it is now, then what was read behind it: new traces push older ones down. */
function joined(first = [], older = []) {
  const seen = new Set(first.map((trace) => trace.trace_id));
  return [...first, ...older.filter((trace) => !seen.has(trace.trace_id))];
}

function useListKeys(list, traces, chosen, setChosen) {
  const links = () => [...(list.current?.querySelectorAll("a.trace-name") ?? [])];
  const move = (step) => {
    const all = links();
    const at = all.indexOf(document.activeElement);
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step));
    all[next]?.focus();
    all[next]?.scrollIntoView({ block: "nearest" });
  };
  const mark = () => {
    const at = links().indexOf(document.activeElement);
    if (at >= 0) setChosen(toggled(chosen, traces[at].trace_id));
  };
  useKeys([
    { key: "j", label: "Next trace", run: () => move(1) },
    { key: "k", label: "Previous trace", run: () => move(-1) },
    { key: "o", label: "Open the trace (or Enter)", run: () => links().includes(document.activeElement) && document.activeElement.click() },
    { key: "x", label: "Choose for comparing", run: mark },
    { key: "/", label: "Search", run: () => document.getElementById("filter-q")?.focus() },
    { key: "f", label: "Failed ones only, or all", run: () => document.getElementById("filter-failed")?.click() },
  ]);
}

/** At most two are chosen; a third replaces the older one. */
export function toggled(chosen, id) {
  if (chosen.includes(id)) return chosen.filter((one) => one !== id);
  return [...chosen.slice(-1), id];
}

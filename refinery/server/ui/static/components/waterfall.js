/**
 * The tree of runs with their times: a treegrid whose rows are in the document only while in view.
 *
 * The grid itself has the focus and names its active row (`aria-activedescendant`), so rows can
 * come and go while the keyboard stays where it is.
 */
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { compact, duration, rounded } from "../format.js";
import { barOf, rowOf, ticksOf } from "../run_tree.js";
import { KindBadge } from "./badge.js";
import { Icon } from "./icon.js";
import { oneLine } from "./text.js";

const ROW_PX = 30;
const OVERSCAN = 12;
/** Deeper runs are not moved further to the right, or their names would have no room. */
const DEEPEST_INDENT = 8;
const PAGE_ROWS = 15;

/**
 * @param {{
 *   rows: {run: Object, hasChildren: boolean, isClosed: boolean}[],
 *   runs: Object[],
 *   span: {from: number, to: number}|null,
 *   marks: Map<string, {cause: Object[], symptom: Object[]}>,
 *   links: [string, string][],
 *   hits: Set<string>,
 *   selected: string|null,
 *   select: (id: string) => void,
 *   open: (id: string) => void,
 *   toggle: (id: string, closed?: boolean) => void,
 * }} props `links`: cause and symptom of findings that lie in different runs
 */
export function Waterfall({ rows, runs, span, marks, links, hits, selected, select, open, toggle }) {
  const scroll = useRef(null);
  const view = useView(scroll);
  const active = useMemo(() => (selected ? rowOf(rows, runs, selected) : -1), [rows, selected]);
  useEffect(() => { if (active >= 0) reveal(scroll.current, active); }, [active, selected]);
  const first = Math.max(0, Math.floor(view.top / ROW_PX) - OVERSCAN);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW_PX) + OVERSCAN);
  const indices = [];
  for (let at = first; at < last; at += 1) indices.push(at);
  if (active >= 0 && (active < first || active >= last)) indices.push(active);
  const onKeyDown = (event) => keyed(event, { rows, active, select, open, toggle });
  return html`<div class="tree" role="treegrid" aria-label="Runs" aria-rowcount=${rows.length + 1} tabindex="0"
      aria-activedescendant=${active >= 0 ? rowId(active) : undefined} onKeyDown=${onKeyDown}>
    <${Head} span=${span} />
    <div class="tree-scroll" role="rowgroup" ref=${scroll}>
      <div class="tree-rows" role="presentation" style=${{ height: `${rows.length * ROW_PX}px` }}>
        ${indices.map((at) => html`<${Row} key=${rows[at].run.run_id} row=${rows[at]} at=${at} span=${span}
          mark=${marks.get(rows[at].run.run_id)} isHit=${hits.has(rows[at].run.run_id)} isSelected=${at === active}
          select=${select} open=${open} toggle=${toggle} />`)}
        ${links.map(([cause, symptom]) => html`<${Thread} key=${`${cause} ${symptom}`} from=${rowOf(rows, runs, cause)} to=${rowOf(rows, runs, symptom)} />`)}
      </div>
    </div>
  </div>`;
}

const rowId = (at) => `run-row-${at}`;

/** The part of the rows that is scrolled into view; follows scrolling and resizing. */
function useView(scroll) {
  const [view, setView] = useState({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const element = scroll.current;
    let waiting = 0;
    const read = () => {
      waiting = 0;
      setView({ top: element.scrollTop, height: element.clientHeight });
    };
    const soon = () => { waiting ||= requestAnimationFrame(read); };
    read();
    element.addEventListener("scroll", soon, { passive: true });
    const observer = new ResizeObserver(soon);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", soon);
      observer.disconnect();
      cancelAnimationFrame(waiting);
    };
  }, []);
  return view;
}

function reveal(element, at) {
  const top = at * ROW_PX;
  if (top < element.scrollTop) element.scrollTop = Math.max(0, top - ROW_PX);
  else if (top + ROW_PX > element.scrollTop + element.clientHeight) element.scrollTop = top - element.clientHeight + 3 * ROW_PX;
}

/** Keys of a treegrid (ARIA Authoring Practices), and j and k. */
function keyed(event, { rows, active, select, open, toggle }) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const go = (at) => rows[Math.min(rows.length - 1, Math.max(0, at))] && select(rows[Math.min(rows.length - 1, Math.max(0, at))].run.run_id);
  const row = rows[active];
  const act = {
    ArrowDown: () => go(active + 1),
    ArrowUp: () => go(active - 1),
    PageDown: () => go(active + PAGE_ROWS),
    PageUp: () => go(active - PAGE_ROWS),
    Home: () => go(0),
    End: () => go(rows.length - 1),
    ArrowRight: () => row && (row.hasChildren && row.isClosed ? toggle(row.run.run_id, false) : row.hasChildren && go(active + 1)),
    ArrowLeft: () => row && (row.hasChildren && !row.isClosed ? toggle(row.run.run_id, true) : go(above(rows, active))),
    Enter: () => row && open(row.run.run_id),
    " ": () => row?.hasChildren && toggle(row.run.run_id),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function above(rows, active) {
  for (let at = active - 1; at >= 0; at -= 1) if (rows[at].run.depth < rows[active].run.depth) return at;
  return active;
}

function Head({ span }) {
  return html`<div class="tree-head" role="row" aria-rowindex="1">
    <span role="columnheader" class="cell-name">Run</span>
    <span role="columnheader" class="cell-bar"><span class="visually-hidden">Timeline</span>
      ${span && ticksOf(span).map((at) => html`<span key=${at} class="tick" aria-hidden="true" style=${{ left: `${(at / (span.to - span.from)) * 100}%` }}>${tick(at)}</span>`)}
    </span>
    <span role="columnheader" class="cell-time">Duration</span>
    <span role="columnheader" class="cell-tokens">Tokens</span>
  </div>`;
}

const tick = (at) => (at === 0 ? "0" : rounded(duration(at)));

function Row({ row, at, span, mark, isHit, isSelected, select, open, toggle }) {
  const { run, hasChildren, isClosed } = row;
  const indent = Math.min(run.depth, DEEPEST_INDENT);
  const classes = ["tree-row", isSelected && "is-selected", run.status === "error" && "is-failed", isHit && "is-hit"];
  return html`<div class=${classes.filter(Boolean).join(" ")} role="row" id=${rowId(at)} aria-rowindex=${at + 2}
      aria-level=${run.depth + 1} aria-expanded=${hasChildren ? String(!isClosed) : undefined} aria-selected=${String(isSelected)}
      style=${{ transform: `translateY(${at * ROW_PX}px)` }} onClick=${() => select(run.run_id, true)} onDblClick=${() => open(run.run_id)}>
    <span class="cell-name" role="gridcell" style=${{ paddingLeft: `${20 + indent * 14}px` }}>
      ${hasChildren
        ? html`<span class=${isClosed ? "tree-toggle" : "tree-toggle is-open"} aria-hidden="true"
            onClick=${(event) => { event.stopPropagation(); toggle(run.run_id); }}><${Icon} name="chevron" /></span>`
        : html`<span class="tree-toggle" aria-hidden="true"></span>`}
      ${run.depth > DEEPEST_INDENT && html`<span class="tree-depth" title="Depth">${run.depth}</span>`}
      <${KindBadge} kind=${run.kind} />
      <span class="tree-label" dir="auto" title=${(run.name || "").slice(0, 300)}>${oneLine(run.name || run.kind || "run", 160)}</span>
      <${Marks} run=${run} mark=${mark} />
    </span>
    <span class="cell-bar" role="gridcell"><${Bar} run=${run} span=${span} mark=${mark} /></span>
    <span class="cell-time" role="gridcell">${run.status === "running" ? "running" : duration(run.duration_ms)}</span>
    <span class="cell-tokens" role="gridcell">${run.tokens === null ? "" : compact(run.tokens)}</span>
  </div>`;
}

function Marks({ run, mark }) {
  return html`${run.evaluations > 0 && html`<span class="tree-note" title="Items judged in this step">${run.evaluations} judged</span>`}
    ${mark?.cause.length > 0 && html`<span class="badge badge-warn badge-mini" title=${mark.cause.map((one) => one.title).join("; ")}>cause ${idsOf(mark.cause)}</span>`}
    ${mark?.symptom.length > 0 && html`<span class="badge badge-bad badge-mini" title=${mark.symptom.map((one) => one.title).join("; ")}>symptom ${idsOf(mark.symptom)}</span>`}
    ${run.status === "error" && html`<span class="tree-error" title=${run.error_message || ""}><${Icon} name="alert" label="failed" />${!mark && html`<span class="tree-error-text">${oneLine(run.error_type || "", 60)}</span>`}</span>`}`;
}

const idsOf = (findings) => findings.slice(0, 3).map((one) => one.finding_id).join(", ");

function Bar({ run, span, mark }) {
  const place = barOf(run, span);
  if (!place) return null;
  const kind = run.status === "error" ? "bar-failed" : `bar-${run.kind ?? "other"}`;
  const classes = `bar ${kind}${run.status === "running" ? " bar-running" : ""}`;
  return html`<span class=${classes} style=${{ left: `min(${place.left.toFixed(3)}%, 100% - 3px)`, width: `max(3px, ${place.width.toFixed(3)}%)` }}></span>
    ${mark && html`<span class=${mark.cause.length ? "bar-mark mark-cause" : "bar-mark mark-symptom"} style=${{ left: `min(${place.left.toFixed(3)}%, 100% - 3px)` }}></span>`}`;
}

/** The line in the margin from a cause to the symptom it showed as. */
function Thread({ from, to }) {
  if (from < 0 || to < 0 || from === to) return null;
  const [top, bottom] = [Math.min(from, to), Math.max(from, to)];
  return html`<span class=${from < to ? "thread" : "thread thread-up"} aria-hidden="true" role="presentation"
    style=${{ top: `${(top + 0.5) * ROW_PX}px`, height: `${(bottom - top) * ROW_PX}px` }}></span>`;
}

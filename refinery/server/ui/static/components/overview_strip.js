/** The whole trace on one line: where time went, where runs failed, what findings mark. */
import { html, useMemo } from "../html.js";
import { barOf } from "../run_tree.js";

/** Marks that fit on a line; more would lie on each other. */
const MOST_MARKS = 300;
const SLICES = 120;
/** Fewer runs are all in view below anyway. */
const FEW_RUNS = 30;

/**
 * @param {{runs: Object[], span: {from: number, to: number}|null, marks: Map, select: (id: string) => void}} props
 */
export function OverviewStrip({ runs, span, marks, select }) {
  const slices = useMemo(() => density(runs, span), [runs, span?.from, span?.to]);
  const told = useMemo(() => runs.filter((run) => run.status === "error" || marks.has(run.run_id)).slice(0, MOST_MARKS), [runs, marks]);
  if (!span || (runs.length < FEW_RUNS && told.length === 0)) return null;
  return html`<div class="strip" aria-hidden="true">
    ${slices.map((share, at) => share > 0 && html`<span key=${at} class="strip-slice" style=${{ left: `${(at / SLICES) * 100}%`, width: `${100 / SLICES}%`, opacity: 0.15 + 0.85 * share }}></span>`)}
    ${told.map((run) => {
      const place = barOf(run, span);
      const mark = marks.get(run.run_id);
      const tone = mark?.cause.length ? "cause" : "error";
      return place && html`<span key=${run.run_id} class=${`strip-mark strip-${tone}`} title=${run.name} onClick=${() => select(run.run_id)}
        style=${{ left: `min(${place.left}%, 100% - 3px)` }}></span>`;
    })}
  </div>`;
}

/** How busy each slice of the time was, 0 to 1: starts and ends of leaf runs in it. */
function density(runs, span) {
  const slices = new Array(SLICES).fill(0);
  if (!span) return slices;
  runs.forEach((run, at) => {
    const isLeaf = (runs[at + 1]?.depth ?? 0) <= run.depth;
    const place = isLeaf ? barOf(run, span) : null;
    if (!place) return;
    const from = Math.min(SLICES - 1, Math.floor((place.left / 100) * SLICES));
    const to = Math.min(SLICES - 1, Math.floor(((place.left + place.width) / 100) * SLICES));
    for (let slice = from; slice <= to; slice += 1) slices[slice] += 1;
  });
  const most = Math.max(1, ...slices);
  return slices.map((count) => count / most);
}

/** A trace's runs as a tree: what is visible, how times map to the width, what findings mark. */

/**
 * Rows in view when some branches are closed.
 * @param {Object[]} runs in tree order with `depth`
 * @param {Set<string>} closed ids of runs whose children are hidden
 */
export function visibleRows(runs, closed) {
  const rows = [];
  let hiddenBelow = Infinity;
  for (let at = 0; at < runs.length; at += 1) {
    const run = runs[at];
    if (run.depth > hiddenBelow) continue;
    hiddenBelow = closed.has(run.run_id) ? run.depth : Infinity;
    rows.push({ run, hasChildren: (runs[at + 1]?.depth ?? 0) > run.depth, isClosed: hiddenBelow !== Infinity });
  }
  return rows;
}

/** The run above one in the tree; null for a root. */
export function parentOf(runs, id) {
  const at = runs.findIndex((run) => run.run_id === id);
  for (let before = at - 1; before >= 0; before -= 1) {
    if (runs[before].depth < runs[at].depth) return runs[before];
  }
  return null;
}

/** The runs above one, from the root down. */
export function ancestorsOf(runs, id) {
  const found = [];
  for (let run = parentOf(runs, id); run; run = parentOf(runs, run.run_id)) found.unshift(run);
  return found;
}

/**
 * First and last moment of a trace in milliseconds; a run that has not ended lasts until now.
 * @returns {{from: number, to: number}|null} null when no run has a start
 */
export function spanOf(runs, now = Date.now()) {
  let from = Infinity;
  let to = -Infinity;
  let isOpen = false;
  for (const run of runs) {
    if (run.start_ms === null) continue;
    from = Math.min(from, run.start_ms);
    to = Math.max(to, run.end_ms ?? run.start_ms);
    isOpen ||= run.status === "running" && run.end_ms === null;
  }
  if (from === Infinity) return null;
  // A recording left open days ago would squeeze everything else into one pixel.
  if (isOpen) to = Math.max(to, Math.min(now, from + Math.max(60_000, (to - from) * 1.5)));
  return { from, to: Math.max(to, from + 0.001) };
}

/** Left edge and width of a run in per cent of a span; null when it has no start or is outside. */
export function barOf(run, span) {
  if (!span || run.start_ms === null) return null;
  const length = span.to - span.from;
  const end = run.end_ms ?? (run.status === "running" ? span.to : run.start_ms);
  const left = Math.max(0, (run.start_ms - span.from) / length);
  const right = Math.min(1, (end - span.from) / length);
  if (left > 1 || right < 0) return null;
  return { left: left * 100, width: Math.max(0, right - left) * 100 };
}

/** Round moments for the axis, in milliseconds from its start: at most six. */
export function ticksOf(span) {
  const length = span.to - span.from;
  const power = 10 ** Math.floor(Math.log10(length / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => length / one <= 5) ?? length;
  const ticks = [];
  for (let at = 0; at <= length * 0.86 && ticks.length < 7; at += step) ticks.push(at);
  return ticks;
}

/**
 * What findings say of each run: `{cause: Finding[], symptom: Finding[]}` by run id.
 * @param {Object[]} findings
 */
export function marksOf(findings) {
  const marks = new Map();
  const mark = (id, part, finding) => {
    if (!marks.has(id)) marks.set(id, { cause: [], symptom: [] });
    marks.get(id)[part].push(finding);
  };
  for (const finding of findings) {
    mark(finding.cause_run_id, "cause", finding);
    mark(finding.symptom_run_id, "symptom", finding);
  }
  return marks;
}

/** The row of a run, or of the nearest run above it that is in view; -1 when there is none. */
export function rowOf(rows, runs, id) {
  for (let wanted = id; wanted; wanted = parentOf(runs, wanted)?.run_id) {
    const at = rows.findIndex((row) => row.run.run_id === wanted);
    if (at >= 0) return at;
  }
  return -1;
}

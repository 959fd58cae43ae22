/** Two traces aligned run by run: what is the same, what changed, what changed first. */
import { html, useState } from "../html.js";
import { useData } from "../api.js";
import { count, cost, duration, plural } from "../format.js";
import { runLink, traceLink, useQuery } from "../location.js";
import { Page } from "../components/page.js";
import { Failure, Loading } from "../components/states.js";
import { KindBadge, StatusBadge } from "../components/badge.js";
import { SideBySide } from "../components/diff.js";
import { Icon } from "../components/icon.js";
import { TracePicker } from "../components/trace_picker.js";
import { Moment } from "../components/moment.js";
import { oneLine, visible } from "../components/text.js";

const STEP = 300;
const STATES = { same: ["quiet", "same"], changed: ["warn", "changed"], removed: ["bad", "only left"], added: ["ok", "only right"] };

export default function ComparePage() {
  const [query, change] = useQuery();
  const { left, right } = query;
  const swap = () => change({ left: right, right: left });
  return html`<${Page} title="Compare traces" actions=${left && right && html`<button type="button" class="button" onClick=${swap}>Swap sides</button>`}>
    <div class="compare-heads">
      <${Side} name="Left" id=${left} other=${right} choose=${(id) => change({ left: id })} />
      <${Side} name="Right" id=${right} other=${left} choose=${(id) => change({ right: id })} />
    </div>
    ${left && right && html`<${Comparison} key=${`${left} ${right}`} left=${left} right=${right} all=${query.rows === "all"} change=${change} />`}
  </${Page}>`;
}

function Side({ name, id, other, choose }) {
  const { data, error } = useData(id ? `/traces/${encodeURIComponent(id)}` : null);
  if (!id) return html`<${TracePicker} label=${`${name} trace`} like=${other} choose=${choose} />`;
  const trace = data?.trace;
  return html`<section class="panel compare-head" aria-label=${`${name} trace`}>
    <div class="row"><span class="muted">${name}</span>
      <button type="button" class="button button-small" onClick=${() => choose(null)}>Another</button></div>
    ${error && html`<${Failure} error=${error} />`}
    ${trace && html`<div class="row"><a href=${traceLink(id)}><strong>${oneLine(trace.name || "unnamed")}</strong></a> <${StatusBadge} status=${trace.status} /></div>
      <p class="muted"><${Moment} ms=${trace.start_ms} /> · ${duration(trace.duration_ms)} · ${plural(trace.runs, "run")} · ${count(trace.tokens)} tokens · ${cost(trace.cost_usd)}</p>
      ${trace.root_output && html`<p class="compare-answer" dir="auto">${oneLine(trace.root_output)}</p>`}`}
  </section>`;
}

function Comparison({ left, right, all, change }) {
  const { data, error, reload } = useData("/diff", { left, right });
  const [most, setMost] = useState(STEP);
  const [open, setOpen] = useState(null);
  if (error) return html`<${Failure} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} label="Aligning the traces" />`;
  const first = data.rows.findIndex((row) => isRow(row, data.first));
  const rows = data.rows.map((row, at) => ({ ...row, at })).filter((row) => all || row.state !== "same" || data.same);
  const { counts } = data;
  return html`<div class="row" role="status">
      ${Object.entries(STATES).map(([state, [tone, word]]) => counts[state] > 0 && html`<span key=${state} class=${`badge badge-${tone}`}>${count(counts[state])} ${word}</span>`)}
      ${data.same && html`<span>Nothing differs but identifiers, times, tokens and costs.</span>`}
      ${counts.same > 0 && !data.same && html`<label class="check"><input type="checkbox" checked=${all} onChange=${(event) => change({ rows: event.target.checked ? "all" : null })} />Also what is the same</label>`}
    </div>
    ${data.first && html`<section class="note note-warn"><${Icon} name="flag" /><div class="stack-tight">
      <span><strong>What changed first:</strong> ${oneLine(data.first.name || data.first.kind || "a run", 120)}${data.first.difference
        ? html`, <code>${oneLine(data.first.difference.path, 160)}</code>` : html` is only on the ${data.first.state === "added" ? "right" : "left"}`}</span>
      ${data.first.difference && html`<${Difference} one=${data.first.difference} />`}
    </div></section>`}
    ${rows.length > 0 && html`<div class="table-scroll" role="region" aria-label="Aligned runs" tabindex="0"><table class="table compare-table">
      <caption class="visually-hidden">Runs of both traces, aligned</caption>
      <thead><tr><th scope="col">Run</th><th scope="col">State</th><th scope="col">What differs</th><th scope="col">Open</th></tr></thead>
      <tbody>${rows.slice(0, most).map((row) => html`<${Row} key=${row.at} row=${row} isFirst=${row.at === first} left=${left} right=${right}
        isOpen=${open === row.at} toggle=${() => setOpen(open === row.at ? null : row.at)} />`)}</tbody>
    </table></div>`}
    ${rows.length > most && html`<button type="button" class="button" onClick=${() => setMost(most + STEP)}>Show more of ${count(rows.length)} rows</button>`}`;
}

const isRow = (row, first) => Boolean(first) && row.left_run_id === first.left_run_id && row.right_run_id === first.right_run_id;

function Row({ row, isFirst, left, right, isOpen, toggle }) {
  const [tone, word] = STATES[row.state] ?? ["quiet", row.state];
  const paths = row.differences.map((one) => one.path);
  return html`<tr class=${isFirst ? "compare-first" : ""}>
      <th scope="row"><span class="compare-run" style=${{ paddingLeft: `${Math.min(row.depth, 12) * 14}px` }}>
        ${row.differences.length > 0
          ? html`<button type="button" class="item-toggle" aria-expanded=${String(isOpen)} onClick=${toggle}><${Icon} name="chevron" /><${KindBadge} kind=${row.kind} /> ${oneLine(row.name || "run", 120)}</button>`
          : html`<${KindBadge} kind=${row.kind} /> ${oneLine(row.name || "run", 120)}`}</span></th>
      <td><span class=${`badge badge-${tone}`}>${word}</span>${isFirst && html` <span class="badge badge-warn badge-outline">first</span>`}</td>
      <td class="compare-paths">${paths.slice(0, 3).map((path, at) => html`<code key=${at}>${oneLine(path, 120)}</code> `)}${paths.length > 3 && html`<span class="muted">and ${paths.length - 3} more</span>`}</td>
      <td class="compare-open">${row.left_run_id && html`<a href=${runLink(left, row.left_run_id)}>left</a>`} ${row.right_run_id && html`<a href=${runLink(right, row.right_run_id)}>right</a>`}</td>
    </tr>
    ${isOpen && html`<tr class="item-open"><td colspan="4"><div class="stack">${row.differences.map((one, at) => html`<div key=${at} class="stack-tight"><code>${oneLine(one.path, 300)}</code><${Difference} one=${one} /></div>`)}</div></td></tr>`}`;
}

function Difference({ one }) {
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "");
  if (one.is_missing) return html`<p class="muted">${visible(String(one.is_missing))} has none: ${oneLine(text(one.is_missing === "left" ? one.right : one.left), 400)}</p>`;
  return html`<${SideBySide} before=${text(one.left)} after=${text(one.right)} beforeLabel="Left" afterLabel="Right" />`;
}

/** Changes Refinery made: their receipt, verification, roll-back and redo. */
import { html } from "../html.js";
import { useData } from "../api.js";
import { count } from "../format.js";
import { link, traceLink } from "../location.js";
import { Badge } from "../components/badge.js";
import { ChangeActions } from "../components/change_actions.js";
import { PatchView } from "../components/diff.js";
import { JsonView } from "../components/json.js";
import { Moment } from "../components/moment.js";
import { Page } from "../components/page.js";
import { Hypotheses, TrialView } from "../components/proof.js";
import { Empty, Reading } from "../components/states.js";
import { EarlierJobs } from "../components/job.js";
import { Table } from "../components/table.js";
import { visible } from "../components/text.js";

const changeLink = (change) => link(`/history/${encodeURIComponent(idOf(change))}`);
const idOf = (change) => change.id ?? change.change_id;
const madeMs = (change) => change.created_ms ?? (change.created_ns ? change.created_ns / 1e6 : null);

export default function History({ params }) {
  return params.change ? html`<${One} key=${params.change} id=${params.change} />` : html`<${All} />`;
}

function State({ change }) {
  return change.state === "applied" ? html`<${Badge} tone="ok">in force</${Badge}>` : html`<${Badge}>${change.state}</${Badge}>`;
}

function All() {
  const state = useData("/changes", {}, { everyMs: 15_000 });
  return html`<${Page} title="Changes"><${Reading} state=${state} label="Reading the ledger">${({ changes }) => html`<div class="stack">
    ${changes.length === 0
      ? html`<${Empty} title="No change yet"><p>A fix you approve becomes one commit and is listed here, to be verified, rolled back or done again.</p>
          <p>Choose a failing run in the <a href="/ui/?status=error">list of traces</a> to begin.</p></${Empty}>`
      : html`<${Table} caption="Changes, newest first" rows=${changes} rowKey=${idOf} rowHeader="title" columns=${[
          { id: "title", label: "Change", render: (one) => html`<a href=${changeLink(one)}>${visible(one.title)}</a><div class="muted nowrap">${idOf(one)}</div>` },
          { id: "state", label: "State", render: (one) => html`<${State} change=${one} />` },
          { id: "made", label: "Made", render: (one) => html`<${Moment} ms=${madeMs(one)} />` },
          { id: "where", label: "Commit", render: (one) => html`<code>${(one.commit || "").slice(0, 12)}</code><div class="muted">${one.branch}</div>` },
          { id: "files", label: "Files", render: ({ paths }) => paths.map((path) => html`<div key=${path}><code>${visible(path)}</code></div>`) },
        ]} />`}
    <${EarlierJobs} kinds=${["fix"]} title="Fixes under way and earlier ones" href=${(job) => link(`/fix/${encodeURIComponent(job.job_id)}`)} />
  </div>`}</${Reading}></${Page}>`;
}

function One({ id }) {
  const state = useData(`/changes/${encodeURIComponent(id)}`);
  const change = state.data?.change;
  if (state.error?.status === 404) {
    return html`<${Page} title="Change" crumbs=${[["Changes", "/ui/history"]]}><${Empty} title="There is no such change here">
      <a class="button" href="/ui/history">All changes</a></${Empty}></${Page}>`;
  }
  return html`<${Page} title=${change?.title ?? "Change"} crumbs=${[["Changes", "/ui/history"]]}>
    <${Reading} state=${state} label="Reading the change">${(data) => html`<div class="stack">
      <${Facts} change=${data.change} />
      <${ChangeActions} change=${data.change} reload=${state.reload} />
      <${Receipt} receipt=${data.receipt} diff=${data.diff} />
    </div>`}</${Reading}>
  </${Page}>`;
}

function Facts({ change }) {
  const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  return html`<section class="panel" aria-label="Facts"><dl class="facts panel-body">
    ${fact("State", html`<${State} change=${change} />`)}
    ${fact("Made", html`<${Moment} ms=${madeMs(change)} />`)}
    ${fact("Commit", html`<code>${(change.commit || "").slice(0, 12)}</code>`)}
    ${fact("Branch", change.branch)}
    ${change.reverted_by && fact("Rolled back by", html`<code>${change.reverted_by.slice(0, 12)}</code>`)}
    ${fact("Because of", html`<a href=${traceLink(change.trace_id)}>the recording</a>`)}
    ${fact("Files", change.paths.map((path) => html`<code key=${path}>${visible(path)}</code> `))}
  </dl></section>`;
}

function ReceiptFacts({ receipt }) {
  const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  return html`<section class="panel" aria-labelledby="receipt-title">
    <div class="panel-head"><h2 id="receipt-title">Receipt</h2></div>
    <div class="panel-body stack">
      <dl class="facts">
        ${fact("Approved by", visible(receipt.approver || "not said"))}
        ${fact("Runs that failed", count(receipt.failing.length))}
        ${fact("Runs that worked", count(receipt.controls.length))}
        ${fact("Answers of live models", count(receipt.live_answers))}
        ${fact("Made with", visible(Object.entries(receipt.versions).map(([name, version]) => `${name} ${version}`).join(", ")))}
        ${fact("Digest", html`<code>${receipt.digest.slice(0, 23)}</code>`)}
      </dl>
      <p class="muted">It carries the recordings and every answer of the trial, so that anyone can run the proof again: <code>refinery verify</code>.</p>
      <details class="fold"><summary>Everything it says</summary><div class="fold-body"><${JsonView} value=${receipt} label="Receipt" /></div></details>
    </div>
  </section>
  <${Hypotheses} hypotheses=${receipt.considered} chosen=${receipt.trial?.hypothesis_id} />`;
}

/** What the change was approved on; anyone can run it again with `refinery verify`. */
function Receipt({ receipt, diff }) {
  const patch = diff ?? receipt?.patch?.diff;
  return html`
    ${patch && html`<section class="stack-tight" aria-labelledby="change-diff"><h2 id="change-diff">What was changed</h2><${PatchView} text=${patch} label="What was changed" /></section>`}
    ${receipt?.trial && html`<${TrialView} trial=${receipt.trial} />`}
    ${receipt ? html`<${ReceiptFacts} receipt=${receipt} />` : html`<p class="muted">No receipt is kept for this change, so its proof cannot be shown.</p>`}`;
}

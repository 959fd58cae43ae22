/** A fix: proposed, guarded, proven by trial, then approved, edited or rejected by a person. */
import { html, useRef, useState } from "../html.js";
import { useData } from "../api.js";
import { link, navigate, traceLink } from "../location.js";
import { Approval } from "../components/approval.js";
import { Page } from "../components/page.js";
import { PatchView } from "../components/diff.js";
import { GuardView, Hypotheses, TrialView } from "../components/proof.js";
import { EarlierJobs, JobProgress, start, useJob } from "../components/job.js";
import { Icon } from "../components/icon.js";
import { Failure } from "../components/states.js";
import { visible } from "../components/text.js";
import { toast } from "../components/toast.js";

const jobLink = (id) => link(`/fix/${encodeURIComponent(id)}`);

export default function Fix({ params, query }) {
  if (params.job) return html`<${Running} key=${params.job} id=${params.job} />`;
  return html`<${Page} title="Fix" crumbs=${query.trace ? [["Traces", "/ui/"], ["Trace", traceLink(query.trace)]] : [["Changes", "/ui/history"]]}>
    <div class="stack">
      ${query.trace
        ? html`<${Ask} trace=${query.trace} />`
        : html`<p>A fix begins with a recording that went wrong: choose one in the <a href="/ui/">list of traces</a>, diagnose it, then “Prepare a fix”.</p>`}
      <${EarlierJobs} trace=${query.trace} kinds=${["fix"]} title="Fixes under way and earlier ones" href=${(job) => jobLink(job.job_id)} />
    </div>
  </${Page}>`;
}

/** What a person can say beforehand: the right behaviour, checks, limits. */
function Ask({ trace }) {
  const { data, error } = useData(`/traces/${encodeURIComponent(trace)}`);
  const [form, setForm] = useState({ expectation: "", checks: "", branch: "", max_runs: "", budget: "" });
  const [isBusy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      navigate(jobLink(await start("fix", trace, optionsOf(form))));
    } catch (failure) {
      setBusy(false);
      toast.failure(failure);
    }
  };
  const field = (name, label, more = {}) => html`<label class="field"><span>${label}</span>
    <input class="input" name=${name} value=${form[name]} autocomplete="off" spellcheck=${false} onInput=${(event) => setForm({ ...form, [name]: event.target.value })} ...${more} /></label>`;
  if (error) return html`<${Failure} error=${error} />`;
  return html`<section class="panel" aria-labelledby="fix-title">
    <div class="panel-head"><h2 id="fix-title">Look for a fix${data ? html` of “${visible(data.trace.name)}”` : ""}</h2></div>
    <form class="panel-body stack" onSubmit=${submit}>
      <p>Refinery looks for the cause, writes changes to your code, and replays the recorded runs with and without each. <strong>Nothing is committed before you approve it.</strong></p>
      <label class="field"><span>What should it have done? In your own words; may stay empty</span>
        <textarea class="input input-prose" name="expectation" rows="2" value=${form.expectation} onInput=${(event) => setForm({ ...form, expectation: event.target.value })}></textarea></label>
      <details class="fold"><summary>Checks, branch, limits</summary><div class="fold-body stack">
        <label class="field"><span>Checks the right answer passes, one a line: KIND@FIELD:VALUE, e.g. contains@answer:29 EUR</span>
          <textarea class="input" name="checks" rows="2" value=${form.checks} onInput=${(event) => setForm({ ...form, checks: event.target.value })}></textarea></label>
        <div class="fields">${field("branch", "Commit to this branch instead")}${field("max_runs", "Most replays", { inputmode: "numeric" })}${field("budget", "Most money for live models, in US dollars", { inputmode: "decimal" })}</div>
      </div></details>
      <div class="row"><button type="submit" class="button button-primary" disabled=${isBusy}>Look for a fix</button></div>
    </form>
  </section>`;
}

function optionsOf(form) {
  const number = (text) => (text.trim() ? Number(text) : undefined);
  return {
    expectation: form.expectation.trim(), checks: form.checks.split("\n").map((line) => line.trim()).filter(Boolean),
    branch: form.branch.trim(), max_runs: number(form.max_runs), budget_usd: number(form.budget),
  };
}

function Running({ id }) {
  const job = useJob(id);
  const { data } = job;
  const trace = data?.trace_id;
  const crumbs = trace ? [["Traces", "/ui/"], ["Trace", traceLink(trace)], ["Diagnosis", link(`/diagnosis/${encodeURIComponent(trace)}`)]] : [["Changes", "/ui/history"]];
  const again = trace ? () => navigate(link("/fix", { trace })) : undefined;
  const isShown = data && (data.state === "awaiting_approval" || data.state === "done");
  const hasWaited = useRef(false);
  // Its result is told from the first wait on, so this holds after the page was loaded anew too.
  if (data?.state === "awaiting_approval" || data?.result) hasWaited.current = true;
  const goOn = async () => {
    try {
      navigate(jobLink(await start("fix", trace, { resume: data.session_id })));
    } catch (error) {
      toast.failure(error);
    }
  };
  const isInterrupted = data?.state === "failed" && data.error?.code === "interrupted" && data.session_id;
  return html`<${Page} title="Fix" heading=${headingOf(data)} crumbs=${crumbs}><div class="stack">
    ${!isShown && html`<${JobProgress} job=${job} title=${hasWaited.current ? "Carrying out your decision" : "Looking for a fix"} again=${again} cancelled="Nothing was committed; the repository is as it was." />`}
    ${isInterrupted && html`<div><button type="button" class="button button-primary" onClick=${goOn}>Go on where it was interrupted</button></div>`}
    ${isShown && html`<${Evidence} job=${job} again=${again} />`}
  </div></${Page}>`;
}

function headingOf(data) {
  if (data?.state === "awaiting_approval") return "A fix waits for your approval";
  if (data?.state !== "done") return "Fix";
  if (data.result?.change) return "The fix is committed";
  return data.result?.trial?.verdict === "fixed" ? "The fix was not approved" : "No fix was proven";
}

function Evidence({ job, again }) {
  const { data } = job;
  const found = data.result ?? {};
  const waits = data.state === "awaiting_approval";
  const chosen = (found.hypotheses ?? []).find(({ hypothesis_id: id }) => id === found.chosen);
  const diff = waits ? data.approval?.diff ?? found.patch?.diff : found.patch?.diff;
  const guard = (waits && data.approval?.guard) || found.guard;
  return html`<div class="stack" data-state=${data.state}>
    ${found.change && html`<${Committed} change=${found.change} tests=${found.tests} />`}
    ${waits && found.edited && !found.edited.is_proven && html`<${NotTaken} edited=${found.edited} />`}
    ${!waits && !found.change && html`<${NotCommitted} found=${found} reason=${data.reason} again=${again} />`}
    <${Cause} diagnosis=${found.diagnosis} trace=${data.trace_id} />
    ${chosen && html`<section class="panel" aria-labelledby="why-title"><div class="panel-head"><h2 id="why-title">${visible(chosen.title)}</h2></div>
      <div class="panel-body stack-tight"><p>${visible(chosen.rationale)}</p>${chosen.risks?.length > 0 && html`<p class="muted">Risks: ${visible(chosen.risks.join("; "))}</p>`}</div></section>`}
    ${diff && html`<section class="stack-tight" aria-labelledby="patch-title"><h2 id="patch-title">The change to your code</h2><${PatchView} text=${diff} label="The change to your code" /></section>`}
    ${found.trial && html`<${TrialView} trial=${found.trial} />`}
    ${guard && html`<${GuardView} guard=${guard} />`}
    ${waits && html`<${Approval} job=${data} reload=${job.reload} />`}
    <${Hypotheses} hypotheses=${found.hypotheses} chosen=${found.chosen} />
  </div>`;
}

/** An edited patch that was tried and not shown to be a fix: the one before still waits. */
function NotTaken({ edited }) {
  const blocked = (edited.guard?.remarks ?? []).filter(({ outcome }) => outcome === "block");
  return html`<div class="note note-warn" role="status" data-edited="not proven"><${Icon} name="alert" /><div class="stack-tight">
    <strong>Your edited patch was not taken${edited.verdict ? ` (${edited.verdict})` : ""}: the one below still waits.</strong>
    ${edited.reason && html`<span>${visible(String(edited.reason))}</span>`}
    ${blocked.map(({ message }) => html`<span key=${message}>${visible(message)}</span>`)}
  </div></div>`;
}

function Cause({ diagnosis, trace }) {
  const first = diagnosis?.findings?.[0];
  if (!first) return null;
  return html`<p>The cause, as found: <strong>${visible(first.title)}</strong> (${first.likelihood}). <a href=${link(`/diagnosis/${encodeURIComponent(trace)}`)}>The whole diagnosis</a></p>`;
}

function Committed({ change, tests }) {
  return html`<div class="note note-ok" role="status"><${Icon} name="check" /><div class="stack-tight">
    <strong>Committed as <code>${(change.commit || "").slice(0, 12)}</code> on ${change.branch}.</strong>
    ${tests && html`<span>Your tests: ${tests.rolled_back ? "they failed only since, so it was rolled back" : visible(String(tests.after ?? tests.reason ?? "run"))}</span>`}
    <span><a href=${link(`/history/${encodeURIComponent(change.id ?? change.change_id)}`)}>Receipt, verification and rollback</a></span>
  </div></div>`;
}

function NotCommitted({ found, reason, again }) {
  const isProven = found.trial?.verdict === "fixed";
  const text = isProven ? "It was proven, but not approved. Nothing was committed."
    : found.hypotheses?.length ? "Changes were tried, and none was shown to fix the failure. Nothing was committed."
    : "No change to try was found. Nothing was committed.";
  return html`<div class="note" role="status"><${Icon} name="cross" /><div class="stack-tight"><strong>${text}</strong>
    ${reason && html`<span>The reason given: ${visible(reason)}</span>`}
    ${!isProven && html`<span>Say what it should have done, or write a check, and look again: the trial then knows what right means.</span>`}
    ${again && html`<div><button type="button" class="button button-small" onClick=${again}>Look again</button></div>`}</div></div>`;
}

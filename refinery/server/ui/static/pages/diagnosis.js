/** Why a trace failed: findings, their evidence in the recording, the source, what stays open. */
import { html, useEffect, useState } from "../html.js";
import { session, useData } from "../api.js";
import { link, navigate, traceLink } from "../location.js";
import { plural } from "../format.js";
import { Page } from "../components/page.js";
import { Empty, Reading } from "../components/states.js";
import { EarlierJobs, JobProgress, start, useJob } from "../components/job.js";
import { FindingCard } from "../components/finding.js";
import { Unknowns } from "../components/unknowns.js";
import { toast } from "../components/toast.js";

export default function Diagnosis({ params, query }) {
  if (!params.trace) {
    return html`<${Page} title="Diagnosis"><${Empty} title="Which recording?">
      <p>Choose one in the <a href="/ui/">list of traces</a>, then “Diagnose”.</p></${Empty}></${Page}>`;
  }
  return html`<${OfTrace} key=${params.trace} trace=${params.trace} jobId=${query.job} />`;
}

function OfTrace({ trace, jobId }) {
  const state = useData(`/traces/${encodeURIComponent(trace)}`);
  const latest = useLatest(jobId ? null : trace);
  const job = useJob(jobId ?? latest);
  const place = `/diagnosis/${encodeURIComponent(trace)}`;
  const begin = async (options) => {
    try {
      navigate(link(place, { job: await start("diagnose", trace, options) }));
    } catch (error) {
      toast.failure(error);
    }
  };
  const title = state.data ? `Why did it fail: ${state.data.trace.name}` : "Diagnosis";
  const found = job.data?.state === "done" ? job.data.result : null;
  return html`<${Page} title=${title} crumbs=${[["Traces", "/ui/"], ["Trace", traceLink(trace)]]}
    actions=${found && found.findings.length > 0 && html`<a class="button button-primary" href=${link("/fix", { trace })}>Prepare a fix</a>`}>
    <${Reading} state=${state} label="Reading the recording">${(data) => html`<div class="stack">
      ${jobId && !found && html`<${JobProgress} job=${job} title="Looking for the cause" again=${() => navigate(link(place))} />`}
      ${found && html`<${Found} found=${found} trace=${trace} runs=${data.runs} />`}
      ${!jobId && !latest && data.findings?.length > 0 && html`<${Kept} findings=${data.findings} trace=${trace} runs=${data.runs} />`}
      <${Ask} begin=${begin} isBusy=${job.isActive} isFolded=${Boolean(jobId || latest)} status=${data.trace.status} />
      <${EarlierJobs} trace=${trace} kinds=${["diagnose"]} chosen=${jobId ?? latest} title="Earlier diagnoses" href=${(one) => link(place, { job: one.job_id })} />
    </div>`}</${Reading}>
  </${Page}>`;
}

/** The newest diagnosis of a trace that was finished, so that it need not be made again. */
function useLatest(trace) {
  const { data } = useData(trace ? "/jobs" : null);
  const done = (data?.jobs ?? []).filter((job) => job.kind === "diagnose" && job.state === "done" && job.trace_id === trace);
  return done.sort((one, other) => other.created_ms - one.created_ms)[0]?.job_id ?? null;
}

/** Findings a fix was based on; what else its diagnosis said is not kept with the trace. */
function Kept({ findings, trace, runs }) {
  return html`<section class="stack" aria-labelledby="kept-title">
    <h2 id="kept-title" class="result-title">Findings of the last fix</h2>
    ${findings.map((finding, at) => html`<${FindingCard} key=${finding.finding_id} finding=${finding} trace=${trace} runs=${runs} isFirst=${at === 0} />`)}
    <p class="muted">What was not established is told by a diagnosis of its own, below.</p>
  </section>`;
}

/** What a person can say beforehand, and the button that looks. */
function Ask({ begin, isBusy, isFolded, status }) {
  const [expectation, setExpectation] = useState("");
  const [failed, setFailed] = useState(false);
  const [about, setAbout] = useState(null);
  useEffect(() => { session().then(setAbout, () => {}); }, []);
  const submit = (event) => {
    event.preventDefault();
    begin({ expectation: expectation.trim(), failed: failed || undefined });
  };
  return html`<section class="panel" aria-labelledby="ask-title">
    <div class="panel-head"><h2 id="ask-title">${isFolded ? "Look again" : "Look for the cause"}</h2></div>
    <form class="panel-body stack" onSubmit=${submit}>
      <label class="field"><span>What should it have done? In your own words; may stay empty</span>
        <textarea class="input input-prose" name="expectation" rows="2" value=${expectation} placeholder="e.g. It should name the price of 2026."
          onInput=${(event) => setExpectation(event.target.value)}></textarea></label>
      ${status !== "error" && html`<label class="check"><input type="checkbox" name="failed" checked=${failed} onChange=${(event) => setFailed(event.target.checked)} />
        It failed, although no error shows: name the most probable step as well</label>`}
      <div class="row"><button type="submit" class=${isFolded ? "button" : "button button-primary"} disabled=${isBusy}>Diagnose</button>
        <span class="muted">Reads only, changes nothing. ${about && (about.has_model ? "The configured model reads along." : "No model is configured: the built-in detectors look at it.")}</span></div>
    </form>
  </section>`;
}

function Found({ found, trace, runs }) {
  const { findings } = found;
  return html`<section class="stack" aria-labelledby="found-title" data-result="diagnose">
    <h2 id="found-title" class="result-title">${findings.length === 0 ? "Nothing was established" : plural(findings.length, "finding") + ", the most probable first"}</h2>
    ${findings.length === 0 && html`<div class="note"><div class="stack-tight">
      <p>The recording holds no evidence of a known kind of failure. That does not mean that nothing is wrong.</p>
      <p class="muted">Say above what it should have done, or mark that it failed, and look again.</p></div></div>`}
    ${findings.map((finding, at) => html`<${FindingCard} key=${finding.finding_id} finding=${finding} trace=${trace} runs=${runs} isFirst=${at === 0} />`)}
    <${Unknowns} found=${found} runs=${runs} />
  </section>`;
}

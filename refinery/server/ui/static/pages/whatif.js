/** What if: a recorded run again, as it was or with another model, parameter, prompt or value. */
import { html, useState } from "../html.js";
import { useData } from "../api.js";
import { link, navigate, traceLink } from "../location.js";
import { Page } from "../components/page.js";
import { Empty, Reading } from "../components/states.js";
import { EarlierJobs, JobProgress, start, useJob } from "../components/job.js";
import { ExactResult, WhatIfResult } from "../components/whatif_result.js";
import { WhatIfForm } from "../components/whatif_form.js";
import { Text } from "../components/text.js";
import { toast } from "../components/toast.js";

export default function WhatIf({ params, query }) {
  if (!params.trace) {
    return html`<${Page} title="What if?"><${Empty} title="Which recording?">
      <p>Choose one in the <a href="/ui/">list of traces</a>, then “What if?”.</p></${Empty}></${Page}>`;
  }
  return html`<${OfTrace} key=${params.trace} trace=${params.trace} run=${params.run} job=${query.job} />`;
}

function OfTrace({ trace, run, job: jobId }) {
  const state = useData(`/traces/${encodeURIComponent(trace)}`);
  const job = useJob(jobId);
  const place = `/whatif/${encodeURIComponent(trace)}${run ? `/${encodeURIComponent(run)}` : ""}`;
  const begin = async (kind, options) => {
    try {
      navigate(link(place, { job: await start(kind, trace, options) }));
    } catch (error) {
      toast.failure(error);
    }
  };
  const title = state.data ? `What if: ${state.data.trace.name}` : "What if?";
  const isBusy = job.isActive;
  return html`<${Page} title=${title} crumbs=${[["Traces", "/ui/"], ["Trace", traceLink(trace, run)]]}>
    <${Reading} state=${state} label="Reading the recording">${(data) => html`<div class="stack">
      <${Happened} trace=${data.trace} />
      ${jobId && html`<${Outcome} job=${job} trace=${data.trace} runs=${data.runs} clear=${() => navigate(link(place))} />`}
      ${(!jobId || job.data || job.error) && html`<div hidden=${isBusy}><${WhatIfForm} key=${jobId ?? trace} trace=${data.trace} runs=${data.runs}
        at=${job.data?.options?.at ?? run} options=${job.data?.options} isBusy=${isBusy} begin=${begin} isAgain=${Boolean(jobId)} /></div>`}
      <${EarlierJobs} trace=${trace} kinds=${["what_if", "replay"]} chosen=${jobId} title="Earlier tries"
        href=${(one) => link(place, { job: one.job_id })} />
    </div>`}</${Reading}>
  </${Page}>`;
}

/** What was asked and what was answered, so that a reader knows what is tried again. */
function Happened({ trace }) {
  return html`<section class="panel" aria-label="What happened">
    <div class="panel-body happened">
      <div><h2>It was asked</h2><${Text} value=${trace.root_input ?? "–"} shown=${600} /></div>
      <div><h2>It answered</h2><${Text} value=${trace.root_output ?? (trace.status === "error" ? "nothing: it failed" : "–")} shown=${600} /></div>
    </div>
  </section>`;
}

/** Where the command line names an option, this page has a place. */
function hintOf(error) {
  if (/--alone/.test(error?.hint ?? "")) return "Choose one step and tick “Ask only this one model call again” under “Set recorded values, limits”: then any vendor's model can be asked.";
  if (/--at/.test(error?.hint ?? "")) return "Choose one step under “Which step”.";
  return undefined;
}

function Outcome({ job, trace, runs, clear }) {
  const { data } = job;
  if (!data || data.state !== "done") {
    return html`<${JobProgress} job=${job} title="Trying it" again=${clear} hintOf=${hintOf} cancelled="The recording is as it was; nothing new was stored." />`;
  }
  if (data.kind === "replay") return html`<${ExactResult} result=${data.result} />`;
  return html`<${WhatIfResult} result=${data.result} trace=${trace} runs=${runs} />`;
}

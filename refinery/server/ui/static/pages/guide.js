/**
 * The guide: a person who reads no code goes from a wrong answer to a proven fix, page by page.
 *
 * What is said, shown and asked comes from the server; a choice, a line of the conversation or words
 * are the answer. What takes a while is a job the page orders by itself and waits for.
 */
import { html, useEffect, useRef, useState } from "../html.js";
import { send, useData } from "../api.js";
import { link, navigate } from "../location.js";
import { GuidePage } from "../components/guide_page.js";
import { JobProgress, useJob } from "../components/job.js";
import { Moment } from "../components/moment.js";
import { Page } from "../components/page.js";
import { Empty, Reading } from "../components/states.js";
import { visible } from "../components/text.js";
import { toast } from "../components/toast.js";

const place = (id) => `/guide/${encodeURIComponent(id)}`;

export default function Guide({ params, query }) {
  return params.session
    ? html`<${Session} key=${params.session} id=${params.session} jobId=${query.job} />`
    : html`<${Start} trace=${query.trace} />`;
}

/** Begin a session and go to it. */
async function begin(wish) {
  try {
    const made = await send("POST", "/guide", wish);
    navigate(link(place(made.session_id)));
  } catch (error) { toast.failure(error); }
}

function Start({ trace }) {
  const state = useData("/guide");
  return html`<${Page} title="Mend a wrong answer">
    <div class="stack guide">
      <p>You pick a conversation, say what would have been right, and see what a fix does to the answers.
        Nothing is changed before you say yes, and your answers are kept, so you can stop at any time.</p>
      <div class="row">
        ${trace && html`<button type="button" class="button button-primary" onClick=${() => begin({ trace_id: trace })}>Start with this conversation</button>`}
        <button type="button" class=${trace ? "button" : "button button-primary"} onClick=${() => begin({})}>Pick a conversation</button>
        <button type="button" class="button" onClick=${() => begin({ undo: true })}>Take a fix out again</button>
      </div>
      <${Reading} state=${state} label="Looking for earlier answers">${({ sessions }) => html`<${Earlier} sessions=${sessions} />`}</${Reading}>
    </div>
  </${Page}>`;
}

/** Sessions to go on with. */
function Earlier({ sessions }) {
  const open = sessions.filter((one) => !one.over && one.trace_id);
  if (open.length === 0) return null;
  return html`<section class="stack-tight" aria-labelledby="earlier-title">
    <h2 id="earlier-title">Go on where you stopped</h2>
    <ul class="job-links">${open.slice(0, 8).map((one) => html`<li key=${one.session_id}>
      <a href=${link(place(one.session_id))}>${visible(one.expectation || "A conversation, nothing said of it yet")}</a>
      <span class="muted"> <${Moment} ms=${one.updated_ms} /></span></li>`)}</ul>
  </section>`;
}

function Session({ id, jobId }) {
  const state = useData(`/guide/${encodeURIComponent(id)}`);
  const [answered, setAnswered] = useState(null);
  const job = useJob(jobId);
  const reload = useRef(state.reload);
  reload.current = state.reload;
  useEffect(() => setAnswered(null), [state.data]);
  useEffect(() => {
    if (job.data?.state !== "done") return;
    navigate(link(place(id)));
    reload.current();
  }, [job.data?.state]);
  const shown = answered ?? state.data;
  const answer = async (text) => {
    try {
      setAnswered(await send("POST", `/guide/${encodeURIComponent(id)}/answer`, { step: shown.step, text }));
    } catch (error) {
      toast.failure(error);
      state.reload();
    }
  };
  const work = async () => {
    try {
      const made = await send("POST", `/guide/${encodeURIComponent(id)}/work`);
      navigate(link(place(id), { job: made.job_id }));
    } catch (error) { toast.failure(error); }
  };
  if (state.error?.status === 404) return html`<${Gone} />`;
  return html`<${Page} title=${shown?.page.title ?? "Mend a wrong answer"} crumbs=${[["Guide", "/ui/guide"]]}>
    <${Reading} state=${state} label="Reading your answers">${() => html`
      <${GuidePage} key=${shown.step} document=${shown} answer=${answer} takeOut=${() => begin({ undo: true })}>
        ${shown.page.kind === "work" && html`<${Work} job=${job} isOrdered=${Boolean(jobId)} order=${work} title=${shown.page.title} />`}
      </${GuidePage}>`}</${Reading}>
  </${Page}>`;
}

/** Kept answers that are no longer there, or never were. */
function Gone() {
  return html`<${Page} title="Mend a wrong answer" crumbs=${[["Guide", "/ui/guide"]]}>
    <${Empty} title="These answers are not kept here"><p>The link may be old, or from another computer. Nothing was changed.</p>
      <a class="button button-primary" href="/ui/guide">Begin anew</a></${Empty}></${Page}>`;
}

/** Orders the work of a page once, and shows how it goes. */
function Work({ job, isOrdered, order, title }) {
  const once = useRef(false);
  useEffect(() => {
    if (isOrdered || once.current) return;
    once.current = true;
    order();
  }, [isOrdered]);
  return isOrdered && html`<${JobProgress} job=${job} title=${title} again=${order} cancelled="Your answers are kept." />`;
}

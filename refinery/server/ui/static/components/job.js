/**
 * A job of the server: started, followed, cancelled; what it says while it runs.
 *
 * Its document is the truth. The event stream only says when to read it again and brings the lines
 * of progress at once; a slow poll stands in where a stream breaks.
 */
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { events, send, useConnection, useData } from "../api.js";
import { duration } from "../format.js";
import { visible } from "./text.js";
import { Failure } from "./states.js";
import { Icon } from "./icon.js";
import { Moment } from "./moment.js";
import { announce, toast } from "./toast.js";

export const ENDED = new Set(["done", "failed", "cancelled"]);
const ENDINGS = {
  done: "Done: the result is on the page.", failed: "It failed: the page says why.", cancelled: "Cancelled.",
  awaiting_approval: "A proven patch waits for your decision.",
};
const POLL_MS = 4000;
const LINES_SHOWN = 6;

/**
 * Start a job.
 * @param {"diagnose"|"replay"|"what_if"|"fix"} kind
 * @param {string} trace
 * @param {Object} options absent values are left out
 * @returns {Promise<string>} its id
 */
export async function start(kind, trace, options = {}) {
  const kept = Object.entries(options).filter(([, value]) =>
    value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0));
  const made = await send("POST", "/jobs", { kind, trace_id: trace, options: Object.fromEntries(kept) });
  return made.job_id;
}

/**
 * Follow a job until it has ended.
 * @param {string|null|undefined} id
 * @returns {{data: any, error: any, loading: boolean, reload: () => void, lines: {at_ms: number, text: string}[], isActive: boolean}}
 */
export function useJob(id) {
  const [isOver, setOver] = useState(false);
  const state = useData(id ? `/jobs/${encodeURIComponent(id)}` : null, {}, { everyMs: isOver ? 0 : POLL_MS });
  const [fresh, setFresh] = useState([]);
  const online = useConnection();
  const reload = useRef(state.reload);
  reload.current = state.reload;
  const isKnown = Boolean(state.data) && state.data.job_id === id;
  useEffect(() => setFresh([]), [id]);
  useEffect(() => setOver(isKnown && ENDED.has(state.data.state)), [id, isKnown, state.data?.state]);
  useEffect(() => {
    if (!isKnown || isOver || online !== "ok") return undefined;
    const source = events(`/jobs/${encodeURIComponent(id)}/events`, {
      progress: (line) => line?.text && setFresh((all) => [...all, line]),
      state: () => reload.current(),
      error: () => reload.current(),
    });
    return () => source.close();
  }, [id, isKnown, isOver, online]);
  useEndAnnounced(isKnown ? state.data.state : null);
  const lines = useMemo(() => merged(state.data?.progress ?? [], fresh), [state.data, fresh]);
  return { ...state, lines, isActive: isKnown && !ENDED.has(state.data.state) };
}

/** Tell screen readers when a job that was at work has come to something. */
function useEndAnnounced(state) {
  const before = useRef(null);
  useEffect(() => {
    const wasAtWork = before.current === "running" || before.current === "queued";
    if (wasAtWork && state in ENDINGS) announce(ENDINGS[state]);
    before.current = state;
  }, [state]);
}

function merged(kept, fresh) {
  const seen = new Set(kept.map(({ at_ms: at, text }) => `${at} ${text}`));
  return [...kept, ...fresh.filter(({ at_ms: at, text }) => !seen.has(`${at} ${text}`))];
}

/**
 * What a job does while it runs, and how it ended when that was no result.
 * @param {{job: ReturnType<typeof useJob>, title: string, cancelled?: any, again?: () => void, hintOf?: (error: any) => string|undefined}} props
 *   `title`: what is done, e.g. "Trying it"; `cancelled`: what a cancelled one left; `hintOf`:
 *   what to do about an error on this page, where the hint of the command line does not fit
 */
export function JobProgress({ job, title, cancelled, again, hintOf }) {
  const { data, error, lines } = job;
  if (error?.status === 404) {
    return html`<${Failure} error=${{
      message: "The server does not know this job.",
      hint: "It was started anew since, or the job is old. What was committed stays committed; start again for the rest.",
    }} retry=${again} />`;
  }
  if (!data) return error ? html`<${Failure} error=${error} retry=${job.reload} />` : html`<${Running} title=${title} lines=${[]} />`;
  if (data.state === "failed") {
    return html`<div class="stack-tight" data-job="failed">
      <${Failure} error=${{ message: "The job failed.", ...data.error, hint: hintOf?.(data.error) ?? data.error?.hint }} retry=${again} />
      <${Lines} lines=${lines} closed />
    </div>`;
  }
  if (data.state === "cancelled") {
    return html`<div class="note" role="status" data-job="cancelled"><${Icon} name="cross" />
      <div class="stack-tight"><strong>Cancelled.</strong><span>${cancelled ?? "Nothing was changed."}</span>
      ${again && html`<div><button type="button" class="button button-small" onClick=${again}>Start again</button></div>`}</div>
    </div>`;
  }
  if (data.state === "queued" || data.state === "running") {
    return html`<${Running} title=${data.state === "queued" ? "Waiting for a free place" : title} lines=${lines} id=${data.job_id} reload=${job.reload} />`;
  }
  return null;
}

function Running({ title, lines, id, reload }) {
  const [isEnding, setEnding] = useState(false);
  const isHeard = useConnection() === "ok";
  const cancel = async () => {
    setEnding(true);
    try {
      await send("POST", `/jobs/${encodeURIComponent(id)}/cancel`);
    } catch (error) {
      setEnding(false);
      toast.failure(error);
    }
    reload();
  };
  return html`<section class="panel job" aria-label=${title} data-job="running">
    <div class="panel-head">
      ${isHeard && html`<span class="loading-bar" aria-hidden="true"></span>`}
      <h2>${isHeard ? `${title} …` : "It was at work when the server was last heard of"}</h2>
      ${isHeard && html`<${Elapsed} since=${lines[0]?.at_ms} />`}
      ${id && html`<button type="button" class="button button-small job-cancel" disabled=${isEnding || !isHeard} onClick=${cancel}>
        ${isEnding ? "Cancelling …" : "Cancel"}</button>`}
    </div>
    <div class="panel-body"><${Lines} lines=${lines} /></div>
  </section>`;
}

/** The time since then, ticking; not read out. */
function Elapsed({ since }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!since) return null;
  return html`<span class="muted numeric" aria-hidden="true">${duration(Math.max(0, Math.round((now - since) / 1000) * 1000))}</span>`;
}

function Lines({ lines, closed = false }) {
  if (lines.length === 0) return closed ? null : html`<p class="muted">Starting.</p>`;
  const list = (shown) => html`<ol class="job-lines">${shown.map(({ at_ms: at, text }, index) =>
    html`<li key=${`${at}-${index}`}>${visible(String(text))}</li>`)}</ol>`;
  if (closed) return html`<details class="fold"><summary>What it did before</summary>${list(lines)}</details>`;
  const hidden = lines.length - LINES_SHOWN;
  return html`<div role="log" aria-label="Progress">
    ${hidden > 0 && html`<details class="fold"><summary>${hidden} earlier lines</summary>${list(lines.slice(0, hidden))}</details>`}
    ${list(lines.slice(-LINES_SHOWN))}
  </div>`;
}

const KINDS = { what_if: "What if", replay: "Replay as recorded", diagnose: "Diagnosis", fix: "Fix", bisect: "Search for the commit" };
const STATES = { awaiting_approval: "waits for your approval", done: "done", failed: "failed", cancelled: "cancelled", queued: "waiting", running: "running" };
const EARLIER = 8;

/** The jobs of a trace and of these kinds, newest first, as links. */
export function EarlierJobs({ trace, kinds, chosen, href, title = "Earlier" }) {
  const { data } = useData("/jobs");
  const found = (data?.jobs ?? [])
    .filter((job) => kinds.includes(job.kind) && (!trace || job.trace_id === trace) && job.job_id !== chosen)
    .sort((one, other) => (other.created_ms ?? 0) - (one.created_ms ?? 0));
  if (found.length === 0) return null;
  return html`<section class="stack-tight" aria-label=${title}>
    <h2>${title}</h2>
    <ul class="job-links">${found.slice(0, EARLIER).map((job) => html`<li key=${job.job_id}>
      <a href=${href(job)}>${KINDS[job.kind] ?? job.kind}${optionText(job)}</a>${" "}
      <span class="muted">${STATES[job.state] ?? job.state} · <${Moment} ms=${job.created_ms} /></span>
    </li>`)}</ul>
  </section>`;
}

/** What was asked for, in a few words, so that one try can be told from another. */
function optionText({ options = {} }) {
  const told = [
    options.models?.length && `model ${options.models.join(", ")}`,
    options.temperatures?.length && `temperature ${options.temperatures.join(", ")}`,
    options.max_tokens?.length && `at most ${options.max_tokens.join(", ")} tokens`,
    options.prompts?.length && "other instructions",
    options.settings?.length && "other values",
    options.expectation,
  ].filter(Boolean).join("; ");
  return told ? `: ${told.length > 80 ? `${told.slice(0, 80)} …` : told}` : "";
}

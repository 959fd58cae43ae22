/** One finding: what, how sure, which run caused it, the words that show it, the source. */
import { html, useState } from "../html.js";
import { get } from "../api.js";
import { percent } from "../format.js";
import { link, runLink, traceLink } from "../location.js";
import { Badge } from "./badge.js";
import { Icon } from "./icon.js";
import { PhrasePlace } from "./find_phrase.js";
import { phraseIn } from "./phrase.js";
import { visible } from "./text.js";

const SURE = { certain: "bad", likely: "warn", possible: "quiet" };
/** The root causes in a reader's words. */
const CAUSES = {
  prompt: "the instructions given to the model", context: "what the model was given to read", model: "the model itself",
  orchestration: "how the steps are arranged", tool: "a tool", environment: "the surroundings: network, limits, services", input: "what was asked",
};

/** @param {{finding: any, trace: string, runs: any[], isFirst?: boolean}} props */
export function FindingCard({ finding, trace, runs, isFirst = false }) {
  const name = (id) => runs.find(({ run_id: run }) => run === id)?.name ?? "a step";
  const { cause_run_id: cause, symptom_run_id: symptom } = finding;
  return html`<article class="panel found" aria-labelledby=${`finding-${finding.finding_id}`}>
    <div class="panel-head">
      <span class="finding-id">${finding.finding_id}</span>
      <h3 id=${`finding-${finding.finding_id}`}>${visible(finding.title)}</h3>
      <${Badge} tone=${SURE[finding.likelihood] ?? "quiet"} title="How sure the finding is">${finding.likelihood} · ${percent(finding.confidence)}</${Badge}>
    </div>
    <div class="panel-body stack">
      <p>${visible(finding.explanation)}</p>
      <dl class="chain">
        <div><dt>Caused in</dt><dd><a href=${traceLink(trace, cause)}>${visible(name(cause))}</a></dd></div>
        <div><dt>Showed in</dt><dd>${cause === symptom ? "the same step" : html`<a href=${traceLink(trace, symptom)}>${visible(name(symptom))}</a>`}</dd></div>
        <div><dt>It lies in</dt><dd>${CAUSES[finding.root_cause] ?? finding.root_cause}</dd></div>
        ${finding.source && html`<div><dt>Source</dt><dd><code>${place(finding.source)}</code></dd></div>`}
      </dl>
      <${EvidenceList} evidence=${finding.evidence} trace=${trace} name=${name} />
      ${finding.source && html`<${Source} source=${finding.source} isOpen=${isFirst} />`}
      ${(finding.related ?? []).map((source) => html`<${Source} key=${place(source)} source=${source} isRelated />`)}
      <details class="fold"><summary>Technical detail</summary><dl class="chain fold-body">
        <div><dt>Kind</dt><dd><code>${finding.category}</code></dd></div>
        <div><dt>Found by</dt><dd>${finding.engine === "detectors" ? "a built-in detector, without a model" : "a model; every quote was looked up in the recording"}</dd></div>
        ${finding.level && html`<div><dt>Level</dt><dd>${finding.level}</dd></div>`}
      </dl></details>
    </div>
  </article>`;
}

function EvidenceList({ evidence, trace, name }) {
  if (evidence.length === 0) return html`<p class="muted">No words of the recording are quoted for it.</p>`;
  return html`<div class="stack-tight"><h4>In the recording, word for word</h4>
    <ul class="plain-list stack-tight">${evidence.map((item, at) => html`<li key=${at}><${EvidenceItem} item=${item} trace=${trace} name=${name} /></li>`)}</ul>
  </div>`;
}

/** A quote; opened, it shows the phrase where it stands, marked. */
function EvidenceItem({ item, trace, name }) {
  const [place, setPlace] = useState(null);
  const toggle = async () => {
    if (place) return setPlace(null);
    setPlace({ isLoading: true });
    try {
      const found = await get(`/traces/${encodeURIComponent(trace)}/runs/${encodeURIComponent(item.run_id)}`);
      return setPlace(phraseIn(found, item) ?? { isMissing: true });
    } catch (error) {
      return setPlace({ error });
    }
  };
  return html`<blockquote class="quote">
    <p class="quote-text">“${visible(item.quote)}”</p>
    <footer class="row">
      <span class="muted">in ${visible(name(item.run_id))}${item.where ? html`, <code>${visible(item.where)}</code>` : ""}</span>
      <button type="button" class="button button-small" aria-expanded=${String(Boolean(place))} onClick=${toggle}>${place ? "Hide the place" : "Show the place"}</button>
      <a class="button button-small" href=${link(`/traces/${encodeURIComponent(trace)}/runs/${encodeURIComponent(item.run_id)}`, { find: item.quote.slice(0, 300), where: item.where })}>Open the step</a>
    </footer>
    ${place && html`<${Place} place=${place} href=${runLink(trace, item.run_id)} />`}
  </blockquote>`;
}

function Place({ place, href }) {
  if (place.isLoading) return html`<p class="muted" role="status">Reading the step …</p>`;
  if (place.error) return html`<p role="alert">${place.error.message} ${place.error.hint}</p>`;
  if (place.isMissing) {
    return html`<p class="muted">The phrase stands in a part that is too long to be shown here. <a href=${href}>The whole step</a></p>`;
  }
  return html`<div class="phrase"><div class="phrase-where muted"><code>${visible(place.path)}</code></div><${PhrasePlace} place=${place} /></div>`;
}

const place = ({ file, line_start: from, line_end: to }) => `${file}:${from}${to > from ? `–${to}` : ""}`;

/** Lines of the repository behind a finding. */
export function Source({ source, isOpen = false, isRelated = false }) {
  const lines = source.text ? source.text.replace(/\n$/, "").split("\n").slice(0, 200) : [];
  return html`<details class="fold source" open=${isOpen}><summary><${Icon} name="link" /> ${isRelated ? "Also of interest: " : ""}<code>${place(source)}</code>
    ${source.node && html` <span class="muted">${visible(source.node)}</span>`}${source.confidence < 1 && html` <span class="muted">(${percent(source.confidence)} sure of the place)</span>`}</summary>
    ${lines.length > 0
      ? html`<pre class="code" tabindex="0" aria-label=${`Lines of ${source.file}`}>${lines.map((line, at) => html`<span key=${at} class="code-line"><span class="code-number" aria-hidden="true">${source.line_start + at}</span><span>${visible(line)}</span>${"\n"}</span>`)}</pre>`
      : html`<p class="muted fold-body">The lines are in the repository: ${place(source)}.</p>`}
  </details>`;
}

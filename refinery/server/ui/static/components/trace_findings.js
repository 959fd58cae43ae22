/** What the last diagnosis found, each finding with its way to cause and symptom. */
import { html } from "../html.js";
import { link } from "../location.js";
import { Badge } from "./badge.js";
import { oneLine, Text } from "./text.js";

const TONES = { certain: "bad", likely: "warn", possible: "quiet" };

/**
 * @param {{findings: Object[], runs: Object[], trace: Object, select: (id: string) => void}} props
 */
export function TraceFindings({ findings, runs, trace, select }) {
  if (findings.length === 0) return null;
  const named = new Map(runs.map((run) => [run.run_id, run.name || run.kind || "run"]));
  const jump = (id, word) => named.has(id) && html`<button type="button" class="button button-small" onClick=${() => select(id)}>
    ${word}: <b>${oneLine(named.get(id), 60)}</b></button>`;
  return html`<section class="panel findings" aria-label="Findings">
    <ul>${findings.map((finding) => html`<li key=${finding.finding_id} class="finding">
      <div class="row">
        <span class="finding-id">${finding.finding_id}</span>
        <strong>${oneLine(finding.title, 200)}</strong>
        <${Badge} tone=${TONES[finding.likelihood] ?? "quiet"}>${finding.likelihood}</${Badge}>
      </div>
      ${finding.explanation && html`<${Text} value=${finding.explanation} shown=${600} />`}
      <div class="row">
        ${jump(finding.cause_run_id, "Cause")}
        ${finding.symptom_run_id !== finding.cause_run_id && html`<span aria-hidden="true" class="muted">→</span>${jump(finding.symptom_run_id, "Symptom")}`}
        <a href=${link(`/diagnosis/${encodeURIComponent(trace.trace_id)}`)}>Evidence and fixes</a>
      </div>
    </li>`)}</ul>
  </section>`;
}

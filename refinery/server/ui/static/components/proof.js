/** What an approval rests on: the trial's counts with their intervals, and the guard's remarks. */
import { html } from "../html.js";
import { percent } from "../format.js";
import { Badge } from "./badge.js";
import { Icon } from "./icon.js";
import { Table } from "./table.js";
import { visible } from "./text.js";

const VERDICTS = {
  fixed: ["ok", "Proven: it fixes the failure"],
  improved: ["warn", "Better, but not fixed"],
  "no effect": ["warn", "No effect was shown"],
  regressed: ["bad", "It makes something worse"],
  unverifiable: ["bad", "Could not be verified"],
};
const ARMS = {
  unpatched: "as it is now", "unpatched, asked again": "as it is now, every question asked anew",
  "no-op": "with a change that does nothing (control)", patch: "with the patch",
};
const GROUPS = { failing: "on what failed", passing: "on what worked" };
const HELD_OUT = "held-out ";

/** A verdict in one badge. */
export function VerdictBadge({ verdict }) {
  const [tone, words] = VERDICTS[verdict] ?? ["quiet", verdict ?? "not tried"];
  return html`<${Badge} tone=${tone}>${words}</${Badge}>`;
}

/** The trial of a patch: verdict, arms as k of n with 95 % intervals, p. @param {{trial: any}} props */
export function TrialView({ trial }) {
  const kept = trial.facts?.minimal?.dropped;
  return html`<section class="panel" aria-labelledby="trial-title" data-verdict=${trial.verdict}>
    <div class="panel-head"><h2 id="trial-title">What the trial showed</h2><${VerdictBadge} verdict=${trial.verdict} /></div>
    <div class="panel-body stack">
      <p>${visible(trial.reason)}</p>
      <p class="muted">Right answers, as counted. The bar is where the true share lies, with 95 % confidence.</p>
      <div class="arms">${trial.arms.map((arm, at) => html`<${ArmRow} key=${at} arm=${arm} />`)}</div>
      ${trial.p_value !== null && trial.p_value !== undefined && html`<p>If the patch did nothing, a difference this large would come about by chance with p = ${probability(trial.p_value)}.</p>`}
      ${Array.isArray(kept) && kept.length > 0 && html`<p>Left out, since it holds without: ${kept.map(String).join(", ")}</p>`}
      ${(trial.warnings ?? []).map((text) => html`<div class="note note-warn" key=${text}><${Icon} name="alert" /><span>${visible(text)}</span></div>`)}
      <details class="fold"><summary>How it was measured</summary><div class="fold-body stack-tight">
        <p>The recorded runs were replayed with the code as it is, with a change that does nothing, and with the patch; tools answer from the recording. “Right” means that every check held. The bars show the 95 % Wilson interval of each share, p is Fisher's exact test, one-sided, on the failing runs.</p>
        ${trial.checks?.length > 0 && html`<p>Checks: ${trial.checks.map((check) => html`<code class="check-text" key=${check}>${visible(check)}</code> `)}</p>`}
        <p class="muted">Sandbox: ${trial.sandbox}.</p>
      </div></details>
    </div>
  </section>`;
}

function ArmRow({ arm }) {
  const [low, high] = arm.interval ?? [0, 1];
  const isKept = arm.group.startsWith(HELD_OUT);
  const group = isKept ? arm.group.slice(HELD_OUT.length) : arm.group;
  const name = `${ARMS[arm.name] ?? arm.name}, ${GROUPS[group] ?? group}${isKept ? " (kept aside to confirm)" : ""}`;
  const share = arm.total ? arm.passed / arm.total : null;
  return html`<div class="arm">
    <span class="arm-name">${visible(name)}</span>
    <strong class="arm-count">${arm.passed} of ${arm.total} right</strong>
    <span class=${`arm-bar arm-${arm.name === "patch" ? "patch" : "other"}`} aria-hidden="true">
      <span class="arm-interval" style=${{ left: `${low * 100}%`, width: `${Math.max(1, (high - low) * 100)}%` }}></span>
      ${share !== null && html`<span class="arm-point" style=${{ left: `${share * 100}%` }}></span>`}
    </span>
    <span class="muted arm-range">${arm.interval ? `${percent(low)} to ${percent(high)}` : "nothing was run"}</span>
  </div>`;
}

function probability(value) {
  if (value < 0.0001) return "less than 0.0001";
  return value.toPrecision(2);
}

/** What each of the guard's rules is about, in a reader's words; a project's own rules keep their name. */
const RULES = {
  capability_growth: "The program could do more than before, or would check less",
  declared_files: "A file the project protects",
  deletion: "It takes something away",
  hidden_unicode: "Characters a reader cannot see",
  located_cause: "Outside the place of the cause",
  new_dependency: "It changes what gets installed",
  path_policy: "A file that steers tools, tests or builds",
  prompt_growth: "A prompt gains reach, or copied text",
  secrets: "A key or password",
  size: "More than a person reads",
  syntax: "It cannot be read as code",
  test_weakening: "A test would demand less",
};

/** A remark of the guard in words. */
export const remarkWords = ({ rule, message }) => `${RULES[rule] ?? rule}: ${message}`;

const GUARD = { allow: ["ok", "Nothing to object to"], hold: ["warn", "Held: a person has to look"], block: ["bad", "Blocked"] };

/** The guard's remarks on the exact bytes of a patch. @param {{guard: any}} props */
export function GuardView({ guard }) {
  const [tone, words] = GUARD[guard.outcome] ?? ["quiet", guard.outcome];
  const said = guard.remarks.filter(({ outcome }) => outcome !== "allow");
  return html`<section class="panel" aria-labelledby="guard-title" data-guard=${guard.outcome}>
    <div class="panel-head"><h2 id="guard-title">What the guard says</h2><${Badge} tone=${tone}>${words}</${Badge}></div>
    <div class="panel-body stack-tight">
      ${said.length === 0
        ? html`<p>The patch adds no new powers to the program: no new imports, files, network or commands, and nothing outside the place of the cause.</p>`
        : html`<ul class="plain-list stack-tight">${said.map((remark, at) => html`<li key=${at} class="remark"><${Badge} tone=${GUARD[remark.outcome]?.[0] ?? "quiet"}>${remark.outcome}</${Badge}>
          <span>${visible(remarkWords(remark))}${remark.path && html` <code>${remark.path}${remark.line ? `:${remark.line}` : ""}</code>`}</span></li>`)}</ul>`}
    </div>
  </section>`;
}

/** The changes that were thought of, and what became of each. */
export function Hypotheses({ hypotheses, chosen }) {
  if (!hypotheses?.length) return null;
  return html`<section class="stack-tight" aria-labelledby="ideas-title"><h2 id="ideas-title">Changes considered</h2>
    <${Table} caption="Changes considered" rows=${hypotheses} rowKey=${({ hypothesis_id: id }) => id} rowHeader="title"
      rowClass=${({ hypothesis_id: id }) => (id === chosen ? "matrix-chosen" : "")}
      columns=${[
        { id: "title", label: "Change", render: (one) => html`<${Idea} one=${one} isChosen=${one.hypothesis_id === chosen} />` },
        { id: "verdict", label: "What became of it", render: ({ verdict, problem, reason }) => html`${verdict && html`<${VerdictBadge} verdict=${verdict} />`}
          <div class="muted">${visible(reason ?? problem ?? (verdict ? "" : "not tried"))}</div>` },
      ]} />
  </section>`;
}

function Idea({ one, isChosen }) {
  return html`<div class="stack-tight idea">
    <span>${one.hypothesis_id} ${visible(one.title)} ${isChosen && html`<${Badge} tone="live">chosen</${Badge}>`}</span>
    ${one.rationale && html`<details class="fold"><summary>Why, and what to expect</summary><div class="fold-body stack-tight idea-body">
      <p>${visible(one.rationale)}</p>
      ${one.example_before && html`<p><span class="muted">Before:</span> ${visible(one.example_before)}</p>`}
      ${one.example_after && html`<p><span class="muted">After:</span> ${visible(one.example_after)}</p>`}
      ${one.risks?.length > 0 && html`<p><span class="muted">Risks:</span> ${visible(one.risks.join("; "))}</p>`}
      ${one.citations?.length > 0 && html`<p class="muted">Rests on ${one.citations.join(", ")}</p>`}
    </div></details>`}
  </div>`;
}

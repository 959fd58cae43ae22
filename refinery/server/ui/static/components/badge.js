/** Marks of a status and of a kind of run: a colour, a sign and a word, never colour alone. */
import { html } from "../html.js";
import { Icon } from "./icon.js";

const STATUS = {
  ok: ["ok", "check", "OK"],
  error: ["bad", "alert", "Failed"],
  running: ["live", null, "Running"],
  cancelled: ["quiet", "cross", "Cancelled"],
  unknown: ["quiet", null, "Unknown"],
};

/** @param {{status: string, compact?: boolean}} props `compact`: the sign with a hidden word */
export function StatusBadge({ status, compact = false }) {
  const [tone, icon, word] = STATUS[status] ?? ["quiet", null, status || "Unknown"];
  return html`<span class=${`badge badge-${tone}${compact ? " badge-compact" : ""}`} title=${compact ? word : undefined}>
    ${icon ? html`<${Icon} name=${icon} />` : html`<span class=${`dot dot-${tone}`} aria-hidden="true"></span>`}
    <span class=${compact ? "visually-hidden" : ""}>${word}</span>
  </span>`;
}

/** What a person said of a trace: pass or fail. */
export function LabelBadge({ label }) {
  if (!label) return null;
  return html`<span class=${`badge badge-${label === "fail" ? "bad" : "ok"} badge-outline`} title="What a person said of it">
    <${Icon} name="flag" />${label}
  </span>`;
}

/** The kind of a run, e.g. `llm`. @param {{kind: string|null}} props */
export function KindBadge({ kind }) {
  return html`<span class=${`kind kind-${KINDS.has(kind) ? kind : "other"}`}>${kind ?? "run"}</span>`;
}

const KINDS = new Set([
  "agent", "chain", "llm", "tool", "retriever", "embedding", "prompt", "parser", "reranker",
  "guardrail", "evaluator", "step", "event",
]);

/** A badge of any tone: `ok`, `bad`, `warn`, `live`, `quiet`. */
export function Badge({ tone = "quiet", children, title }) {
  return html`<span class=${`badge badge-${tone}`} title=${title}>${children}</span>`;
}

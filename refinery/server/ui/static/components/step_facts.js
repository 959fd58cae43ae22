/** The figures of a run; of a model call also model, parameters, tokens, cost and how it ended. */
import { html } from "../html.js";
import { cost, count, duration } from "../format.js";
import { Moment } from "./moment.js";
import { oneLine } from "./text.js";

/** @param {{run: Object}} props */
export function StepFacts({ run }) {
  const facts = [...modelFacts(run), ...timeFacts(run), ...tokenFacts(run), ...moneyFacts(run), ...sourceFacts(run)];
  const params = Object.entries(run.params && typeof run.params === "object" ? run.params : {}).filter(([, value]) => value !== null);
  return html`<div class="stack-tight">
    <dl class="facts">${facts.map(([name, value, title]) => html`<div key=${name}><dt>${name}</dt><dd title=${title}>${value}</dd></div>`)}</dl>
    ${params.length > 0 && html`<div class="params" aria-label="Parameters" role="group">${params.slice(0, 24).map(([name, value]) => html`
      <span key=${name} class="param"><span class="muted">${oneLine(name, 60)}</span> ${oneLine(typeof value === "object" ? JSON.stringify(value) : value, 80)}</span>`)}</div>`}
  </div>`;
}

function modelFacts(run) {
  const facts = [];
  const model = run.model_responded ?? run.model_requested ?? run.model;
  if (model) facts.push(["Model", oneLine(model, 80), run.model_requested && run.model_requested !== model ? `asked for ${run.model_requested}` : undefined]);
  if (run.provider) facts.push(["Provider", oneLine(run.provider, 60)]);
  if (run.finish_reason) facts.push(["Finish reason", oneLine(run.finish_reason, 60)]);
  return facts;
}

function timeFacts(run) {
  const facts = [["Duration", run.status === "running" ? "running" : duration(run.duration_ms)]];
  const first = run.first_token_ms;
  if (typeof first === "number") facts.push(["First token", duration(first)]);
  facts.push(["Started", html`<${Moment} ms=${run.start_ms} />`]);
  return facts;
}

function tokenFacts(run) {
  const usage = run.usage ?? {};
  const facts = [];
  if (usage.input !== null && usage.input !== undefined) {
    facts.push(["Tokens in", usage.cache_read ? html`${count(usage.input)} <span class="muted">(${count(usage.cache_read)} cached)</span>` : count(usage.input)]);
  }
  if (usage.output !== null && usage.output !== undefined) {
    facts.push(["Tokens out", usage.reasoning ? html`${count(usage.output)} <span class="muted">(${count(usage.reasoning)} reasoning)</span>` : count(usage.output)]);
  }
  if (facts.length === 0 && typeof run.tokens === "number") facts.push(["Tokens", count(run.tokens)]);
  return facts;
}

function moneyFacts(run) {
  if (run.cost_usd !== null && run.cost_usd !== undefined) {
    return [["Cost", html`${cost(run.cost_usd)}${run.cost_source && html` <span class="muted">${oneLine(run.cost_source, 20)}</span>`}`]];
  }
  if (typeof run.estimated_cost_usd === "number") return [["Cost", html`${cost(run.estimated_cost_usd)} <span class="muted">estimated</span>`]];
  return [];
}

function sourceFacts(run) {
  const code = run.code;
  if (typeof code?.file !== "string" || !code.file) return [];
  const line = code.line ? `:${code.line}` : "";
  const near = code.file.length > 40 ? code.file.split("/").slice(-2).join("/") : code.file;
  return [["Code", html`<code>${oneLine(near + line, 120)}</code>`, [code.file + line, code.qualname].filter(Boolean).join("\n")]];
}

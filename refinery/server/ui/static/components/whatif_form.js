/** The form of what if: which step, what is different there, how far asking may go. */
import { html, useEffect, useId, useMemo, useState } from "../html.js";
import { get, session, useData } from "../api.js";
import { plural } from "../format.js";
import { SettingRows } from "./whatif_settings.js";
import { toast } from "./toast.js";

const NOTHING = { models: "", temperatures: "", tokens: "", prompts: [], settings: [], alone: false, limit: "", budget: "" };

/** The form as it was filled in for a job, so that one thing of it can be changed. */
function filled(options) {
  if (!options) return NOTHING;
  const text = (value) => (value === null || value === undefined ? "" : String(value));
  return {
    models: (options.models ?? []).join(", "), temperatures: (options.temperatures ?? []).join(", "), tokens: (options.max_tokens ?? []).join(", "),
    prompts: (options.prompts ?? []).map((prompt) => prompt.text), settings: (options.settings ?? []).map(settingRow).filter(Boolean),
    alone: options.alone ?? false, limit: text(options.max_requests), budget: text(options.budget_usd),
  };
}

/**
 * @param {{
 *   trace: any, runs: any[], at?: string, options?: Object, isBusy: boolean, isAgain: boolean,
 *   begin: (kind: string, options: Object) => Promise<void>,
 * }} props `at`: the run the page was opened for; `options`: of the job above, if any
 */
export function WhatIfForm({ trace, runs, at, options, isBusy, isAgain, begin }) {
  const calls = runs.filter(({ kind }) => kind === "llm");
  const entry = useEntry(trace.trace_id, runs[0]?.run_id);
  const [form, setForm] = useState(() => filled(options));
  const [step, setStep] = useState(calls.some(({ run_id: id }) => id === at) ? at : null);
  const [problem, setProblem] = useState(null);
  const set = (part) => { setForm((old) => ({ ...old, ...part })); setProblem(null); };
  const isWhole = entry === "callable" || entry === undefined;
  const chosen = step ?? (!isWhole && calls.length > 1 ? calls[0].run_id : "");
  const read = useMemo(() => optionsOf(form, chosen), [form, chosen]);
  const submit = (event) => {
    event.preventDefault();
    setProblem(read.error ?? null);
    return read.error ? undefined : begin("what_if", read.options);
  };
  return html`<section class="panel" aria-labelledby="form-title">
    <div class="panel-head"><h2 id="form-title">${isAgain ? "Try something else" : "Try it differently"}</h2></div>
    <form class="panel-body stack" onSubmit=${submit} novalidate>
      <${Sort} entry=${entry} calls=${calls} />
      ${calls.length > 0 && html`
        <${Asked} form=${form} set=${set} trace=${trace.trace_id} call=${calls.find(({ run_id: id }) => id === chosen) ?? calls[0]} calls=${calls}>
          <${StepChoice} calls=${calls} chosen=${chosen} choose=${setStep} mayAll=${isWhole || calls.length === 1} />
        </${Asked}>
        <${Prompts} prompts=${form.prompts} set=${set} trace=${trace.trace_id} call=${chosen || calls[0]?.run_id} />`}
      <details class="fold"><summary>Set recorded values, limits</summary>
        <div class="stack fold-body">
          <${SettingRows} rows=${form.settings} set=${(settings) => set({ settings })} trace=${trace.trace_id} runs=${runs} />
          <${Limits} form=${form} set=${set} />
        </div>
      </details>
      <div role="alert" class="form-problem">${problem}</div>
      <div class="row">
        <button type="submit" class="button button-primary" disabled=${isBusy}>Try it</button>
        <button type="button" class="button" disabled=${isBusy} onClick=${() => begin("replay", {})}>Replay as recorded</button>
        <span class="muted">${read.error ? "“Replay as recorded” asks nobody and costs nothing." : plural(read.count, "variation")}</span>
      </div>
    </form>
  </section>`;
}

/** How the recording says its program was started: "callable", "command", false, or undefined yet. */
function useEntry(trace, root) {
  const { data } = useData(root ? runPath(trace, root) : null);
  if (!data) return undefined;
  return data.metadata?.refinery?.entry_point?.kind ?? false;
}

const SORTS = {
  callable: "The agent runs again in a sandbox. What you change is asked of the model; everything else answers from the recording. The recording itself stays as it is.",
  command: "The whole program can be replayed as recorded. With a change, one answer of the model is asked for again; what came after it is not run again.",
  none: "This recording does not say how its program was started, so one answer of the model is asked for again, with your change; what came after it is not run again.",
};

function Sort({ entry, calls }) {
  const [about, setAbout] = useState(null);
  useEffect(() => { session().then(setAbout, () => {}); }, []);
  if (entry === undefined) return null;
  if (calls.length === 0) return html`<p>No model was asked in this recording, so only recorded values can be set.</p>`;
  return html`<p>${SORTS[entry] ?? SORTS.none}${entry && about && !about.repository ? " The agent's repository was not found here: start refinery serve in it." : ""}</p>`;
}

function StepChoice({ calls, chosen, choose, mayAll }) {
  return html`<label class="field"><span>Which step</span>
    <select class="input" value=${chosen} onChange=${(event) => choose(event.target.value)}>
      ${mayAll && html`<option value="">${calls.length === 1 ? "The model call" : `Every model call (${calls.length})`}</option>`}
      ${(calls.length > 1 || !mayAll) && calls.map((call, index) => html`<option key=${call.run_id} value=${call.run_id}>
        ${index + 1}. ${call.name}${call.model ? ` · ${call.model}` : ""}</option>`)}
    </select></label>`;
}

function Asked({ form, set, trace, call, calls, children }) {
  const list = useId();
  const { data: run } = useData(runPath(trace, call.run_id));
  const then = (...names) => {
    const value = names.map((name) => run?.params?.[name]).find((one) => typeof one === "number");
    return value === undefined ? "as recorded" : `then: ${value}`;
  };
  const known = [...new Set(calls.map(({ model }) => model).filter(Boolean))];
  const field = (name, label, hint, more = {}) => html`<label class="field"><span>${label}</span>
    <input class="input" value=${form[name]} placeholder=${hint} autocomplete="off" spellcheck=${false}
      onInput=${(event) => set({ [name]: event.target.value })} ...${more} /></label>`;
  return html`<fieldset class="fields">
    <legend class="visually-hidden">What is different</legend>
    ${children}
    ${field("models", "Another model", call?.model ? `then: ${call.model}` : "its name", { list, name: "models" })}
    ${field("temperatures", "Temperature", then("temperature"), { inputmode: "decimal", name: "temperatures" })}
    ${field("tokens", "Longest answer, in tokens", then("max_tokens", "max_completion_tokens", "max_output_tokens"), { inputmode: "numeric", name: "tokens" })}
    <datalist id=${list}>${known.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
    <p class="fields-hint muted">Several values with commas, e.g. 0, 0.7, 1: each combination is tried, and a table compares them.</p>
  </fieldset>`;
}

/** Other instructions for the model; each is a variation of its own. */
function Prompts({ prompts, set, trace, call }) {
  const change = (at, text) => set({ prompts: prompts.map((old, index) => (index === at ? text : old)) });
  const add = async () => {
    try {
      set({ prompts: [...prompts, await recordedPrompt(trace, call)] });
    } catch (error) {
      toast.failure(error);
    }
  };
  return html`<div class="stack-tight">
    ${prompts.map((text, at) => html`<div key=${at} class="prompt">
      <label class="field"><span>Instructions${prompts.length > 1 ? ` ${at + 1}` : ""} (system prompt)</span>
        <textarea class="input" rows="7" name="prompt" value=${text} onInput=${(event) => change(at, event.target.value)}></textarea></label>
      <button type="button" class="button button-small" onClick=${() => set({ prompts: prompts.filter((_, index) => index !== at) })}>
        Leave these instructions as recorded</button>
    </div>`)}
    <div><button type="button" class="button" onClick=${add}>${prompts.length ? "Try further instructions" : "Change the instructions"}</button></div>
  </div>`;
}

async function recordedPrompt(trace, call) {
  const { messages_in: messages } = await get(runPath(trace, call));
  if (!Array.isArray(messages)) return "";
  return messages.find(({ role }) => role === "system" || role === "developer")?.text ?? "";
}

const runPath = (trace, run) => `/traces/${encodeURIComponent(trace)}/runs/${encodeURIComponent(run)}`;

function Limits({ form, set }) {
  const field = (name, label) => html`<label class="field"><span>${label}</span>
    <input class="input" inputmode="decimal" name=${name} value=${form[name]} autocomplete="off" onInput=${(event) => set({ [name]: event.target.value })} /></label>`;
  return html`<fieldset class="fields"><legend>Limits</legend>
    ${field("limit", "Most questions to a live model")}
    ${field("budget", "Most money, in US dollars")}
    <label class="check fields-hint"><input type="checkbox" name="alone" checked=${form.alone} onChange=${(event) => set({ alone: event.target.checked })} />
      Ask only this one model call again, and run none of the agent's code</label>
  </fieldset>`;
}

const words = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);

/** The form as a job's options and how many variations they are, or what is wrong with it. */
export function optionsOf(form, at) {
  const models = words(form.models);
  const temperatures = words(form.temperatures).map(Number);
  const tokens = words(form.tokens).map(Number);
  const prompts = form.prompts.filter((text) => text.trim()).map((text, index) => ({ name: `${index + 1}`, text }));
  const settings = form.settings.filter(({ step, value }) => step && value !== "").map(settingText);
  if (temperatures.some((value) => !(value >= 0 && value <= 100))) return { error: "A temperature is a number from 0 up, e.g. 0.7." };
  if (tokens.some((value) => !(Number.isInteger(value) && value > 0))) return { error: "The longest answer is a whole number of tokens, e.g. 500." };
  const limit = form.limit.trim() ? Number(form.limit) : undefined;
  const budget = form.budget.trim() ? Number(form.budget) : undefined;
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 0)) return { error: "The most questions are a whole number." };
  if (budget !== undefined && !(budget >= 0)) return { error: "The most money is a number, e.g. 0.50." };
  const sizes = [models, temperatures, tokens, prompts].map(({ length }) => length);
  if (sizes.every((size) => size === 0) && settings.length === 0) return { error: "Change at least one thing." };
  const options = { models, temperatures, max_tokens: tokens, prompts, settings, max_requests: limit, budget_usd: budget, ...(form.alone ? { alone: true } : {}), ...(at ? { at } : {}) };
  return { options, count: sizes.reduce((product, size) => product * Math.max(1, size), 1) };
}

/** A setting read back, the other way round of `settingText`; null for another form. */
function settingRow(text) {
  const found = /^([^.]+)\.(input|output)(?:\.([^=]*))?=([\s\S]*)$/.exec(text);
  return found && { step: found[1], side: found[2], path: found[3] ?? "", value: found[4] };
}

const settingText = ({ step, side, path, value }) => [step, side, ...(path.trim() ? [path.trim()] : [])].join(".") + `=${value}`;

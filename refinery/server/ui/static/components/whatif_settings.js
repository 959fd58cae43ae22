/** Rows that replace a recorded value: of which step, its input or output, where in it, by what. */
import { html, useId } from "../html.js";
import { useData } from "../api.js";
import { visible } from "./text.js";

const MOST_PATHS = 300;
/** What can be set of which kind of step: the input of a tool is what the agent gives it. */
const SIDES = { llm: ["output", "input"], tool: ["output"], retriever: ["output"] };
const SIDE_WORDS = { input: "input", output: "answer" };
const EMPTY = { step: "root", side: "input", path: "", value: "" };

/** @param {{rows: any[], set: (rows: any[]) => void, trace: string, runs: any[]}} props */
export function SettingRows({ rows, set, trace, runs }) {
  const change = (at, part) => set(rows.map((row, index) => (index === at ? { ...row, ...part } : row)));
  const steps = [
    { id: "root", label: "the start: what the agent was asked", sides: ["input"] },
    ...runs.slice(1).filter(({ kind }) => kind in SIDES).map((run) => ({ id: run.run_id, label: `${run.kind} ${run.name}`, sides: SIDES[run.kind] })),
  ];
  return html`<fieldset class="stack-tight"><legend>Recorded values</legend>
    <p class="muted">Replace what the agent was asked, or what a tool, a search or the model answered, and see what follows.</p>
    ${rows.map((row, at) => html`<${Row} key=${at} row=${row} number=${at + 1} steps=${steps} trace=${trace} rootId=${runs[0]?.run_id}
      change=${(part) => change(at, part)} remove=${() => set(rows.filter((_, index) => index !== at))} />`)}
    <div><button type="button" class="button" onClick=${() => set([...rows, EMPTY])}>Set a value</button></div>
  </fieldset>`;
}

function Row({ row, number, steps, trace, rootId, change, remove }) {
  const list = useId();
  const id = row.step === "root" ? rootId : row.step;
  const { data } = useData(id ? `/traces/${encodeURIComponent(trace)}/runs/${encodeURIComponent(id)}` : null);
  const whole = data?.[row.side === "input" ? "inputs" : "outputs"];
  const paths = leaves(whole);
  const now = at(whole, row.path);
  const sides = steps.find((step) => step.id === row.step)?.sides ?? ["input"];
  const choose = (step) => change({ step, side: steps.find((one) => one.id === step).sides[0], path: "" });
  return html`<div class="setting" role="group" aria-label=${`Value ${number}`}>
    <label class="field"><span>Step</span><select class="input" value=${row.step}
      onChange=${(event) => choose(event.target.value)}>
      ${steps.map(({ id: value, label }) => html`<option key=${value} value=${value}>${label}</option>`)}</select></label>
    <label class="field"><span>Its</span><select class="input" value=${row.side} disabled=${sides.length === 1} onChange=${(event) => change({ side: event.target.value, path: "" })}>
      ${sides.map((side) => html`<option key=${side} value=${side}>${SIDE_WORDS[side]}</option>`)}</select></label>
    <label class="field"><span>Where in it (empty: the whole)</span><input class="input" list=${list} value=${row.path} autocomplete="off" spellcheck=${false}
      onInput=${(event) => change({ path: event.target.value })} />
      <datalist id=${list}>${paths.map((path) => html`<option key=${path} value=${path} />`)}</datalist></label>
    <label class="field setting-value"><span>Becomes (JSON, or plain text)</span><textarea class="input" rows="2" value=${row.value}
      onInput=${(event) => change({ value: event.target.value })}></textarea></label>
    <p class="setting-now muted">${now === undefined ? "" : html`Now: <code>${visible(short(now))}</code>`}</p>
    <button type="button" class="button button-small" onClick=${remove}>Remove</button>
  </div>`;
}

const isBranch = (value) => value !== null && typeof value === "object";

/** Paths of the values inside, keys joined by dots; those a dot would tear are left out. */
function leaves(value, prefix = [], found = []) {
  if (found.length >= MOST_PATHS || !isBranch(value) || prefix.length > 12) return found;
  for (const [key, child] of Object.entries(value)) {
    if (key.includes(".") || key.includes("=") || found.length >= MOST_PATHS) continue;
    const path = [...prefix, key];
    if (isBranch(child)) leaves(child, path, found);
    else found.push(path.join("."));
  }
  return found;
}

function at(value, path) {
  let here = value;
  for (const key of path.split(".").filter(Boolean)) {
    if (!isBranch(here)) return undefined;
    here = here[key];
  }
  return here;
}

const short = (value) => {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return text.length > 160 ? `${text.slice(0, 160)} …` : text;
};

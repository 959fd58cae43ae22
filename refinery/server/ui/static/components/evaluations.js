/** Items a step judged, as a table: qualified or not, and every filter with its detail. */
import { html, useMemo, useState } from "../html.js";
import { count, plural } from "../format.js";
import { readable } from "../judged.js";
import { Icon } from "./icon.js";
import { JsonView } from "./json.js";
import { oneLine, visible } from "./text.js";

const STEP = 100;
const VIEWS = [["all", "All"], ["kept", "Qualified"], ["dropped", "Not qualified"]];

/** @param {{evaluations: Object[]}} props */
export function Evaluations({ evaluations }) {
  const { items, names } = useMemo(() => readable(evaluations), [evaluations]);
  const [view, setView] = useState("all");
  const [failing, setFailing] = useState(null);
  const [words, setWords] = useState("");
  const [most, setMost] = useState(STEP);
  const kept = items.filter((one) => one.qualified === true).length;
  const dropped = items.filter((one) => one.qualified === false).length;
  const counts = { all: items.length, kept, dropped };
  const shown = items.filter((one) => fits(one, view, failing, words.trim().toLowerCase()));
  return html`<div class="stack-tight evaluations">
    <div class="row">
      <div class="segments" role="group" aria-label="Which items">${VIEWS.map(([id, label]) => html`
        <button key=${id} type="button" class="segment" aria-pressed=${String(view === id)} onClick=${() => setView(id)}>${label} <span class="muted">${counts[id]}</span></button>`)}
      </div>
      <input class="input evaluations-words" type="search" aria-label="Find an item" placeholder="Find an item" value=${words} onInput=${(event) => setWords(event.target.value)} />
    </div>
    ${names.length > 0 && html`<div class="filter-shares" role="group" aria-label="Show what one filter rejected">
      ${names.map((name) => html`<${Share} key=${name} name=${name} items=${items} isChosen=${failing === name} toggle=${() => setFailing(failing === name ? null : name)} />`)}
    </div>`}
    <p class="visually-hidden" role="status">${plural(shown.length, "item")} shown</p>
    <div class="table-scroll" tabindex="0" role="region" aria-label="Evaluations">
      <table class="table evaluation-table">
        <caption class="visually-hidden">Evaluations: items, whether they qualified, and each filter</caption>
        <thead><tr><th scope="col">Item</th><th scope="col">Qualified</th>${names.map((name) => html`<th key=${name} scope="col">${oneLine(name, 60)}</th>`)}<th scope="col">Reasoning</th></tr></thead>
        <tbody>${shown.slice(0, most).map((one) => html`<${Item} key=${one.at} one=${one} names=${names} />`)}</tbody>
      </table>
    </div>
    ${shown.length === 0 && html`<p class="muted">No item fits.</p>`}
    ${shown.length > most && html`<button type="button" class="button button-small" onClick=${() => setMost(most + STEP)}>Show ${count(Math.min(STEP, shown.length - most))} of ${count(shown.length - most)} more</button>`}
  </div>`;
}

function fits(one, view, failing, words) {
  if (view !== "all" && one.qualified !== (view === "kept")) return false;
  if (failing && one.verdicts[failing]?.passed !== false) return false;
  return !words || `${one.id} ${titleOf(one.item)} ${one.reasoning}`.toLowerCase().includes(words);
}

/** How many items one filter let through; a button that shows the others. */
function Share({ name, items, isChosen, toggle }) {
  const told = items.filter((one) => typeof one.verdicts[name]?.passed === "boolean");
  const passed = told.filter((one) => one.verdicts[name].passed).length;
  if (told.length === 0) return null;
  return html`<button type="button" class="filter-share" aria-pressed=${String(isChosen)} onClick=${toggle} title=${`Show the ${told.length - passed} items ${name} rejected`}>
    <span class="filter-share-name">${oneLine(name, 60)}</span>
    <span class="filter-share-bar" aria-hidden="true"><span style=${{ width: `${(passed / told.length) * 100}%` }}></span></span>
    <span class="muted">${passed} of ${told.length} pass</span>
  </button>`;
}

function Item({ one, names }) {
  const [isOpen, setOpen] = useState(false);
  const title = titleOf(one.item);
  const hasMore = one.item !== null && typeof one.item === "object";
  return html`<tr class=${one.qualified === false ? "is-dropped" : ""}>
      <th scope="row" class="evaluation-item"><span class="item-line">
        ${hasMore
          ? html`<button type="button" class="item-toggle" aria-expanded=${String(isOpen)} onClick=${() => setOpen(!isOpen)}><${Icon} name="chevron" /><span>${oneLine(one.id, 80)}</span></button>`
          : html`<span class="item-toggle">${oneLine(one.id, 80)}</span>`}
        ${title && title !== one.id && html`<span class="item-title">${oneLine(title, 120)}</span>`}
      </span></th>
      <td><${Verdict} passed=${one.qualified} words=${["Yes", "No"]} /></td>
      ${names.map((name) => html`<td key=${name}>${one.verdicts[name] && html`<${Verdict} passed=${one.verdicts[name].passed} words=${["pass", "fail"]} /><span class="verdict-detail">${visible(one.verdicts[name].detail.slice(0, 400))}</span>`}</td>`)}
      <td class="evaluation-why">${visible(one.reasoning.slice(0, 1000))}</td>
    </tr>
    ${isOpen && html`<tr class="item-open"><td colspan=${names.length + 3}><${JsonView} value=${one.item} label=${`Item ${one.id}`} /></td></tr>`}`;
}

function Verdict({ passed, words }) {
  if (passed === null) return html`<span class="muted">–</span>`;
  return html`<span class=${passed ? "verdict verdict-yes" : "verdict verdict-no"}><${Icon} name=${passed ? "check" : "cross"} />${passed ? words[0] : words[1]}</span>`;
}

/** What an item is called, from the field people would read first. */
function titleOf(item) {
  if (item === null || item === undefined) return "";
  if (typeof item !== "object") return String(item);
  const field = ["title", "name", "label", "text"].find((name) => typeof item[name] === "string");
  return field ? item[field] : "";
}

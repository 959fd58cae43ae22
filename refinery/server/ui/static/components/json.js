/**
 * Any JSON value as a tree that opens branch by branch.
 *
 * Only open branches are in the document, and of a long one only the first hundred entries, so a
 * value of many megabytes costs no more than what is looked at.
 */
import { html, useState } from "../html.js";
import { get, ROOT } from "../api.js";
import { bytes, count, plural } from "../format.js";
import { Copy } from "./copy.js";
import { visible } from "./text.js";

const STEP = 100;
const SHORT_TEXT = 400;
/** Entries of small containers are open from the start, down to this depth. */
const OPEN_DEPTH = 2;
const OPEN_ENTRIES = 12;
/** Deeper values are shown as text: the document cannot nest for ever. */
const DEEPEST = 100;

/**
 * @param {{value: any, label?: string, open?: boolean}} props `open`: its own branch is open
 */
export function JsonView({ value, label = "JSON", open = true }) {
  return html`<div class="json" role="group" aria-label=${label}>
    <div class="json-tools"><${Copy} label="Copy as JSON" text=${() => JSON.stringify(value, null, 2)} /></div>
    <${Node} value=${value} depth=${0} startOpen=${open} />
  </div>`;
}

const isBranch = (value) => value !== null && typeof value === "object";
const entriesOf = (value) => (Array.isArray(value) ? value.length : Object.keys(value).length);
const isCut = (value) => isBranch(value) && isBranch(value.$cut) && typeof value.$cut.bytes === "number";

function Node({ name, value, depth, startOpen }) {
  if (isCut(value)) return html`<${Row} name=${name}><${CutPayload} cut=${value.$cut} /></${Row}>`;
  if (!isBranch(value)) return html`<${Row} name=${name}><${Leaf} value=${value} /></${Row}>`;
  if (depth > DEEPEST) return html`<${Row} name=${name}><${Leaf} value=${JSON.stringify(value).slice(0, 2000)} /></${Row}>`;
  return html`<${Branch} name=${name} value=${value} depth=${depth} startOpen=${startOpen} />`;
}

function Row({ name, children }) {
  return html`<div class="json-row"><${Name} name=${name} />${children}</div>`;
}

function Name({ name }) {
  if (name === undefined) return null;
  return html`<span class=${typeof name === "number" ? "json-index" : "json-name"}>${visible(String(name))}</span><span class="json-colon">:</span>`;
}

function Branch({ name, value, depth, startOpen }) {
  const size = entriesOf(value);
  const [isOpen, setOpen] = useState(startOpen ?? (depth < OPEN_DEPTH && size <= OPEN_ENTRIES));
  const [most, setMost] = useState(STEP);
  const isList = Array.isArray(value);
  const brackets = isList ? "[]" : "{}";
  if (size === 0) return html`<${Row} name=${name}><span class="json-empty">${brackets}</span></${Row}>`;
  const keys = isOpen ? (isList ? [...Array(Math.min(size, most)).keys()] : Object.keys(value).slice(0, most)) : [];
  return html`<div class="json-branch">
    <button type="button" class="json-toggle" aria-expanded=${String(isOpen)} onClick=${() => setOpen(!isOpen)}>
      <span class="json-arrow" aria-hidden="true"></span><${Name} name=${name} />
      <span class="json-size">${brackets[0]}${plural(size, isList ? "item" : "key")}${brackets[1]}</span>
      ${!isOpen && html`<span class="json-hint">${hint(value)}</span>`}
    </button>
    ${isOpen && html`<div class="json-children">
      ${keys.map((key) => html`<${Node} key=${key} name=${key} value=${value[key]} depth=${depth + 1} />`)}
      ${size > most && html`<button type="button" class="button button-small" onClick=${() => setMost(most + STEP)}>
        Show ${count(Math.min(STEP, size - most))} of ${count(size - most)} more</button>`}
    </div>`}
  </div>`;
}

/** The first short values of a closed branch, so that rows of a list can be told apart. */
function hint(value) {
  const parts = [];
  for (const key of Object.keys(value).slice(0, 6)) {
    const child = value[key];
    if (isBranch(child) || child === null) continue;
    const text = String(child).slice(0, 40);
    parts.push(Array.isArray(value) ? text : `${key.slice(0, 24)}: ${text}`);
    if (parts.length === 3) break;
  }
  return visible(parts.join(", "));
}

function Leaf({ value }) {
  const [whole, setWhole] = useState(false);
  if (typeof value !== "string") return html`<span class=${`json-${value === null ? "null" : typeof value}`}>${String(value)}</span>`;
  const kept = whole ? value : value.slice(0, SHORT_TEXT);
  return html`<span class="json-string">${visible(kept)}</span>${value.length > SHORT_TEXT && html`
    <button type="button" class="button button-small" aria-expanded=${String(whole)} onClick=${() => setWhole(!whole)}>
      ${whole ? "Show less" : `Show all ${count(value.length)} characters`}</button>`}`;
}

/** Beyond this a value is downloaded only: parsing and keeping it would burden the page. */
const MOST_BYTES = 30_000_000;

/**
 * A value too large to be sent with the run: read here on demand, or downloaded.
 * @param {{cut: {bytes: number, href: string|null}, children?: (value: any) => any}} props
 *   `children` draws the value once it is read; a JSON tree without it
 */
export function CutPayload({ cut, children }) {
  const [state, setState] = useState({ value: undefined, error: null, isReading: false });
  // Only an address of this server's own API is followed, whatever the document says.
  const isOurs = /^\/refinery\/v1\/traces\/[\w.%~-]+\/runs\/[\w.%~-]+\/payload\/\w+$/.test(cut.href ?? "");
  const read = async () => {
    setState({ ...state, isReading: true });
    try {
      const value = await get(cut.href.slice(ROOT.length));
      setState({ value, error: null, isReading: false });
    } catch (error) {
      setState({ value: undefined, error, isReading: false });
    }
  };
  if (state.value !== undefined) return children ? children(state.value) : html`<${Node} value=${state.value} depth=${0} startOpen />`;
  return html`<span class="cut"><span>${bytes(cut.bytes)}, too large to be shown at once.</span>
    ${isOurs && cut.bytes <= MOST_BYTES && html`<button type="button" class="button button-small" disabled=${state.isReading} onClick=${read}>${state.isReading ? "Reading …" : "Read it here"}</button>`}
    ${isOurs && html`<a href=${cut.href} download="payload.json">Download it</a>`}
    ${state.error && html`<span role="alert" class="fact-bad">${state.error.message}</span>`}
  </span>`;
}

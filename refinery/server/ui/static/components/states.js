/** What stands where a document will be, could not be, or is not. */
import { html } from "../html.js";
import { Icon } from "./icon.js";

/** @param {{label?: string}} props */
export function Loading({ label = "Loading" }) {
  return html`<div class="loading" role="status"><span class="loading-bar" aria-hidden="true"></span><span>${label} …</span></div>`;
}

/** An error with what to do about it. @param {{error: any, retry?: () => void}} props */
export function Failure({ error, retry }) {
  return html`<div class="note note-bad" role="alert">
    <${Icon} name="alert" />
    <div class="stack-tight">
      <strong>${error?.message ?? String(error)}</strong>
      ${error?.hint && html`<span>${error.hint}</span>`}
      ${retry && html`<div><button type="button" class="button button-small" onClick=${retry}>Try again</button></div>`}
    </div>
  </div>`;
}

/** Nothing is there, and why. @param {{title: string, children?: any}} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

/** A document that is being read: its state while there is none, else its children. */
export function Reading({ state, label, children }) {
  if (state.data) return html`${state.error && html`<${Failure} error=${state.error} retry=${state.reload} />`}${children(state.data)}`;
  if (state.error) return html`<${Failure} error=${state.error} retry=${state.reload} />`;
  return html`<${Loading} label=${label} />`;
}

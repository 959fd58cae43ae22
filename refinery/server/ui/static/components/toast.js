/** Short messages at the edge of the page, read out by screen readers; and silent announcements. */
import { html, useEffect, useState } from "../html.js";
import { Icon } from "./icon.js";

const EVENT = "refinery:toast";
const SHOWN_MS = 6000;
let last = 0;

function say(kind, text, hint = "") {
  window.dispatchEvent(new CustomEvent(EVENT, { detail: { id: (last += 1), kind, text, hint } }));
}

export const toast = {
  /** Something was done. */
  done: (text) => say("done", text),
  /** Something is worth knowing. */
  note: (text) => say("note", text),
  /** Something failed: an `ApiError` or any error; stays until closed. */
  failure: (error) => say("failure", error?.message ?? String(error), error?.hint ?? ""),
};

/** Tell screen readers only, e.g. how many results a filter leaves. */
export const announce = (text) => say("silent", text);

export function Toasts() {
  const [shown, setShown] = useState([]);
  const [spoken, setSpoken] = useState("");
  const close = (id) => setShown((all) => all.filter((one) => one.id !== id));
  useEffect(() => {
    const add = ({ detail }) => {
      if (detail.kind === "silent") return setSpoken(detail.text);
      setShown((all) => [...all.slice(-3), detail]);
      if (detail.kind !== "failure") setTimeout(close, SHOWN_MS, detail.id);
      return undefined;
    };
    window.addEventListener(EVENT, add);
    return () => window.removeEventListener(EVENT, add);
  }, []);
  return html`
    <div class="visually-hidden" role="status" aria-live="polite">${spoken}</div>
    <div class="toasts" role="status" aria-live="polite">
      ${shown.map((one) => html`<div key=${one.id} class=${`toast toast-${one.kind}`}>
        <${Icon} name=${one.kind === "failure" ? "alert" : "check"} />
        <p>${one.text}${one.hint && html`<br /><span class="muted">${one.hint}</span>`}</p>
        <button type="button" class="icon-button" aria-label="Close this message" onClick=${() => close(one.id)}><${Icon} name="cross" /></button>
      </div>`)}
    </div>`;
}

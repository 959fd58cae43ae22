/** A button that puts a text on the clipboard. */
import { html, useState } from "../html.js";
import { toast } from "./toast.js";
import { Icon } from "./icon.js";

/** @param {{text: string | (() => string), label: string, children?: any, icon?: string}} props */
export function Copy({ text, label, children, icon = "copy" }) {
  const [done, setDone] = useState(false);
  const copy = async (event) => {
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      setDone(true);
      setTimeout(setDone, 1500, false);
      toast.done("Copied");
    } catch {
      toast.failure(new Error("The browser does not let this page use the clipboard."));
    }
  };
  return html`<button type="button" class=${children ? "button button-small" : "icon-button icon-button-small"}
    aria-label=${children ? undefined : label} title=${label} onClick=${copy}>
    <${Icon} name=${done ? "check" : icon} />${children}
  </button>`;
}

/** The list of keys that act on the page in view, and the switch for single letters. */
import { html, useEffect, useRef, useState } from "../html.js";
import { activeKeys, enableKeys, keysEnabled, onKeysChanged } from "../keys.js";
import { Icon } from "./icon.js";

const SHOW = "refinery:keyboard-help";
const NAMES = { " ": "Space", ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→" };

/** Open the help. */
export const showKeyboardHelp = () => window.dispatchEvent(new Event(SHOW));

export function KeyboardHelp() {
  const dialog = useRef(null);
  const [keys, setKeys] = useState([]);
  const [on, setOn] = useState(keysEnabled());
  useEffect(() => {
    const list = () => setKeys(activeKeys());
    const show = () => { list(); dialog.current.showModal(); };
    window.addEventListener(SHOW, show);
    // The page below may still be on its way when the help is opened.
    const stop = onKeysChanged(() => dialog.current?.open && list());
    return () => { window.removeEventListener(SHOW, show); stop(); };
  }, []);
  const toggle = (event) => { enableKeys(event.target.checked); setOn(event.target.checked); };
  return html`
    <dialog class="dialog" ref=${dialog} aria-labelledby="keyboard-help-title"
      onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id="keyboard-help-title">Keyboard</h2>
          <button type="button" class="icon-button" aria-label="Close" onClick=${() => dialog.current.close()}><${Icon} name="cross" /></button>
        </div>
        <dl class="keys">
          <div><dt><kbd>Tab</kbd></dt><dd>Next control</dd></div>
          ${keys.map(({ key, label }) => html`<div key=${key + label}><dt><kbd>${NAMES[key] ?? key}</kbd></dt><dd>${label}</dd></div>`)}
          <div><dt><kbd>Esc</kbd></dt><dd>Leave a field, close a dialog</dd></div>
        </dl>
        <label class="check"><input type="checkbox" checked=${on} onChange=${toggle} /> Single letters act</label>
      </div>
    </dialog>`;
}

/**
 * Keys of the page in view, listed in the keyboard help.
 *
 * Single letters act only while no field has the focus, and can be switched off as a whole
 * (WCAG 2.1.4, "Character Key Shortcuts").
 */
import { useLayoutEffect, useRef } from "./html.js";

const STORED = "refinery-keys";
const CHANGED = "refinery:keys-changed";
/** Sets of keys in the order their components were mounted; later ones win. */
const active = new Set();

/** Whether single letters act. */
export function keysEnabled() {
  try { return localStorage.getItem(STORED) !== "off"; } catch { return true; }
}

/** Switch single letters on or off, for this browser. */
export function enableKeys(on) {
  try { localStorage.setItem(STORED, on ? "on" : "off"); } catch { /* storage is forbidden */ }
}

/** What the keys of the page in view do: `[{key, label}]`. */
export function activeKeys() {
  return [...active].flatMap((set) => set.current.filter((entry) => entry.label));
}

/** Call `listener` whenever other keys act, until the function that is returned is called. */
export function onKeysChanged(listener) {
  window.addEventListener(CHANGED, listener);
  return () => window.removeEventListener(CHANGED, listener);
}

const change = () => window.dispatchEvent(new Event(CHANGED));

/**
 * Let keys act while the component is in view.
 * @param {{key: string, label?: string, run: (event: KeyboardEvent) => void}[]} entries
 *   `key` as in `KeyboardEvent.key`; without a `label` it is not listed in the help
 */
export function useKeys(entries) {
  const held = useRef(entries);
  held.current = entries;
  // Before the page is painted: what can be seen can be used.
  useLayoutEffect(() => {
    active.add(held);
    change();
    return () => { active.delete(held); change(); };
  }, []);
}

function isTyping(target) {
  return target instanceof HTMLElement &&
    (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName));
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key.length === 1 && !keysEnabled()) return;
  for (const set of [...active].reverse()) {
    const entry = set.current.find(({ key }) => key === event.key);
    if (!entry) continue;
    event.preventDefault();
    entry.run(event);
    return;
  }
});

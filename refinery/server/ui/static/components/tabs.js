/** Tabs by the pattern of the ARIA Authoring Practices: arrows move, Tab leaves. */
import { html, useId, useRef } from "../html.js";

/**
 * @param {{
 *   label: string,
 *   tabs: {id: string, label: any, count?: number, render: () => any}[],
 *   chosen: string,
 *   choose: (id: string) => void,
 * }} props only the chosen tab is rendered
 */
export function Tabs({ label, tabs, chosen, choose }) {
  const base = useId();
  const list = useRef(null);
  const index = Math.max(0, tabs.findIndex(({ id }) => id === chosen));
  const move = (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -index, End: tabs.length - 1 - index };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = (index + steps[event.key] + tabs.length) % tabs.length;
    choose(tabs[next].id);
    list.current.children[next].focus();
  };
  const tab = tabs[index];
  return html`
    <div class="tabs" role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>
      ${tabs.map(({ id, label: text, count }, at) => html`<button key=${id} type="button" role="tab" class="tab"
        id=${`${base}-${id}`} aria-selected=${String(at === index)} aria-controls=${`${base}-panel`}
        tabindex=${at === index ? 0 : -1} onClick=${() => choose(id)}>
        ${text}${count === undefined ? null : html`<span class="tab-count">${count}</span>`}
      </button>`)}
    </div>
    <div role="tabpanel" id=${`${base}-panel`} aria-labelledby=${`${base}-${tab.id}`} tabindex="0" class="tab-panel">
      ${tab.render()}
    </div>`;
}

/** A page's heading, way back, actions and title; takes the focus after a change of page. */
import { html, useEffect, useRef } from "../html.js";
import { takeMoved } from "../location.js";

/**
 * @param {{
 *   title: string,
 *   heading?: any,
 *   crumbs?: [string, string][],
 *   actions?: any,
 *   wide?: boolean,
 *   children?: any,
 * }} props `heading` replaces the title in the heading; `crumbs` are label and address of the
 *   pages above; `wide` uses the whole width of the window
 */
export function Page({ title, heading, crumbs = [], actions, wide = false, children }) {
  const element = useRef(null);
  useEffect(() => {
    if (!takeMoved()) return;
    window.scrollTo(0, 0);
    element.current?.focus({ preventScroll: true });
  }, []);
  useEffect(() => { document.title = `${title} · Refinery`; }, [title]);
  return html`
    <div class=${wide ? "page page-wide" : "page"}>
      <div class="page-head">
        <div class="page-title">
          ${crumbs.length > 0 && html`<nav aria-label="Way back" class="crumbs">
            ${crumbs.map(([label, href]) => html`<a href=${href}>${label}</a><span aria-hidden="true">/</span>`)}
          </nav>`}
          <h1 tabindex="-1" ref=${element}>${heading ?? title}</h1>
        </div>
        ${actions && html`<div class="page-actions">${actions}</div>`}
      </div>
      ${children}
    </div>`;
}

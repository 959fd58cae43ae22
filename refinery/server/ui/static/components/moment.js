/** A moment in the reader's time; the whole of it, with its zone and in UTC, on pointing at it. */
import { html } from "../html.js";
import { inFull, iso, moment } from "../format.js";

/** @param {{ms: number|null}} props milliseconds, UTC */
export function Moment({ ms }) {
  return html`<time datetime=${iso(ms) || undefined} title=${inFull(ms) || undefined}>${moment(ms)}</time>`;
}

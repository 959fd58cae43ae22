/** Small line drawings, drawn with the colour of the text around them. */
import { html } from "../html.js";

const PATHS = {
  sun: "M8 1.500v1.500M8 13v1.500M1.500 8H3M13 8h1.500M3.400 3.400l1.100 1.100M11.500 11.500l1.100 1.100M3.400 12.600l1.100-1.100M11.500 4.500l1.100-1.100M8 5.200a2.800 2.800 0 1 0 0 5.600 2.800 2.800 0 0 0 0-5.600z",
  moon: "M13.500 9.600A5.800 5.800 0 0 1 6.400 2.500a5.800 5.800 0 1 0 7.100 7.100z",
  keyboard: "M2 4.500h12a.8.8 0 0 1 .8.8v5.400a.8.8 0 0 1-.8.8H2a.8.8 0 0 1-.8-.8V5.300a.8.8 0 0 1 .8-.8zM4 7h.01M6.700 7h.01M9.300 7h.01M12 7h.01M5 9.300h6",
  copy: "M5.500 5.500h7.500v8H5.500zM3.500 10.500H3v-8h7.500v.5",
  check: "M3 8.500l3.200 3.200L13 4.800",
  cross: "M4 4l8 8M12 4l-8 8",
  chevron: "M6 4l4 4-4 4",
  search: "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.400 10.400l3.100 3.100",
  alert: "M8 2.500l6 10.500H2zM8 6.500v3M8 11.300v.01",
  spark: "M8 2v3.500M8 10.500V14M2 8h3.500M10.500 8H14M4.200 4.200l2 2M9.800 9.800l2 2M4.200 11.800l2-2M9.800 6.200l2-2",
  link: "M6.800 9.200l2.400-2.400M7.300 4.700l1.200-1.200a2.800 2.800 0 0 1 4 4l-1.200 1.200M8.700 11.300l-1.200 1.200a2.800 2.800 0 0 1-4-4l1.200-1.200",
  download: "M8 2.500v7.500M5 7.200l3 3 3-3M3 13h10",
  play: "M5 3.500v9l7.500-4.500z",
  flag: "M4 14V2.500M4 3h8l-1.800 2.800L12 8.500H4",
};

/** @param {{name: keyof PATHS, label?: string}} props without a label it is decoration */
export function Icon({ name, label }) {
  return html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none"
    stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round"
    role=${label ? "img" : undefined} aria-label=${label} aria-hidden=${label ? undefined : "true"}>
    <path d=${PATHS[name]} />
  </svg>`;
}

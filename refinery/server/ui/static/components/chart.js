/** A chart over time, drawn by uPlot in the colours of the theme, with its figures as a table. */
import { html, useEffect, useRef, useState } from "../html.js";
import { rounded } from "../format.js";
import { Moment } from "./moment.js";

const HEIGHT_PX = 190;
const STYLES = "/ui/static/vendor/uplot.css";

/**
 * @param {{
 *   title: string,
 *   times: number[],
 *   series: {label: string, values: (number|null)[], color: string, bars?: boolean, dashed?: boolean}[],
 *   format: (value: number) => string,
 *   steps?: "whole"|"time",
 *   width?: number,
 * }} props `steps` of the upright axis: whole numbers, or round times where the values are milliseconds;
 *   `times` are the middles of spans of `width` milliseconds; `color` is the name of a token, e.g. `--accent`;
 *   `dashed` lets a line be seen under another one of the same values
 */
export function Chart({ title, times, series, format, steps, width: span = 0 }) {
  const place = useRef(null);
  const theme = useTheme();
  const data = JSON.stringify([times, series.map((one) => one.values)]);
  useEffect(() => {
    let plot = null;
    let observer = null;
    let isGone = false;
    ensureStyles();
    import("../vendor/uplot.js").then(({ default: UPlot }) => {
      if (isGone || !place.current) return;
      const width = () => Math.max(120, place.current?.clientWidth ?? 120);
      plot = new UPlot(options(UPlot, { width: width(), times, series, format, steps, span }), [times.map((ms) => ms / 1000), ...series.map((one) => one.values)], place.current);
      observer = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT_PX }));
      observer.observe(place.current);
    });
    return () => {
      isGone = true;
      observer?.disconnect();
      plot?.destroy();
    };
  }, [data, theme]);
  return html`<figure class="panel chart">
    <figcaption><h3>${title}</h3><span class="chart-legend">${series.map((one) => html`<span key=${one.label} class="legend-item"><span class=${`legend-mark legend${one.color}${one.dashed ? " legend-dashed" : ""}`} aria-hidden="true"></span>${one.label}</span>`)}</span></figcaption>
    <div ref=${place} class="chart-plot" role="img" aria-label=${`${title} over time; the figures are in the table below`}></div>
    <details><summary class="muted">As a table</summary><${Figures} title=${title} times=${times} span=${span} series=${series} format=${format} /></details>
  </figure>`;
}

function Figures({ title, times, span, series, format }) {
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label=${`${title}, figures`}><table class="table">
    <thead><tr><th scope="col">From</th>${series.map((one) => html`<th key=${one.label} scope="col" class="numeric">${one.label}</th>`)}</tr></thead>
    <tbody>${times.map((ms, at) => html`<tr key=${ms}><th scope="row"><${Moment} ms=${ms - span / 2} /></th>${series.map((one) => html`<td key=${one.label} class="numeric">${format(one.values[at])}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** The theme in use; changes when the reader or the system changes it. */
function useTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const read = () => `${document.documentElement.dataset.theme ?? ""} ${dark.matches}`;
  const [theme, setTheme] = useState(read);
  useEffect(() => {
    const follow = () => setTheme(read());
    const observer = new MutationObserver(follow);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    dark.addEventListener("change", follow);
    return () => { observer.disconnect(); dark.removeEventListener("change", follow); };
  }, []);
  return theme;
}

function ensureStyles() {
  if (document.querySelector(`link[href="${STYLES}"]`)) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: STYLES }));
}

/** From the beginning of the first span to the end of the last, so that the outer bars are whole. Seconds. */
function bounds(times, span) {
  const half = Math.max(1, span / 2000);
  return [times[0] / 1000 - half, times.at(-1) / 1000 + half];
}

/** Steps of an axis, by what it tells: there is no half a trace, and 13 min 20 s is no round time. */
const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((factor) => factor * 10 ** power));
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const TIME = [
  ...[0.001, 0.01, 0.1, 1, 10, 100].flatMap((ms) => [ms, 2 * ms, 5 * ms]),
  ...[1, 2, 5, 10, 15, 30].flatMap((number) => [number * 1000, number * 60_000]),
  ...[1, 2, 3, 6, 12, 24, 48, 120, 240, 480].map((hours) => hours * HOUR_MS),
].sort((one, other) => one - other);
const STEPS = { whole: WHOLE, time: TIME };
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric" });

/** A moment as the axis tells it: the clock within two days, the day within 300, else month and year. */
function shortMoment(ms, times) {
  const range = times.at(-1) - times[0];
  if (range < 2 * DAY_MS) return times.length > 1 && new Date(ms).getHours() + new Date(ms).getMinutes() > 0 ? CLOCK.format(ms) : `${DATE.format(ms)}, ${CLOCK.format(ms)}`;
  return (range < 300 * DAY_MS ? DATE : MONTH).format(ms);
}

/** A token's colour as the canvas takes it. */
function colorOf(token) {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.style.color = `var(${token})`;
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

function options(UPlot, { width, times, series, format, steps, span }) {
  const grid = { stroke: colorOf("--line"), width: 1 };
  const axis = { stroke: colorOf("--text-muted"), grid, ticks: { show: false }, font: '11px "Inter", sans-serif' };
  return {
    width, height: HEIGHT_PX, legend: { show: false }, padding: [8, 22, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true, range: () => bounds(times, span) }, y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [{ ...axis, space: 80, size: 30, ...(times.length === 1 ? { splits: () => [times[0] / 1000] } : {}), values: (_plot, splits) => splits.map((at) => shortMoment(at * 1000, times)) }, { ...axis, size: 62, ...(steps ? { incrs: STEPS[steps] } : {}), values: (_plot, values) => values.map((value) => rounded(format(value))) }],
    series: [{}, ...series.map((one) => ({
      label: one.label, stroke: colorOf(one.color), width: 2, spanGaps: false, points: { show: !one.bars, size: 6, fill: colorOf(one.color) },
      ...(one.dashed ? { dash: [4, 4] } : {}),
      ...(one.bars ? { fill: colorOf(one.color), paths: UPlot.paths.bars({ size: [0.7, 40] }), width: 0 } : {}),
    }))],
  };
}

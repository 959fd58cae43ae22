/** Numbers, times and texts as people read them; "–" for what is not known. */

export const UNKNOWN = "–";
const NUMBER = new Intl.NumberFormat("en-GB");
const COMPACT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });
const MONEY = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const YEAR = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A whole number with separators: `12,345`. */
export const count = (value) => (isNumber(value) ? NUMBER.format(value) : UNKNOWN);

/** A number in little room: `12.3k`, `4.5M`; a small `m` would be a thousandth. */
export const compact = (value) => (isNumber(value) ? COMPACT.format(value).replace("K", "k").replace("m", "M") : UNKNOWN);

/** Milliseconds as `0.4 ms`, `320 ms`, `1.24 s`, `3 min 05 s`, `2 h 10 min`. */
export function duration(ms) {
  if (!isNumber(ms)) return UNKNOWN;
  if (ms < 0) return `−${duration(-ms)}`; // Clocks of two machines differ, or one was set back.
  if (ms < 1) return `${ms === 0 ? 0 : ms.toFixed(2)} ms`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** A figure without the digits a round value does not need: `5.00 s` is `5 s`, `30 min 00 s` is `30 min`. */
export const rounded = (text) => text.replace(/ min 00 s$/, " min").replace(/ h 0 min$/, " h").replace(/\.0+(?=\D|$)/, "").replace(/(\.\d*[1-9])0+(?=\D|$)/, "$1");

/** US dollars, with as many digits as small sums need. */
export function cost(usd) {
  const value = typeof usd === "string" ? Number(usd) : usd;
  if (!isNumber(value)) return UNKNOWN;
  if (value === 0) return "$0";
  if (value < 0.0001) return "< $0.0001";
  if (value >= 1000) return `$${MONEY.format(value)}`;
  return `$${value.toFixed(value < 0.01 ? 4 : value < 1 ? 3 : 2)}`;
}

/** Bytes as `312 B`, `4.2 kB`, `10.0 MB`. */
export function bytes(value) {
  if (!isNumber(value)) return UNKNOWN;
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} kB`;
  return `${(value / 1e6).toFixed(1)} MB`;
}

/** A share of 1 as per cent: `12.5 %`; what is more than none or less than all is never told as that. */
export function percent(value) {
  if (!isNumber(value)) return UNKNOWN;
  const points = value * 100;
  if (points > 0 && points < 0.1) return "< 0.1 %";
  if (points < 100 && points >= 99.5) return "> 99 %";
  return `${points === 0 || points >= 10 ? Math.round(points) : points.toFixed(1)} %`;
}

/** A moment in local time: the clock today, day and clock this year, else the year too. */
export function moment(ms, now = Date.now()) {
  if (!isNumber(ms)) return UNKNOWN;
  const then = new Date(ms);
  const today = new Date(now);
  if (Number.isNaN(then.getTime())) return UNKNOWN;
  if (then.toDateString() === today.toDateString()) return CLOCK.format(then);
  const day = then.getFullYear() === today.getFullYear() ? DAY.format(then) : YEAR.format(then);
  return `${day}, ${CLOCK.format(then)}`;
}

/** How long ago, in one unit: `5 s`, `3 min`, `2 h`, `4 d`. */
export function ago(ms, now = Date.now()) {
  if (!isNumber(ms)) return UNKNOWN;
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** The reader's zone, in which all times are told: `Europe/Zurich`. */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";

/** A moment in full, its zone named: `28 May 2026, 22:26:40 GMT+2 (2026-05-28T20:26:40.000Z)`. */
export function inFull(ms) {
  const utc = iso(ms);
  return utc && `${FULL.format(new Date(ms))} (${utc})`;
}

/** The moment for programs: ISO 8601, UTC; empty when it is none. */
export function iso(ms) {
  const then = new Date(isNumber(ms) ? ms : NaN);
  return Number.isNaN(then.getTime()) ? "" : then.toISOString();
}

/** The first characters of an id, enough to tell it from its neighbours. */
export const shortId = (id) => (id.length > 12 ? id.slice(0, 8) : id);

/** `1 run`, `2 runs`. */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

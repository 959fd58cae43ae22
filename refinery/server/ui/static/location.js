/**
 * Where the browser is, and how to go elsewhere: the history API behind two functions and a hook.
 *
 * Every filter and every selection lives in the URL, so that a link shows what its sender saw.
 */
import { useEffect, useMemo, useState } from "./html.js";

export const BASE = "/ui";
const CHANGED = "refinery:location";

/** Whether the page in view was reached by a link or key, not by loading the document. */
let moved = false;

/**
 * Go to a path below `/ui`, with its query.
 * @param {string} url e.g. `/ui/traces/123?run=456`
 * @param {{replace?: boolean}} [options] `replace`: no new entry in the history
 */
export function navigate(url, { replace = false } = {}) {
  const samePath = new URL(url, location.href).pathname === location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  if (!samePath) moved = true;
  window.dispatchEvent(new Event(CHANGED));
}

/** True once after each change of page; the new page's heading then takes the focus. */
export function takeMoved() {
  const was = moved;
  moved = false;
  return was;
}

/**
 * A path with a query; absent, empty and false values are left out.
 * @param {string} path
 * @param {Object<string, string|number|boolean|null|undefined>} [query]
 */
export function link(path, query = {}) {
  const kept = Object.entries(query).filter(([, v]) => v !== null && v !== undefined && v !== "" && v !== false);
  const text = new URLSearchParams(kept.map(([k, v]) => [k, String(v)])).toString();
  return BASE + path + (text ? `?${text}` : "");
}

/** The address of a trace's page, with a run of it selected when `run` is given. */
export const traceLink = (trace, run) => link(`/traces/${encodeURIComponent(trace)}`, { run });

/** The address of a run's own page. */
export const runLink = (trace, run) =>
  link(`/traces/${encodeURIComponent(trace)}/runs/${encodeURIComponent(run)}`);

/** The current path without `/ui`, and the query as an object; follows every change. */
export function useLocation() {
  const [href, setHref] = useState(location.href);
  useEffect(() => {
    const follow = () => setHref(location.href);
    const back = () => { moved = true; follow(); };
    window.addEventListener(CHANGED, follow);
    window.addEventListener("popstate", back);
    return () => {
      window.removeEventListener(CHANGED, follow);
      window.removeEventListener("popstate", back);
    };
  }, []);
  return useMemo(() => {
    const url = new URL(href);
    const path = url.pathname.startsWith(BASE) ? url.pathname.slice(BASE.length) : url.pathname;
    return { path: path || "/", query: Object.fromEntries(url.searchParams) };
  }, [href]);
}

/**
 * The query and a function that changes some of it and keeps the rest.
 * @returns {[Object<string, string>, (change: Object, options?: {replace?: boolean}) => void]}
 */
export function useQuery() {
  const { path, query } = useLocation();
  const change = (part, options) => navigate(link(path, { ...query, ...part }), options);
  return [query, change];
}

/** Let plain clicks on links below `/ui` change the page without loading the document anew. */
export function followLinks() {
  document.addEventListener("click", (event) => {
    const anchor = event.target instanceof Element && event.target.closest("a[href]");
    if (!anchor || event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (anchor.target || anchor.hasAttribute("download")) return;
    const url = new URL(anchor.href, location.href);
    const isPage = url.pathname === BASE || url.pathname.startsWith(`${BASE}/`);
    if (url.origin !== location.origin || !isPage || url.hash) return;
    event.preventDefault();
    navigate(url.pathname + url.search);
  });
}

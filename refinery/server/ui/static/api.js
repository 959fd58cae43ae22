/**
 * Talks to the JSON API below `/refinery/v1`: requests, errors, the CSRF value, event streams.
 *
 * The cookie set when the page was opened lets it in. Requests that change something also carry
 * the value of `GET /session`, which no page of another origin can read.
 */
import { useCallback, useEffect, useRef, useState } from "./html.js";

export const ROOT = "/refinery/v1";
const LOST = "refinery:connection";

/** A request that was refused or failed; `hint` says what to do about it. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 when the server could not be reached
   * @param {{code?: string, message?: string, hint?: string}} detail
   */
  constructor(status, detail) {
    super(detail.message || `the server answered ${status}`);
    this.status = status;
    this.code = detail.code || "";
    this.hint = detail.hint || "";
  }
}

/** `ok`, `lost` (the server does not answer) or `denied` (no valid token). */
let connection = "ok";
let known = null;

function setConnection(state) {
  if (state === connection) return;
  connection = state;
  window.dispatchEvent(new Event(LOST));
  if (state === "lost") setTimeout(probe, 1500);
}

async function probe() {
  try {
    const answer = await fetch("/health");
    if (!answer.ok) throw new Error("not healthy");
    known = null;
    setConnection("ok");
  } catch {
    if (connection === "lost") setTimeout(probe, 1500);
  }
}

/** How the connection is; re-renders when it changes. */
export function useConnection() {
  const [state, setState] = useState(connection);
  useEffect(() => {
    const follow = () => setState(connection);
    window.addEventListener(LOST, follow);
    return () => window.removeEventListener(LOST, follow);
  }, []);
  return state;
}

/** `{csrf, version, repository, has_model, has_meaning, store, scope}`; asked once. */
export function session() {
  known ??= get("/session").catch((error) => { known = null; throw error; });
  return known;
}

/**
 * Read a document.
 * @param {string} path below `/refinery/v1`, e.g. `/traces`
 * @param {Object} [query] absent and empty values are left out
 * @param {AbortSignal} [signal]
 */
export function get(path, query = {}, signal) {
  return request("GET", path + queryText(query), { signal });
}

/** Change something: `send("POST", "/jobs", {…})`; answers the document, null for 204. */
export async function send(method, path, body) {
  const { csrf } = await session();
  try {
    return await request(method, path, { body, csrf });
  } catch (error) {
    if (error.status !== 403 || !/csrf/i.test(error.code + error.message)) throw error;
    known = null; // The server was restarted since: its value is another one now.
    return request(method, path, { body, csrf: (await session()).csrf });
  }
}

/**
 * Follow a stream of server-sent events until `close()` of the answer is called.
 * @param {string} path below `/refinery/v1`
 * @param {Object<string, (document: any) => void>} handlers by event name; `error` without one
 */
export function events(path, handlers) {
  const source = new EventSource(ROOT + path, { withCredentials: true });
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => {
      if (event.data === undefined) return handle(null);
      try { return handle(JSON.parse(event.data)); } catch { return handle(event.data); }
    });
  }
  return source;
}

/** The address of a document, for links that download it. */
export const address = (path, query = {}) => ROOT + path + queryText(query);

function queryText(query) {
  const kept = Object.entries(query).filter(([, v]) => v !== null && v !== undefined && v !== "");
  const text = new URLSearchParams(kept.map(([k, v]) => [k, String(v)])).toString();
  return text && `?${text}`;
}

async function request(method, path, { body, csrf, signal } = {}) {
  const headers = { accept: "application/json" };
  if (csrf) headers["x-refinery-csrf"] = csrf;
  if (method !== "GET") headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(ROOT + path, {
      method, headers, signal, credentials: "same-origin",
      body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setConnection("lost");
    throw new ApiError(0, { message: "The server does not answer.", hint: "Is `refinery serve` still running?" });
  }
  setConnection(answer.status === 401 ? "denied" : "ok");
  if (answer.status === 204) return null;
  const document = await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(answer.status, detailOf(document));
  return document;
}

function detailOf(document) {
  if (document?.error && typeof document.error === "object") return document.error;
  return { message: typeof document?.detail === "string" ? document.detail : "" };
}

/**
 * Read a document and keep it: `{data, error, loading, reload}`.
 *
 * A new path or query aborts the request under way; the old data stay in view until the new
 * arrive. With `everyMs` it is read again after that many milliseconds while the tab is visible,
 * and once when the server is back.
 * @param {string|null} path null: nothing is read
 */
export function useData(path, query = {}, { everyMs = 0 } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  const key = path === null ? null : path + queryText(query);
  const shown = useRef(null);
  const online = useConnection();
  useEffect(() => {
    if (key === null) return setState({ data: null, error: null, loading: false });
    const abort = new AbortController();
    const isSame = shown.current === path;
    setState((old) => ({ data: isSame ? old.data : null, error: isSame ? old.error : null, loading: true }));
    shown.current = path;
    request("GET", key, { signal: abort.signal }).then(
      (data) => setState({ data, error: null, loading: false }),
      (error) => error.name !== "AbortError" &&
        setState((old) => ({ data: error.status === 0 ? old.data : null, error, loading: false })),
    );
    return () => abort.abort();
  }, [key, round, online === "ok"]);
  useEffect(() => {
    if (!everyMs || key === null) return undefined;
    const timer = setInterval(() => document.visibilityState === "visible" && reload(), everyMs);
    return () => clearInterval(timer);
  }, [key, everyMs]);
  return { ...state, reload };
}

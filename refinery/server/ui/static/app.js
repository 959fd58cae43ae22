/**
 * The frame of the pages: header, routes, theme, keyboard help, what to show when a page fails.
 *
 * How to add a page
 * -----------------
 * 1. Write `pages/<name>.js` with a default export, a Preact component that gets
 *    `{params, query}`: the named parts of its path and the query of the URL as strings.
 *    It is loaded when first visited, so a page costs the others nothing.
 * 2. Its outermost element is `<${Page} title="…" crumbs=${[["Traces", "/ui/"]]} actions=${…}>`
 *    from `components/page.js`: the heading, the document's title and the focus after a change
 *    of page come from there.
 * 3. Give it a line in `ROUTES` below, and one in `NAVIGATION` if it is reached from anywhere.
 * 4. Read with `useData(path, query)` of `api.js`: it returns `{data, error, loading, reload}`;
 *    show `<${Loading}/>`, `<${Failure} error=${error} retry=${reload}/>` (`components/states.js`).
 *    Change something with `send("POST", path, body)`: it carries the CSRF value; catch
 *    `ApiError` and hand it to `toast.failure(error)` (`components/toast.js`). Streams: `events`.
 * 5. Keep filters and selections in the URL: `const [query, change] = useQuery()` (`location.js`).
 *    Link with `traceLink(trace, run)`, `runLink(…)`, `link("/path", {query})`; plain `<a href>`.
 * 6. Text of a trace goes into a template as it is (`${text}` is a text node), longer or untrusted
 *    text through `<${Text} value=…/>` (`components/text.js`), which shows hidden characters.
 *    Never `innerHTML`, never an `href` or `src` made from a trace.
 * 7. Keys: `useKeys([{key: "j", label: "Next", run}])` (`keys.js`); they appear in the help (?).
 * 8. Looks: tokens of `css/base.css` (`--space-3`, `--text-muted`, `--ok` …) and the classes of
 *    `css/components.css` (`button`, `panel`, `stack`, `row`, `table`, `note`); own rules of the
 *    action pages go into `css/actions.css`, of the viewing pages into `css/viewing.css`.
 *    No inline style text and no `<style>`: the policy forbids both; `style=${{width: "3px"}}` is
 *    set through the DOM and allowed.
 * Shared parts: `components/` table, tabs, badge, json, diff, text, toast, states, copy, messages,
 * evaluations, confirm (a dialog that resolves to true or false).
 */
import { html, render, useEffect, useErrorBoundary, useState } from "./html.js";
import { session } from "./api.js";
import { followLinks, useLocation } from "./location.js";
import { Header } from "./components/header.js";
import { KeyboardHelp } from "./components/keyboard_help.js";
import { Page } from "./components/page.js";
import { Failure, Loading } from "./components/states.js";
import { Toasts } from "./components/toast.js";
import { ConnectionBar } from "./components/connection.js";

/**
 * Path and module: `:name` is a part, `?` after it that it may be missing, `+` that it may hold
 * slashes (ids of other makers do). The first that fits counts.
 */
const ROUTES = [
  ["/", () => import("./pages/list.js")],
  ["/traces/:trace+/runs/:run+", () => import("./pages/step.js")],
  ["/traces/:trace+", () => import("./pages/trace.js")],
  ["/compare", () => import("./pages/compare.js")],
  ["/search", () => import("./pages/search.js")],
  ["/performance", () => import("./pages/performance.js")],
  ["/whatif/:trace?/:run?", () => import("./pages/whatif.js")],
  ["/diagnosis/:trace?", () => import("./pages/diagnosis.js")],
  ["/fix/:job?", () => import("./pages/fix.js")],
  ["/guide/:session?", () => import("./pages/guide.js")],
  ["/history/:change?", () => import("./pages/history.js")],
];

const NAVIGATION = [
  ["Traces", "/ui/", /^\/($|traces)/],
  ["Compare", "/ui/compare", /^\/compare/],
  ["Search", "/ui/search", /^\/search/],
  ["Performance", "/ui/performance", /^\/performance/],
  ["Guide", "/ui/guide", /^\/guide/],
  ["Changes", "/ui/history", /^\/(history|fix)/],
];
/** What a token that reads one user's traces opens nothing of. */
const OWNERS = new Set(["Guide", "Changes"]);

const COMPILED = ROUTES.map(([path, load]) => ({ path, load, pattern: compiled(path) }));

function compiled(path) {
  const parts = path.split("/").filter(Boolean).map((part) => {
    const name = part.replace(/[:?+]/g, "");
    if (!part.startsWith(":")) return `/${part}`;
    if (part.endsWith("+")) return `/(?<${name}>.+?)`;
    return part.endsWith("?") ? `(?:/(?<${name}>[^/]+))?` : `/(?<${name}>[^/]+)`;
  });
  return new RegExp(`^${parts.join("")}/?$`);
}

function found(path) {
  for (const route of COMPILED) {
    const match = route.pattern.exec(path);
    if (match) return { route, params: decoded(match.groups ?? {}) };
  }
  return null;
}

function decoded(groups) {
  const named = Object.entries(groups).filter(([, value]) => value !== undefined);
  return Object.fromEntries(named.map(([name, value]) => {
    try { return [name, decodeURIComponent(value)]; } catch { return [name, value]; }
  }));
}

function App() {
  const { path, query } = useLocation();
  const [navigation, setNavigation] = useState(NAVIGATION);
  useEffect(() => {
    const follow = ({ scope }) =>
      scope && setNavigation(NAVIGATION.filter(([label]) => !OWNERS.has(label)));
    session().then(follow, () => {});
  }, []);
  return html`
    <a class="skip-link" href="#main">Skip to the content</a>
    <${Header} navigation=${navigation} path=${path} />
    <${ConnectionBar} />
    <main id="main" tabindex="-1">
      <${Guarded} key=${found(path)?.route.path ?? path} path=${path} query=${query} />
    </main>
    <${Toasts} />
    <${KeyboardHelp} />`;
}

/** A page, or what went wrong in it, with the frame around it still in use. */
function Guarded({ path, query }) {
  const [error, again] = useErrorBoundary((fault) => console.error(fault));
  const [module, setModule] = useState(null);
  const match = found(path);
  useEffect(() => {
    if (!match) return;
    match.route.load().then((loaded) => setModule({ View: loaded.default }),
      (fault) => setModule({ fault }));
  }, [match?.route]);
  if (!match) return html`<${NotFound} path=${path} />`;
  const fault = error ?? module?.fault;
  if (fault) {
    return html`<${Page} title="This page failed">
      <${Failure} error=${fault} retry=${() => { again(); setModule(null); location.reload(); }} />
    </${Page}>`;
  }
  if (!module) return html`<${Loading} label="Loading the page" />`;
  return html`<${module.View} params=${match.params} query=${query} />`;
}

function NotFound({ path }) {
  return html`<${Page} title="No such page">
    <p>There is nothing at <code>${path}</code>. <a href="/ui/">All traces</a></p>
  </${Page}>`;
}

followLinks();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);

/** The bar at the top: name, navigation, theme, keyboard help. */
import { html, useEffect, useRef, useState } from "../html.js";
import { session } from "../api.js";
import { ZONE } from "../format.js";
import { useKeys } from "../keys.js";
import { showKeyboardHelp } from "./keyboard_help.js";
import { Icon } from "./icon.js";

const STORED = "refinery-theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function useTheme() {
  const [isDark, setDark] = useState(current);
  useEffect(() => {
    const follow = () => setDark(current());
    systemIsDark.addEventListener("change", follow);
    return () => systemIsDark.removeEventListener("change", follow);
  }, []);
  const toggle = () => {
    const theme = current() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem(STORED, theme); } catch { /* storage is forbidden */ }
    setDark(theme === "dark");
  };
  return [isDark, toggle];
}

function current() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemIsDark.matches;
}

export function Header({ navigation, path }) {
  const [isDark, toggle] = useTheme();
  const [about, setAbout] = useState(null);
  useEffect(() => { session().then(setAbout, () => setAbout(null)); }, []);
  const nav = useRef(null);
  useEffect(() => {
    nav.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [path]);
  useKeys([
    { key: "t", label: "Light or dark", run: toggle },
    { key: "?", label: "This help", run: showKeyboardHelp },
  ]);
  return html`
    <header class="top">
      <a class="brand" href="/ui/" aria-label="Refinery, all traces">
        <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
          <rect width="32" height="32" rx="7" class="brand-mark" />
          <path d="M9 8h14l-5.2 7.2V23l-3.6 2.4V15.200z" class="brand-sign" />
        </svg>
        <span>Refinery</span>
      </a>
      <nav aria-label="Pages" class="top-nav" ref=${nav}>
        ${navigation.map(([label, href, pattern]) => html`
          <a href=${href} aria-current=${pattern.test(path) ? "page" : undefined}>${label}</a>`)}
      </nav>
      <div class="top-tools">
        ${about?.repository && html`<span class="top-about" title="The repository fixes are made in">${baseName(about.repository)}</span>`}
        <span class="top-zone" title="The zone of all times on these pages: your browser's">Times: ${ZONE.replace(/_/g, " ")}</span>
        <button type="button" class="icon-button" onClick=${toggle}
          aria-label=${isDark ? "Use the light theme" : "Use the dark theme"} title=${isDark ? "Light theme (t)" : "Dark theme (t)"}>
          <${Icon} name=${isDark ? "sun" : "moon"} />
        </button>
        <button type="button" class="icon-button" onClick=${showKeyboardHelp} aria-label="Keyboard help" title="Keyboard help (?)">
          <${Icon} name="keyboard" />
        </button>
      </div>
    </header>`;
}

const baseName = (path) => String(path).replace(/\/+$/, "").split("/").pop();

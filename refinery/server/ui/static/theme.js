// Runs before the first paint, so that a page never flashes in the other theme.
// A classic script: modules wait until the document is parsed.
(function () {
  try {
    const chosen = localStorage.getItem("refinery-theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage can be forbidden by the browser; the system's theme is used then.
  }
})();

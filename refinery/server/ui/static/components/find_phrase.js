/** The words a link was followed for: where they stand in the run, and marked where they are in view. */
import { html, useEffect, useRef, useState } from "../html.js";
import { phraseIn } from "./phrase.js";
import { visible } from "./text.js";

const NAME = "quoted";
const MOST_MARKS = 200;
const MOST_NODES = 20_000;

/** @param {{run: Object, phrase?: string, where?: string}} props nothing without a `phrase` */
export function FindPhrase({ run, phrase, where }) {
  if (!phrase) return null;
  return html`<${Found} run=${run} phrase=${phrase} where=${where} />`;
}

function Found({ run, phrase, where }) {
  const element = useRef(null);
  const [marks, setMarks] = useState(0);
  const place = phraseIn(run, { quote: phrase, where });
  useEffect(() => {
    const page = element.current.closest(".page");
    const look = () => setMarks(marked(page, phrase, element.current));
    look();
    const observer = new MutationObserver(look);
    observer.observe(page, { childList: true, subtree: true });
    return () => { observer.disconnect(); globalThis.CSS?.highlights?.delete(NAME); };
  }, [run.run_id, phrase]);
  useEffect(() => { element.current.scrollIntoView({ block: "nearest" }); }, [phrase]);
  return html`<section class="panel quoted" ref=${element} aria-label="The quoted words">
    <div class="panel-body stack-tight">
      ${place
        ? html`<div class="muted">The quoted words stand in <code>${visible(place.path)}</code>${marks > 0 ? ", marked below where they are in view." : "."}</div>
          <${PhrasePlace} place=${place} />`
        : html`<p>The quoted words were not found in the parts of this run that are shown. They may stand in a part that is too long; see Raw.</p>`}
    </div>
  </section>`;
}

/** The text around a phrase, the phrase marked. */
export function PhrasePlace({ place }) {
  return html`<div class="text">${place.isCutBefore ? "… " : ""}${visible(place.before)}<mark>${visible(place.phrase)}</mark>${visible(place.after)}${place.isCutAfter ? " …" : ""}</div>`;
}

/** Mark every place of a phrase on the page without touching its elements; how many there are. */
function marked(page, phrase, except) {
  if (!globalThis.CSS?.highlights) return 0;
  const walker = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
  const ranges = [];
  for (let looked = 0; looked < MOST_NODES && ranges.length < MOST_MARKS && walker.nextNode(); looked += 1) {
    const node = walker.currentNode;
    if (except.contains(node)) continue;
    for (let at = node.data.indexOf(phrase); at >= 0 && ranges.length < MOST_MARKS; at = node.data.indexOf(phrase, at + 1)) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + phrase.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set(NAME, new Highlight(...ranges));
  return ranges.length;
}

/** One page of the guide: what is said, the conversation, before and after, and the answer. */
import { html, useId, useRef, useState } from "../html.js";
import { useData } from "../api.js";
import { Icon } from "./icon.js";
import { Text, visible } from "./text.js";
import { wordChanges } from "../difference.js";

/** The way of a session in five parts, and the pages of each. */
const PARTS = [
  ["What went wrong", ["pick", "mark", "wrong"]],
  ["What would be right", ["right", "confirm", "clash", "similar", "scope", "condition"]],
  ["The cause", ["look", "cause"]],
  ["A fix, tried out", ["fix", "try", "proof"]],
  ["In effect", ["keep", "done"]],
];
/** What the terminal says of typing; the page has buttons for it. */
const TYPED = /^To take the fix out again, type: /;

/**
 * @param {{document: Object, answer: (text: string) => Promise<void>, takeOut: () => void, children?: any}} props
 *   `document`: the session with its page; `takeOut` begins to take a fix out; `children`: what works meanwhile
 */
export function GuidePage({ document, answer, takeOut, children }) {
  const { page, remark } = document;
  return html`<div class="stack guide" data-step=${page.step}>
    <${Way} step=${page.step} />
    ${remark && html`<div class="note note-warn" role="status"><${Icon} name="alert" /><span>${visible(remark)}</span></div>`}
    ${page.said.filter((said) => !TYPED.test(said)).map((said, at) => html`<p key=${at}>${visible(said)}</p>`)}
    ${page.lines.length > 0 && html`<${Conversation} lines=${page.lines} answer=${page.kind === "ask" ? answer : null} />`}
    ${page.quotes.map((quote, at) => html`<blockquote key=${at} class="guide-quote"><${Text} value=${quote} /></blockquote>`)}
    ${page.pairs.length > 0 && html`<${Pairs} pairs=${page.pairs} />`}
    ${children}
    ${page.kind === "ask" && html`<${Question} page=${page} answer=${answer} />`}
    ${page.kind === "end" && html`<div class="row"><a class="button button-primary" href="/ui/guide">Mend another answer</a>${page.step === "done" && html`<button type="button" class="button" onClick=${takeOut}>Take a fix out again …</button>`}<a class="button" href="/ui/history">All changes</a></div>`}
    ${page.details.length > 0 && html`<details class="fold"><summary>Details for an engineer</summary>
      <div class="fold-body stack-tight">${page.details.map((line, at) => html`<div key=${at} class="text text-mono"><${Text} value=${line} /></div>`)}</div></details>`}
    ${page.kind !== "end" && html`<${Meaning} />`}
  </div>`;
}

/** Where on the way this page lies; nothing for pages beside it, such as taking a fix out. */
function Way({ step }) {
  const at = PARTS.findIndex(([, steps]) => steps.includes(step));
  if (at < 0) return null;
  return html`<ol class="guide-way" aria-label=${`Part ${at + 1} of ${PARTS.length}`}>${PARTS.map(([name], part) => html`
    <li key=${name} class=${part < at ? "guide-part is-past" : "guide-part"} aria-current=${part === at ? "step" : undefined}>${name}</li>`)}</ol>`;
}

/** Who said what; a line with a number can be chosen. */
function Conversation({ lines, answer }) {
  return html`<ol class="guide-lines" aria-label="The conversation">${lines.map((line, at) => html`
    <li key=${at} class=${`guide-line guide-line-${line.who === "Customer" ? "in" : line.who === "Agent" ? "out" : "did"}${line.is_marked ? " guide-line-marked" : ""}`}>
      <span class="guide-who">${line.who}${line.is_marked ? " · marked as wrong" : ""}</span>
      <div><${Text} value=${line.text} /></div>
      ${answer && line.number !== null && html`<button type="button" class="button button-small" onClick=${() => answer(String(line.number))}
        aria-label=${`This is wrong: line ${line.number}`}>This is wrong</button>`}
    </li>`)}</ol>`;
}

/** Answers before and after, as they were measured; the words that differ are marked. */
function Pairs({ pairs }) {
  return html`<div class="table-scroll"><table class="table guide-pairs"><caption class="visually-hidden">Answers before and after</caption>
    <thead><tr><th scope="col">When asked</th><th scope="col">The agent says now</th><th scope="col">It says with the fix</th></tr></thead>
    <tbody>${pairs.map((pair, at) => html`<tr key=${at}>
      <td data-label="When asked"><${Text} value=${pair.asked} /></td>
      <td data-label="The agent says now"><${Words} pair=${pair} kept="remove" /></td>
      <td data-label="It says with the fix"><${Words} pair=${pair} kept="add" />${pair.before === pair.after && html`<span class="muted">No difference</span>`}</td></tr>`)}</tbody>
  </table></div>`;
}

/** Longer answers are shown as they are: words marked all over help nobody. */
const MOST_MARKED = 4000;

/** One side of a pair. @param {{pair: Object, kept: "remove"|"add"}} props */
function Words({ pair, kept }) {
  const text = kept === "remove" ? pair.before : pair.after;
  if (pair.before === pair.after || pair.before.length + pair.after.length > MOST_MARKED) return html`<${Text} value=${text} />`;
  const Mark = kept === "remove" ? "del" : "ins";
  return html`<div class="text" dir="auto">${wordChanges(pair.before, pair.after)
    .filter(({ kind }) => kind === "same" || kind === kept)
    .map(({ kind, text: words }, at) => (kind === "same" ? visible(words) : html`<${Mark} key=${at}>${visible(words)}</${Mark}>`))}</div>`;
}

/** A question without what a terminal says of typing. */
function clicked(question) {
  return question.replace(/[.?]?\s*Type (?:its|a) number.*$/, (cut) => (cut.startsWith("?") ? "?" : "")) || "Your answer";
}

function Question({ page, answer }) {
  const [isSent, setSent] = useState(false);
  const field = useRef(null);
  const label = useId();
  const hasMarks = page.lines.some((line) => line.number !== null);
  const takesWords = page.takes_words || (page.choices.length === 0 && !hasMarks);
  const give = async (text) => {
    if (isSent) return;
    setSent(true);
    await answer(text);
    setSent(false);
    if (field.current) field.current.value = "";
  };
  const send = (event) => { event.preventDefault(); give(field.current.value); };
  return html`<section class="panel" aria-labelledby=${label}><div class="panel-body stack">
    <h2 id=${label}>${visible(clicked(page.question))}</h2>
    ${page.choices.length > 0 && html`<ul class="guide-choices">${page.choices.map((choice) => html`<li key=${choice.key}>
      <button type="button" class=${`button guide-choice${choice.key === page.default ? " button-primary" : ""}`} disabled=${isSent} onClick=${() => give(choice.key)}>
        <span>${visible(choice.label)}</span>${choice.note && html`<span class="guide-note">${visible(choice.note)}</span>`}</button></li>`)}</ul>`}
    ${takesWords && html`<form class="stack-tight" onSubmit=${send}>
      <label class="field"><span>${page.choices.length > 0 ? "Or in your own words" : "In your own words"}</span>
        <textarea class="input" rows="3" maxlength="4000" ref=${field} data-guide="words"></textarea></label>
      <div class="row"><button type="submit" class="button button-primary" disabled=${isSent}>Send</button></div>
    </form>`}
    <div class="row"><button type="button" class="button button-small" disabled=${isSent} onClick=${() => give("back")}>One page back</button></div>
  </div></section>`;
}

/** Explains a word that is used here. */
function Meaning() {
  const [word, setWord] = useState("");
  const { data } = useData(word ? "/words" : null, { word });
  const look = (event) => { event.preventDefault(); setWord(event.target.elements.word.value.trim()); };
  return html`<details class="fold"><summary>What does a word mean?</summary><div class="fold-body stack-tight">
    <form class="row" onSubmit=${look}><label class="field"><span>Word</span><input class="input fit" name="word" maxlength="200" autocomplete="off" /></label>
      <button type="submit" class="button">Explain</button></form>
    ${data && word && html`<div role="status"><${Text} value=${data.text} /></div>`}
  </div></details>`;
}

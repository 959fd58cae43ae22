/** What stands in the place of the list while there is no trace: three ways to record one. */
import { html } from "../html.js";
import { Copy } from "./copy.js";

export function HowToRecord() {
  const origin = location.origin;
  const ways = [
    ["Your agent, unchanged", "LangChain, LangGraph, openai and anthropic in Python; any other program that asks models over HTTP.",
      "refinery record -- python app.py"],
    ["One line of code", "At the start of your program. Traces land in this project's store.",
      "import refinery\n\nrefinery.record()"],
    ["A client you already have", "LangSmith, LangChain or LangGraph; OpenTelemetry and Langfuse clients are listed by refinery serve.",
      `export LANGSMITH_TRACING=true\nexport LANGSMITH_ENDPOINT=${origin}\nexport LANGSMITH_API_KEY=local`],
  ];
  return html`<section class="how" aria-labelledby="how-title">
    <div class="how-head">
      <h2 id="how-title">No traces yet. Record your first one</h2>
      <p class="muted">This page follows along: a trace appears here as soon as your agent runs.</p>
    </div>
    <ol class="how-ways">
      ${ways.map(([title, text, code]) => html`<li key=${title} class="panel how-way">
        <h3>${title}</h3>
        <p class="muted">${text}</p>
        <div class="code-block"><pre tabindex="0" aria-label=${title}>${code}</pre><${Copy} text=${code} label="Copy" /></div>
      </li>`)}
    </ol>
    <p class="muted">No agent at hand? <code>refinery demo</code> records a failing one and fixes it, without any key.</p>
  </section>`;
}

/** Messages as a conversation; tool calls with their arguments; never a picture, never a link. */
import { html, useMemo } from "../html.js";
import { CutPayload, JsonView } from "./json.js";
import { Badge } from "./badge.js";
import { oneLine, Text } from "./text.js";

const ROLES = { system: "System", user: "User", assistant: "Model", tool: "Tool" };
/** Characters of a message shown at first; the instructions of an agent are often pages long. */
const SHOWN = { system: 700, tool: 1500 };

/** Longer texts are shown as they are: parsing them would hold the page up. */
const MOST_JSON = 200_000;

/** What a run was given and what it answered. @param {{run: Object}} props */
export function Conversation({ run }) {
  const given = Array.isArray(run.messages_in) ? run.messages_in : [];
  const said = Array.isArray(run.messages_out) ? run.messages_out : [];
  return html`<div class="conversation">
    ${run.messages_in?.$cut && html`<p class="muted">The messages are too long. <${CutPayload} cut=${run.messages_in.$cut} /> See “Raw”.</p>`}
    ${given.length > 0 && html`<${Messages} messages=${given} label="Given" />`}
    ${said.length > 0 && html`<h3 class="conversation-turn"><span>Answer</span></h3><${Messages} messages=${said} label="Answer" />`}
    ${said.length === 0 && given.length > 0 && html`<p class="muted">${run.status === "running" ? "No answer yet." : "No answer was recorded."}</p>`}
  </div>`;
}

/** @param {{messages: Object[], label: string}} props */
export function Messages({ messages, label }) {
  return html`<ol class="messages" aria-label=${label}>
    ${messages.map((message, at) => html`<${Message} key=${at} message=${message} />`)}
  </ol>`;
}

function Message({ message }) {
  const role = ROLES[message.role] ? message.role : "other";
  const calls = message.tool_calls ?? [];
  return html`<li class=${`message message-${role}`}>
    <div class="message-head"><span class="message-role">${ROLES[message.role] ?? oneLine(message.role, 40)}</span>
      ${message.name && html`<span class="muted">${oneLine(message.name, 60)}</span>`}
      ${message.tool_call_id && html`<code class="muted">${oneLine(message.tool_call_id, 40)}</code>`}
      ${message.is_error && html`<${Badge} tone="bad">error</${Badge}>`}
    </div>
    ${message.text && html`<${Said} text=${message.text} shown=${SHOWN[role] ?? 6000} />`}
    ${message.is_cut && html`<p class="muted">The rest of this message is in the raw document.</p>`}
    ${calls.map((call, at) => html`<${ToolCall} key=${at} call=${call} />`)}
    ${!message.text && calls.length === 0 && html`<p class="muted">empty</p>`}
  </li>`;
}

/** The text of a message; one that is a JSON object or list, as tools answer, as a tree. */
function Said({ text, shown }) {
  const value = useMemo(() => parsed(text), [text]);
  return value === null ? html`<${Text} value=${text} shown=${shown} />` : html`<${JsonView} value=${value} label="Message" />`;
}

function parsed(text) {
  if (!/^\s*[[{]/.test(text) || text.length > MOST_JSON) return null;
  try { return JSON.parse(text); } catch { return null; }
}

/** One call a model asked for. @param {{call: Object}} props */
export function ToolCall({ call }) {
  return html`<div class="tool-call">
    <div class="message-head"><span class="tool-call-name">calls <code>${oneLine(call.name || "a tool", 120)}</code></span>
      ${call.call_id && html`<code class="muted">${oneLine(call.call_id, 40)}</code>`}
      ${call.is_malformed && html`<${Badge} tone="bad">arguments are no JSON</${Badge}>`}</div>
    ${typeof call.arguments === "string" ? html`<${Text} mono value=${call.arguments} />` : html`<${JsonView} value=${call.arguments} label=${`Arguments of ${call.name}`} />`}
  </div>`;
}

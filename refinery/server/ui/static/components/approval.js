/** The decision on a proven patch: approve exactly this one, edit it, or reject it. */
import { html, useState } from "../html.js";
import { send } from "../api.js";
import { confirm } from "./confirm.js";
import { Icon } from "./icon.js";
import { remarkWords } from "./proof.js";
import { Failure } from "./states.js";
import { toast } from "./toast.js";
import { visible } from "./text.js";

/** @param {{job: any, reload: () => void}} props */
export function Approval({ job, reload }) {
  const [mode, setMode] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const post = async (verb, body) => {
    setBusy(true);
    try {
      await send("POST", `/jobs/${encodeURIComponent(job.job_id)}/${verb}`, body);
      setMode(null);
    } catch (error) {
      toast.failure(error);
    } finally {
      setBusy(false);
      reload();
    }
  };
  return html`<section class="panel approval" aria-labelledby="approval-title">
    <div class="panel-head"><h2 id="approval-title">Your decision</h2></div>
    <div class="panel-body stack">
      ${job.error && html`<${Failure} error=${job.error} />`}
      <${Approve} job=${job} isBusy=${isBusy} post=${post} />
      <div class="row">
        <button type="button" class="button" aria-expanded=${String(mode === "edit")} disabled=${isBusy} onClick=${() => setMode(mode === "edit" ? null : "edit")}>Edit the patch …</button>
        <button type="button" class="button button-danger" aria-expanded=${String(mode === "reject")} disabled=${isBusy} onClick=${() => setMode(mode === "reject" ? null : "reject")}>Reject …</button>
      </div>
      ${mode === "edit" && html`<${Edit} diff=${job.approval.diff} isBusy=${isBusy} post=${post} />`}
      ${mode === "reject" && html`<${Reject} isBusy=${isBusy} post=${post} />`}
      <p class="muted">The approval holds for exactly this patch (<code>${String(job.approval.digest).slice(0, 16)}</code>), once. It becomes one commit, is never pushed, and can be rolled back.</p>
    </div>
  </section>`;
}

function Approve({ job, isBusy, post }) {
  const { approval } = job;
  const held = approval.held_items ?? [];
  const isUnproven = approval.verdict && approval.verdict !== "fixed";
  const told = [...held.map(textOf), ...(isUnproven ? [`The trial did not prove it: the verdict is “${approval.verdict}”.`] : [])];
  const reasons = told.length === 0 && approval.needs_held ? ["The guard holds this patch."] : told;
  const [seen, setSeen] = useState(false);
  const approve = async () => {
    const isSure = reasons.length === 0 || await confirm({
      title: "Commit it in spite of these?", action: "Commit it", danger: true,
      text: html`<span>${reasons.map((reason) => html`<span class="confirm-line" key=${reason}>${visible(reason)}</span>`)}</span>`,
    });
    if (isSure) await post("approve", { digest: approval.digest, held: reasons.length > 0 });
  };
  return html`
    ${reasons.length > 0 && html`<div class="note note-warn"><${Icon} name="alert" /><div class="stack-tight">
      <strong>Look at these first</strong>
      <ul class="plain-list">${reasons.map((reason) => html`<li key=${reason}>${visible(reason)}</li>`)}</ul>
      <label class="check"><input type="checkbox" name="seen" checked=${seen} onChange=${(event) => setSeen(event.target.checked)} /> I have looked at ${reasons.length === 1 ? "it" : "them"} and take responsibility</label>
    </div></div>`}
    <div><button type="button" class="button button-primary button-large" disabled=${isBusy || (reasons.length > 0 && !seen)} onClick=${approve}>Approve and commit</button></div>`;
}

const textOf = (item) => (typeof item === "string" ? item : `${remarkWords(item)}${item.path ? ` (${item.path}${item.line ? `:${item.line}` : ""})` : ""}`);

function Edit({ diff, isBusy, post }) {
  const [text, setText] = useState(diff);
  return html`<div class="stack-tight">
    <label class="field"><span>The patch, as a unified diff</span>
      <textarea class="input patch-edit" name="diff" rows="16" spellcheck=${false} value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <p class="muted">The edited patch goes through the guard and the trial again before it can be approved.</p>
    <div class="row"><button type="button" class="button button-primary" disabled=${isBusy || text === diff} onClick=${() => post("edit", { diff: text })}>Try the edited patch</button></div>
  </div>`;
}

function Reject({ isBusy, post }) {
  const [reason, setReason] = useState("");
  return html`<div class="stack-tight">
    <label class="field"><span>Why not? It is kept with the session; may stay empty</span>
      <textarea class="input input-prose" name="reason" rows="2" value=${reason} onInput=${(event) => setReason(event.target.value)}></textarea></label>
    <div class="row"><button type="button" class="button button-danger" disabled=${isBusy} onClick=${() => post("reject", { reason: reason.trim() })}>Reject the patch</button></div>
  </div>`;
}

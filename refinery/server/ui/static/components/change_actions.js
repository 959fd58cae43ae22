/** Verify a change, take it back, make it again: always with the diff shown first. */
import { html, useState } from "../html.js";
import { send } from "../api.js";
import { JobProgress, useJob } from "./job.js";
import { confirm } from "./confirm.js";
import { Badge } from "./badge.js";
import { PatchView } from "./diff.js";
import { Failure } from "./states.js";
import { Table } from "./table.js";
import { toast } from "./toast.js";
import { visible } from "./text.js";

const UNDO = { verb: "rollback", show: "Roll back …", title: "What rolling back would change", act: "Roll back", done: "Rolled back", text: "It becomes a new commit; later work of others stays." };
const REDO = { verb: "redo", show: "Do it again …", title: "What doing it again would change", act: "Do it again", done: "Done again", text: "It becomes a new commit; later work of others stays." };

/** @param {{change: any, reload: () => void}} props */
export function ChangeActions({ change, reload }) {
  const task = change.state === "applied" ? UNDO : REDO;
  const path = `/changes/${encodeURIComponent(change.id ?? change.change_id)}`;
  const [plan, setPlan] = useState(null);
  const [busy, setBusy] = useState(null);
  const [verified, setVerified] = useState(null);
  const run = async (name, work) => {
    setBusy(name);
    try { await work(); } catch (error) { setPlan(name === "verify" ? plan : { error }); if (name === "verify") toast.failure(error); }
    setBusy(null);
  };
  const look = () => run("plan", async () => setPlan(await send("POST", `${path}/${task.verb}`, { dry_run: true })));
  const act = async () => {
    if (!await confirm({ title: `${task.act}: ${change.title}?`, text: task.text, action: task.act, danger: task === UNDO })) return;
    await run("act", async () => {
      await send("POST", `${path}/${task.verb}`, { dry_run: false });
      toast.done(`${task.done}.`);
      setPlan(null);
      setVerified(null);
      reload();
    });
  };
  const verify = () => run("verify", async () => setVerified(await send("POST", `${path}/verify`, {})));
  return html`<section class="stack" aria-label="What can be done">
    <div class="row">
      <button type="button" class="button" disabled=${busy !== null} onClick=${verify}>${busy === "verify" ? "Verifying …" : "Verify"}</button>
      <button type="button" class="button" disabled=${busy !== null} onClick=${look}>${task.show}</button>
      <span class="muted">Verifying runs the proof again from its receipt: no key, no network.</span>
    </div>
    ${verified?.job_id ? html`<${VerifyJob} id=${verified.job_id} />` : verified && html`<${Verified} found=${verified} />`}
    ${plan?.error && html`<${Failure} error=${plan.error} />`}
    ${plan && !plan.error && html`<section class="stack-tight" aria-labelledby="plan-title" data-plan=${task.verb}>
      <h2 id="plan-title">${task.title}</h2><p class="muted">Nothing is written yet.</p>
      <${PatchView} text=${plan.diff} label=${task.title} />
      <div class="row"><button type="button" class=${task === UNDO ? "button button-danger" : "button button-primary"} disabled=${busy !== null} onClick=${act}>${task.act}</button>
        <button type="button" class="button" onClick=${() => setPlan(null)}>Leave it</button></div>
    </section>`}
  </section>`;
}

function VerifyJob({ id }) {
  const job = useJob(id);
  if (job.data?.state === "done") return html`<${Verified} found=${job.data.result} />`;
  return html`<${JobProgress} job=${job} title="Running the proof again" />`;
}

function Verified({ found }) {
  return html`<section class="stack-tight" aria-labelledby="verified-title" data-verified=${String(found.holds)} role="status">
    <h2 id="verified-title">${found.holds ? "The evidence holds" : "The evidence does not hold"} <${Badge} tone=${found.holds ? "ok" : "bad"}>${found.verdict ?? "no verdict"}</${Badge}></h2>
    <${Table} caption="What was verified" rows=${found.steps} rowKey=${({ name }) => name} rowHeader="name" columns=${[
      { id: "name", label: "Step", render: ({ name }) => name },
      { id: "holds", label: "Holds", render: ({ holds }) => html`<${Badge} tone=${holds ? "ok" : holds === null ? "quiet" : "bad"}>${holds ? "yes" : holds === null ? "not asked" : "no"}</${Badge}>` },
      { id: "detail", label: "Detail", render: ({ detail }) => visible(String(detail)) },
    ]} />
  </section>`;
}

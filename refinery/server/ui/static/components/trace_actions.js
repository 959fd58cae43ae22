/** What can be done with a trace: diagnose, what if, compare, label, download, delete. */
import { html, useEffect, useRef, useState } from "../html.js";
import { address, send, session } from "../api.js";
import { link, navigate } from "../location.js";
import { confirm } from "./confirm.js";
import { Icon } from "./icon.js";
import { toast } from "./toast.js";

/** @param {{trace: Object, reload: () => void}} props */
export function TraceActions({ trace, reload }) {
  const id = encodeURIComponent(trace.trace_id);
  const menu = useRef(null);
  const [isOwner, setOwner] = useState(true);
  useEffect(() => { session().then(({ scope }) => setOwner(!scope), () => {}); }, []);
  const close = () => { if (menu.current) menu.current.open = false; };
  useEffect(() => {
    const elsewhere = (event) => { if (!menu.current?.contains(event.target)) close(); };
    document.addEventListener("pointerdown", elsewhere);
    document.addEventListener("focusin", elsewhere);
    return () => {
      document.removeEventListener("pointerdown", elsewhere);
      document.removeEventListener("focusin", elsewhere);
    };
  }, []);
  const escape = (event) => {
    if (event.key !== "Escape" || !menu.current.open) return;
    close();
    menu.current.querySelector("summary").focus();
  };
  const label = async (outcome) => {
    close();
    try {
      await send("POST", `/traces/${id}/label`, { outcome });
      toast.done(`Labelled ${outcome}`);
      reload();
    } catch (error) { toast.failure(error); }
  };
  const remove = async () => {
    close();
    const isSure = await confirm({
      title: "Delete this trace?", action: "Delete", danger: true,
      text: "Its runs, feedback and attachments go from the store. This cannot be undone.",
    });
    if (!isSure) return;
    try {
      await send("DELETE", `/traces/${id}`);
      toast.done("Deleted");
      navigate("/ui/");
    } catch (error) { toast.failure(error); }
  };
  const compare = html`<a class="button" href=${link("/compare", { left: trace.trace_id })}>Compare</a>`;
  const download = html`<a href=${address(`/traces/${id}`)} download="trace.json" onClick=${close}><${Icon} name="download" />Download the tree</a>`;
  // A user's token reads: it starts no work, labels nothing and deletes nothing.
  if (!isOwner) return html`
    ${compare}
    <details class="menu" ref=${menu} onKeyDown=${escape}>
      <summary class="button" aria-label="More actions">More</summary>
      <div class="menu-items">${download}</div>
    </details>`;
  return html`
    <a class="button button-primary" href=${link(`/diagnosis/${id}`)}>Diagnose</a>
    <a class="button" href=${link(`/whatif/${id}`)}>What if?</a>
    ${compare}
    <details class="menu" ref=${menu} onKeyDown=${escape}>
      <summary class="button" aria-label="More actions">More</summary>
      <div class="menu-items">
        <a href=${link("/guide", { trace: trace.trace_id })} onClick=${close}><${Icon} name="flag" />Mend it in plain words</a>
        <button type="button" onClick=${() => label("pass")}><${Icon} name="flag" />Label: pass</button>
        <button type="button" onClick=${() => label("fail")}><${Icon} name="flag" />Label: fail</button>
        ${download}
        <button type="button" class="menu-danger" onClick=${remove}><${Icon} name="cross" />Delete …</button>
      </div>
    </details>`;
}

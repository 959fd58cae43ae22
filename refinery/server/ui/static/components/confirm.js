/** A question before something is done; resolves to whether it was confirmed. */
import { html, render, useEffect, useRef } from "../html.js";

/**
 * @param {{title: string, text: any, action: string, danger?: boolean}} question `action` is the
 *   word on the button that does it
 * @returns {Promise<boolean>}
 */
export function confirm(question) {
  const place = document.body.appendChild(document.createElement("div"));
  return new Promise((resolve) => {
    const answer = (value) => {
      render(null, place);
      place.remove();
      resolve(value);
    };
    render(html`<${Question} ...${question} answer=${answer} />`, place);
  });
}

function Question({ title, text, action, danger = false, answer }) {
  const dialog = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before instanceof HTMLElement && before.focus();
  }, []);
  return html`<dialog class="dialog" ref=${dialog} aria-labelledby="confirm-title" onCancel=${() => answer(false)}>
    <div class="dialog-body stack">
      <h2 id="confirm-title">${title}</h2>
      <p>${text}</p>
      <div class="row row-end">
        <button type="button" class="button" onClick=${() => answer(false)}>Cancel</button>
        <button type="button" class=${danger ? "button button-danger" : "button button-primary"} onClick=${() => answer(true)}>${action}</button>
      </div>
    </div>
  </dialog>`;
}

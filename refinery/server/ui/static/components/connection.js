/** Says so, above every page, when the server has stopped or the login has ended. */
import { html } from "../html.js";
import { useConnection } from "../api.js";

const TEXTS = {
  lost: ["The server does not answer.", "Trying again; what you see is what was last read. Is refinery serve still running?"],
  denied: ["You are not logged in, or no longer.", "Open the address refinery serve printed: it holds the token of this start."],
};

export function ConnectionBar() {
  const state = useConnection();
  const text = TEXTS[state];
  return html`<div role="status" class="connection">
    ${text && html`<p class="connection-text"><strong>${text[0]}</strong> ${text[1]}</p>`}
  </div>`;
}

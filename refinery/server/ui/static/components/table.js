/** A plain table of rows, with a caption for screen readers and its own sideways scrolling. */
import { html } from "../html.js";

/**
 * @param {{
 *   caption: string,
 *   columns: {id: string, label: any, numeric?: boolean, render: (row: any) => any, className?: string}[],
 *   rows: any[],
 *   rowKey: (row: any) => string,
 *   rowClass?: (row: any) => string,
 *   rowHeader?: string,
 * }} props `rowHeader`: id of the column that names the row
 */
export function Table({ caption, columns, rows, rowKey, rowClass, rowHeader }) {
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label=${caption}>
    <table class="table">
      <caption class="visually-hidden">${caption}</caption>
      <thead><tr>${columns.map(({ id, label, numeric }) =>
        html`<th key=${id} scope="col" class=${numeric ? "numeric" : ""}>${label}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${rowKey(row)} class=${rowClass?.(row) ?? ""}>
        ${columns.map(({ id, numeric, render, className = "" }) => {
          const classes = `${numeric ? "numeric " : ""}${className}`;
          return id === rowHeader
            ? html`<th key=${id} scope="row" class=${classes}>${render(row)}</th>`
            : html`<td key=${id} class=${classes}>${render(row)}</td>`;
        })}
      </tr>`)}</tbody>
    </table>
  </div>`;
}

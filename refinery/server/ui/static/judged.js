/** Evaluations of a step in one form, whatever way their filters were written. */

const PASSED = ["passed", "pass", "ok", "qualified", "success", "matched", "match"];
const TOLD = ["detail", "details", "reason", "reasoning", "message", "explanation", "why"];

/**
 * @param {Object[]} evaluations as recorded
 * @returns {{items: Object[], names: string[]}} `names`: every filter in the order first met;
 *   an item has `id`, `item`, `qualified`, `reasoning` and `verdicts` by filter name
 */
export function readable(evaluations) {
  const names = [];
  const items = evaluations.map((one, at) => {
    const verdicts = verdictsOf(one.filters);
    for (const name of Object.keys(verdicts)) if (!names.includes(name)) names.push(name);
    return { at, id: String(one.item_id ?? at + 1), item: one.item, qualified: one.qualified ?? null, reasoning: one.reasoning ?? "", verdicts };
  });
  return { items, names };
}

function verdictsOf(filters) {
  if (Array.isArray(filters)) {
    return Object.fromEntries(filters.map((one, at) => [String(one?.name ?? one?.filter ?? at + 1), verdictOf(one)]));
  }
  if (filters === null || filters === undefined) return {};
  if (typeof filters !== "object") return { filter: verdictOf(filters) };
  return Object.fromEntries(Object.entries(filters).map(([name, value]) => [name, verdictOf(value)]));
}

/**
 * Whether a filter let the item through (null: it does not say) and what it told.
 * @returns {{passed: boolean|null, detail: string}}
 */
export function verdictOf(value) {
  if (typeof value === "boolean") return { passed: value, detail: "" };
  if (value === null || typeof value !== "object") return { passed: null, detail: value === null ? "" : String(value) };
  const sign = PASSED.find((name) => typeof value[name] === "boolean");
  const told = TOLD.find((name) => typeof value[name] === "string");
  const rest = Object.entries(value).filter(([name]) => name !== sign && name !== told && name !== "name" && name !== "filter");
  const others = rest.map(([name, one]) => `${name} ${typeof one === "object" ? JSON.stringify(one) : one}`).join(", ");
  return { passed: sign ? value[sign] : null, detail: [told && value[told], others].filter(Boolean).join(" · ") };
}

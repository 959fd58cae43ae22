/** What changed between two texts, by lines or by words; shortest edit script, bounded in time. */

/** Beyond this many pairs of pieces the middle is taken as replaced: it would take seconds. */
const MOST_PAIRS = 4_000_000;

/**
 * Lines of both texts in order: `[{kind: "same" | "remove" | "add", text}]`.
 * @param {string} before
 * @param {string} after
 */
export const changes = (before, after) => compared(before.split("\n"), after.split("\n"));

/** Words, spaces and signs of two lines, neighbours of one kind joined. */
export function wordChanges(before, after) {
  const pieces = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  const joined = [];
  for (const piece of compared(pieces(before), pieces(after))) {
    const last = joined.at(-1);
    if (last?.kind === piece.kind) last.text += piece.text;
    else joined.push({ ...piece });
  }
  return joined;
}

function compared(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const left = before.slice(start, before.length - end);
  const right = after.slice(start, after.length - end);
  const same = (text) => ({ kind: "same", text });
  return [
    ...before.slice(0, start).map(same),
    ...middle(left, right),
    ...before.slice(before.length - end).map(same),
  ];
}

function middle(left, right) {
  const removed = left.map((text) => ({ kind: "remove", text }));
  const added = right.map((text) => ({ kind: "add", text }));
  if (left.length === 0 || right.length === 0 || left.length * right.length > MOST_PAIRS) return [...removed, ...added];
  return walked(left, right, longest(left, right));
}

/** Lengths of the longest common subsequences of all tails, row by row. */
function longest(left, right) {
  const width = right.length + 1;
  const lengths = new Uint32Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = left[i] === right[j]
        ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  return lengths;
}

function walked(left, right, lengths) {
  const width = right.length + 1;
  const pieces = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      pieces.push({ kind: "same", text: left[i] });
      [i, j] = [i + 1, j + 1];
    } else if (i < left.length && (j >= right.length || lengths[(i + 1) * width + j] >= lengths[i * width + j + 1])) {
      pieces.push({ kind: "remove", text: left[i] });
      i += 1;
    } else {
      pieces.push({ kind: "add", text: right[j] });
      j += 1;
    }
  }
  return pieces;
}

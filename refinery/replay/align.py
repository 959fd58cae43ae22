"""Puts the runs of two traces side by side, whatever one of them has more of.

Trees are aligned from the top: the children of two runs that belong together are aligned as
sequences, equal ones first (`sequences`, longest matching blocks), then within each gap the most
similar ones by the alignment of greatest total similarity (Needleman and Wunsch 1970). A run is
never paired with one of another kind and another name.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from refinery.model.trace import Json, Run, Trace
from refinery.replay.canonical import Fresh
from refinery.replay.compare import plain
from refinery.replay.sequences import parts

MAX_CELLS = 250_000
"""Largest table of one gap; larger gaps are aligned by kind and name alone."""
TEXT_CHARS = 4_000
"""Characters of a run's inputs whose words are compared."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs that belong together, or one without a counterpart."""

    left: Run | None
    right: Run | None
    depth: int
    """0 for a root."""

    @property
    def run(self) -> Run:
        """The left run, else the right one."""
        found = self.left or self.right
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class _Node:
    """A run as it is compared."""

    run: Run
    label: tuple[str, str]
    """Kind and name."""
    content: str
    """Its inputs in plain form."""
    words: frozenset[str]


def align(left: Trace, right: Trace) -> tuple[Pair, ...]:
    """Runs of both traces side by side, in tree order."""
    trees = _tree(left), _tree(right)
    found: list[Pair] = []
    waiting: list[tuple[_Node | None, _Node | None, int]] = [
        (one, other, 0) for one, other in reversed(_paired(trees[0][None], trees[1][None]))
    ]
    while waiting:
        one, other, depth = waiting.pop()
        found.append(Pair(one.run if one else None, other.run if other else None, depth))
        below = [
            tree.get(node.run.run_id, []) if node else []
            for tree, node in zip(trees, (one, other), strict=True)
        ]
        waiting += [(a, b, depth + 1) for a, b in reversed(_paired(*below))]
    return tuple(found)


def _tree(trace: Trace) -> dict[str | None, list[_Node]]:
    """Nodes by parent; those whose parent is missing, or that are their own ancestors, on top."""
    fresh = Fresh(min((run.start_ns or 0 for run in trace.runs), default=0))
    known = {run.run_id for run in trace.runs}
    seen: set[str] = set()
    tree: dict[str | None, list[_Node]] = {None: []}
    for run in trace.runs:
        # In tree order a parent comes before its children, unless they are a circle.
        parent = run.parent_id if run.parent_id in known and run.parent_id in seen else None
        tree.setdefault(parent, []).append(_node(run, fresh))
        seen.add(run.run_id)
    return tree


def _node(run: Run, fresh: Fresh) -> _Node:
    content = json.dumps(plain(run.inputs, fresh), sort_keys=True, ensure_ascii=False)
    words = frozenset(_WORD.findall(content[:TEXT_CHARS]))
    return _Node(run, (str(run.kind or ""), run.name or ""), content, words)


def _paired(
    left: Sequence[_Node], right: Sequence[_Node]
) -> list[tuple[_Node | None, _Node | None]]:
    """Two sequences side by side."""
    return list(_blocks(left, right))


def _blocks(
    left: Sequence[_Node], right: Sequence[_Node]
) -> Iterator[tuple[_Node | None, _Node | None]]:
    before, after = ([(n.label, n.content) for n in side] for side in (left, right))
    for is_equal, (a, b, c, d) in parts(before, after):
        if is_equal:
            yield from zip(left[a:b], right[c:d], strict=True)
        elif (b - a) * (d - c) <= MAX_CELLS:
            yield from _most_similar(left[a:b], right[c:d])
        else:
            yield from _by_label(left[a:b], right[c:d])


def _by_label(
    left: Sequence[_Node], right: Sequence[_Node]
) -> Iterator[tuple[_Node | None, _Node | None]]:
    labels = [n.label for n in left], [n.label for n in right]
    for is_equal, (a, b, c, d) in parts(*labels):
        if is_equal:
            yield from zip(left[a:b], right[c:d], strict=True)
        else:
            yield from ((node, None) for node in left[a:b])
            yield from ((None, node) for node in right[c:d])


def _most_similar(
    left: Sequence[_Node], right: Sequence[_Node]
) -> list[tuple[_Node | None, _Node | None]]:
    """The alignment of greatest total similarity; a gap costs nothing."""
    table = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    scores = [[_similarity(one, other) for other in right] for one in left]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            both = table[i + 1][j + 1] + scores[i][j] if scores[i][j] else 0.0
            table[i][j] = max(both, table[i + 1][j], table[i][j + 1])
    i = j = 0
    found: list[tuple[_Node | None, _Node | None]] = []
    while i < len(left) and j < len(right):
        if scores[i][j] and table[i][j] == table[i + 1][j + 1] + scores[i][j]:
            found.append((left[i], right[j]))
            i, j = i + 1, j + 1
        elif table[i][j] == table[i + 1][j]:
            found.append((left[i], None))
            i += 1
        else:
            found.append((None, right[j]))
            j += 1
    found += [(node, None) for node in left[i:]]
    found += [(None, node) for node in right[j:]]
    return found


def _similarity(one: _Node, other: _Node) -> float:
    """0 when they cannot belong together, else up to 4: kind, name, and words in common."""
    same_kind, same_name = (x == y for x, y in zip(one.label, other.label, strict=True))
    if not same_kind and not same_name:
        return 0.0
    union = one.words | other.words
    common = len(one.words & other.words) / len(union) if union else 1.0
    # Runs of one kind but of other names, with nothing in common, did other work.
    if not same_name and common < 0.2:
        return 0.0
    return same_kind + 2 * same_name + common


def values(run: Run, fresh: Fresh) -> Mapping[str, Json]:
    """What is compared of two runs that belong together, by field."""
    return {
        "name": run.name,
        "kind": run.kind.value if run.kind else None,
        "status": run.status.value if run.status else None,
        "error": {"type": run.error.type, "message": run.error.message} if run.error else None,
        "model": run.model_requested,
        "params": run.params,
        "inputs": plain(run.inputs, fresh),
        "outputs": plain(run.outputs, fresh),
    }

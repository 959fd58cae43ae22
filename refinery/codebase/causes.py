"""Which settings of a program a finding is about."""

from collections.abc import Iterable, Iterator, Mapping

from refinery.codebase.parameters import Setting, find_settings, find_slices
from refinery.codebase.scan import PYTHON, SourceTree, is_secondary
from refinery.model.failure import SourceLocation
from refinery.model.trace import Json

TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
RETRIES = ("max_retries", "num_retries", "retries", "max_attempts")
TIMEOUTS = ("timeout", "request_timeout", "timeout_s", "timeout_seconds", "read_timeout")
STEPS = ("recursion_limit", "max_iterations", "max_steps", "max_turns", "max_rounds")
COUNTS = ("k", "top_k", "n_results", "top_n", "similarity_top_k", "max_results", "num_results",
          "fetch_k", "limit", "how_many", "n_documents", "num_documents")  # fmt: skip
WINDOWS = ("window", "window_size", "max_messages", "max_history", "history_length", "last_n",
           "keep_last", "memory_size", "memory_turns", "history_turns", "max_turns")  # fmt: skip
"""Names that libraries and programs give these settings."""
_NAMED: Mapping[str, tuple[str, ...]] = {
    "truncated_output": TOKENS,
    "high_temperature": ("temperature",),
    "rate_limit": RETRIES,
    "retry_storm": RETRIES,
    "timeout": TIMEOUTS,
}
WARM = 0.3
"""Temperature above which answers to equal requests often differ; as `high_temperature` has it."""
UPSTREAM = ("not retrieved", "before the model")
"""Values of the fact `lost` when what was wanted did not reach the model's documents."""


def settings_behind(
    tree: SourceTree,
    category: str,
    facts: Mapping[str, Json],
    places: Iterable[SourceLocation] = (),
) -> list[Setting]:
    """Settings that may have caused a finding, likeliest first.

    Args:
        tree: the work tree.
        category: of the finding.
        facts: of the finding: `value` is what was recorded, `limit` a step limit, `lost` where a
            wanted text went missing.
        places: of the finding, to tell the code that retrieves from the rest.
    """
    lost = facts.get("lost")
    if category in _NAMED:
        return find_settings(tree, _NAMED[category], facts.get("value"))
    if category == "repeated_calls" and facts.get("limit"):
        return [one for one in find_settings(tree, STEPS) if _is_count(one)]
    if lost in UPSTREAM:
        near = [one for place in places for one in _bounds(tree, place)]
        named = find_settings(tree, COUNTS)
        return _unique(one for one in (*near, *named) if _is_count(one))
    heat = facts.get("temperature")
    if lost == "in the answer" and isinstance(heat, int | float) and heat > WARM:
        return find_settings(tree, ("temperature",), heat)
    if lost == "in the conversation":
        cuts = [one for path in _main(tree) for one in _all_bounds(tree, path)]
        return _unique(one for one in (*cuts, *find_settings(tree, WINDOWS)) if _is_count(one))
    return []


def _is_count(one: Setting) -> bool:
    return isinstance(one.value, int) and not isinstance(one.value, bool) and 0 < one.value <= 200


def _bounds(tree: SourceTree, place: SourceLocation) -> Iterator[Setting]:
    if place.kind in ("function", "class") and place.file.endswith(PYTHON):
        yield from find_slices(tree, place.file, (place.line_start, place.line_end), last=False)


def _all_bounds(tree: SourceTree, path: str) -> Iterator[Setting]:
    text = tree.text(path) or ""
    if "[-" in text or "[ -" in text:
        yield from find_slices(tree, path, (1, text.count("\n") + 1), last=True)


def _main(tree: SourceTree) -> list[str]:
    return [path for path in tree.paths(PYTHON) if not is_secondary(path)]


def _unique(found: Iterable[Setting]) -> list[Setting]:
    kept: dict[tuple[str, int, int], Setting] = {}
    for one in found:
        kept.setdefault((one.path, one.line, one.column), one)
    return list(kept.values())

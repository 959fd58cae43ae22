"""Two versions of a piece of the user's code: what changed in it, and what that did."""

import difflib
from dataclasses import dataclass

from refinery.errors import NotFoundError
from refinery.model.merge import OURS
from refinery.performance import sql as asking
from refinery.performance import variants
from refinery.performance.variants import Comparison, Variant
from refinery.ports import Store
from refinery.workflows.perf import analysing

MAX_SOURCE = 100_000
"""Characters of a source text that are compared."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two variants with the change between them."""

    comparison: Comparison
    diff: tuple[str, ...]
    """Lines of a unified diff; empty when a source was not recorded."""
    missing: tuple[str, ...]
    """Variants whose source no run holds any more."""


def compare(store: Store, first: str, second: str | None = None) -> Compared:
    """Compare two variants by the beginning of their hashes, or a component's last two.

    Args:
        store: holds the runs.
        first: a hash, or a component's name when `second` is None.
        second: the other hash, which is held against the first.

    Raises:
        NotFoundError: there is no such variant, or a component has only one.
        InputError: several variants begin so.
    """
    with asking.open_reader(analysing(store).analytics()) as reader:
        if second is None:
            two = _latest(reader, first)
        else:
            two = (variants.find(reader, first), variants.find(reader, second))
        found = variants.compare(reader, *two)
        candidates = {one.variant: variants.runs_with_source(reader, one.variant) for one in two}
    sources = {variant: source(store, variant, runs) for variant, runs in candidates.items()}
    missing = tuple(variant for variant, text in sources.items() if text is None)
    return Compared(found, _diff(two, sources) if not missing else (), missing)


def _latest(reader: asking.Reader, name: str) -> tuple[Variant, Variant]:
    found = variants.variants(reader, name)
    if not found:
        close = difflib.get_close_matches(name, variants.names(reader), n=1)
        raise NotFoundError(
            f"no version of {name!r} was recorded",
            hint=f"did you mean {close[0]!r}?"
            if close
            else "`refinery perf report --by variant` lists what has versions",
        )
    if len(found) == 1:
        raise NotFoundError(
            f"one version of {name!r} was recorded; two are needed",
            hint="change the code, run it again, and compare",
        )
    return found[1], found[0]


def source(store: Store, variant: str, run_ids: list[str]) -> str | None:
    """The source text of a variant, as the first run of some process kept it."""
    for run_id in run_ids:
        stored = store.get_run(run_id)
        ours = (stored.run.metadata or {}).get(OURS) if stored else None
        noted = ours.get("source") if isinstance(ours, dict) else None
        if isinstance(noted, dict) and noted.get("variant") == variant:
            text = noted.get("text")
            return text[:MAX_SOURCE] if isinstance(text, str) else None
    return None


def _diff(two: tuple[Variant, Variant], sources: dict[str, str | None]) -> tuple[str, ...]:
    before, after = ((sources[one.variant] or "").splitlines() for one in two)
    old, new = (f"{one.file or one.name} ({one.variant[:12]})" for one in two)
    return tuple(difflib.unified_diff(before, after, old, new, lineterm=""))

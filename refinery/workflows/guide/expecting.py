"""Holds what an expert says is right against the recorded conversations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from refinery.model.trace import Json, Trace
from refinery.model.verdict import Check
from refinery.ports import TraceFilter
from refinery.replay import checks as predicates
from refinery.replay.variation import is_variation
from refinery.workflows import check_book, checks, traces
from refinery.workflows.check_book import Entry
from refinery.workflows.guide import wording
from refinery.workflows.guide.wording import Situation
from refinery.workflows.wiring import Workspace

MAX_SEARCHED = 300
"""Newest conversations looked through for ones that fail alike; bounds the work."""
MAX_SIMILAR = 11
"""Most of them that one fix is held against; as `controls.MOST_ALIKE`."""
_OPPOSITES = {
    ("contains", "not_contains"),
    ("tool_called", "tool_not_called"),
    ("language", "not_language"),
    ("regex", "not_regex"),
}
_OF_CONTENT = {"contains", "contains_any", "equals", "regex", predicates.JUDGED}
_ONLY_ONE = ("language", "equals")
"""Kinds of which two different values cannot both hold."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What became of an expert's words."""

    readings: tuple[dict[str, Json], ...]
    """Ways to understand them that tell right from wrong: `words`, `told`, `checks`."""
    already: tuple[str, ...] = ()
    """Checks the bad conversation meets as it is."""
    contradiction: str = ""
    """Why the words cannot all be met; empty when they can."""


def understand(workspace: Workspace, trace: Trace, words: str, about: Situation) -> Understood:
    """Ways to understand an expert's words, none when there is none.

    Without a model the known forms are tried; a configured model is asked only when they fail.

    Raises:
        ModelError, BudgetError, CredentialsError: the model did not answer.
    """
    offline = _without_model(workspace)
    found: dict[tuple[str, ...], dict[str, Json]] = {}
    already: list[str] = []
    for candidate in wording.candidates(words, about):
        expected = checks.make(offline, trace, candidate)
        if candidate == words and (clash := clashing_pair(_all(expected))):
            return Understood((), contradiction=clash)
        already += _met_already(expected)
        if usable := _usable(expected):
            found.setdefault(usable, _reading(candidate, usable, expected))
    if not found and workspace.settings.values.model:
        expected = checks.make(workspace, trace, words)
        already += _met_already(expected)
        if usable := _usable(expected):
            found[usable] = _reading(words, usable, expected)
    ranked = list(found.values())[: wording.MOST]
    return Understood(tuple(ranked), tuple(dict.fromkeys(already)))


def clashing_pair(written: Sequence[str]) -> str:
    """Two checks that no answer can meet together, in plain words; empty when there are none."""
    parsed = [predicates.parse(text) for text in written]
    for at, one in enumerate(parsed):
        for other in parsed[at + 1 :]:
            if one.field == other.field and _exclude(one, other):
                return f"{wording.told(str(one))}, and {wording.told(str(other))}"
    return ""


def _exclude(one: Check, other: Check) -> bool:
    values = [" ".join(check.value.split()).casefold() for check in (one, other)]
    if one.kind == other.kind:
        return one.kind in _ONLY_ONE and values[0] != values[1]
    for wanted, banned in ((one, other), (other, one)):
        if (wanted.kind, banned.kind) in _OPPOSITES:
            inside = " ".join(banned.value.split()).casefold()
            outside = " ".join(wanted.value.split()).casefold()
            return inside in outside if wanted.kind == "contains" else inside == outside
        if (wanted.kind, banned.kind) == ("min_words", "max_words"):
            return int(wanted.value) > int(banned.value)
    return False


def earlier_clash(folder_entries: Sequence[Entry], trace: Trace, written: Sequence[str]) -> str:
    """What was said before of the same kind of conversation and cannot hold together with this."""
    for entry in folder_entries:
        if entry.trace_id != trace.trace_id and entry.holds_for(trace):
            pair = clashing_pair([*entry.checks, *written])
            if pair and not clashing_pair(entry.checks):
                return pair
    return ""


def good_that_fail(workspace: Workspace, entry: Entry) -> list[str]:
    """Conversations marked as right that the entry would call wrong."""
    found = []
    for summary in workspace.store.list_traces(TraceFilter(label="pass", limit=MAX_SEARCHED)):
        trace = workspace.store.get_trace(summary.trace_id)
        is_other = trace is not None and trace.trace_id != entry.trace_id
        if trace and is_other and entry.holds_for(trace) and entry.is_missed_by(trace):
            found.append(trace.trace_id)
    return found


def failing_alike(workspace: Workspace, entry: Entry) -> list[str]:
    """Other conversations the entry speaks of and that do not meet it, newest first."""
    found = []
    for summary in workspace.store.list_traces(TraceFilter(limit=MAX_SEARCHED)):
        if summary.trace_id == entry.trace_id or summary.label == "pass":
            continue
        trace = workspace.store.get_trace(summary.trace_id)
        if trace is None or is_variation(trace) or not entry.holds_for(trace):
            continue
        label = traces.label_of(workspace, trace.trace_id)
        is_free = label is None or not label.checks
        if is_free and entry.is_missed_by(trace):
            found.append(trace.trace_id)
    return found[:MAX_SIMILAR]


def suggested_scope(written: Sequence[str]) -> str:
    """The scope to suggest: certain words belong to one question, conduct and form to all."""
    kinds = {predicates.parse(text).kind for text in written}
    return check_book.QUESTION if kinds & _OF_CONTENT else check_book.ALWAYS


def _without_model(workspace: Workspace) -> Workspace:
    settings = workspace.settings
    values = settings.values.model_copy(update={"model": None})
    return replace(workspace, settings=replace(settings, values=values))


def _reading(words: str, usable: Sequence[str], expected: checks.Expected) -> dict[str, Json]:
    return {
        "words": words,
        "told": wording.told_all(list(usable)),
        "checks": list(usable),
        "evidence": checks.to_document(expected),
    }


def _usable(expected: checks.Expected) -> tuple[str, ...]:
    """Checks that fail on the bad conversation and whose opposite does not.

    What good conversations say against them depends on when the expectation is to hold, which
    is asked later.
    """
    if expected.left_over:
        return ()
    return tuple(dict.fromkeys(made.check for made in expected.made if _tells(made)))


def _tells(made: checks.Made) -> bool:
    bad = made.tests[0]
    if bad.held or bad.opposite_held is None:
        return False
    return bad.opposite_held or made.check == "no_error" or _is_on_broken(made)


def _is_on_broken(made: checks.Made) -> bool:
    """Whether the bad run failed: then neither a check on its content nor the opposite holds."""
    return made.tests[0].detail.startswith("the run ended as")


def _met_already(expected: checks.Expected) -> Iterator[str]:
    return (made.check for made in expected.made if made.tests[0].held)


def _all(expected: checks.Expected) -> list[str]:
    return [made.check for made in expected.made]

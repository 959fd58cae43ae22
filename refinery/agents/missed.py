"""Findings from checks that the recorded result does not pass: where did the right answer go?

The text a check wants is followed through the trace: the run's inputs, what tools and retrievers
gave, what the model was given, what it answered, the result. The first place where it is gone is
where the fault lies. A text that is nowhere was never found.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from refinery.detectors import observe
from refinery.errors import InputError
from refinery.model.failure import Diagnosis, Evidence, Finding, Likelihood, RootCause
from refinery.model.messages import answer_text
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace
from refinery.model.verdict import Check, ReplayResult
from refinery.model.walk import of_kind, strings
from refinery.replay.checks import evaluate, field_of, parse

CATEGORY = "expectation_missed"
_WANTING = ("contains", "contains_any", "equals")
_FORMS = ("language", "not_language", "max_words", "max_chars", "json_schema", "regex",
          "not_regex", "not_contains", "min_words")  # fmt: skip
_LEAST = 2
"""Characters a wanted text has at least; less occurs by chance."""
_QUOTE = 160
_MADE_UP = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,}\b|\b[0-9a-f]{24,}\b")
"""Identifiers made by machines, which hold any short number by chance."""

_SAID = {
    "not retrieved": "What the right answer needs was never found for the model.",
    "before the model": "What the right answer needs was found, but not handed to the model.",
    "in the conversation": "What the right answer needs was in the run's input, but not handed "
    "to the model.",
    "in the answer": "The model was given what the right answer needs and answered otherwise.",
    "after the model": "The model answered rightly and the program lost it afterwards.",
    "in form": "The answer does not have the form that is wanted.",
    "made up": "The answer says something that it must not say.",
}
_EXPLAINING = ("truncated_output", "high_temperature")
"""Categories that say why an answer is not what its prompt leads to."""
_ROOT_CAUSES = {
    "not retrieved": RootCause.CONTEXT,
    "before the model": RootCause.CONTEXT,
    "in the conversation": RootCause.CONTEXT,
    "after the model": RootCause.ORCHESTRATION,
}


@dataclass(frozen=True, slots=True)
class _Missed:
    """One check that does not hold, and where what it wants was lost."""

    check: Check
    lost: str
    cause: Run


def with_missed(found: Diagnosis, trace: Trace, checks: Sequence[str]) -> Diagnosis:
    """A diagnosis with a finding for the checks that the recorded result does not pass.

    It comes first when the detectors saw nothing likely, else last. Nothing is added when the run
    ended with an error, which findings of its own explain, or when all checks hold.

    Args:
        found: what the detectors say.
        trace: the failing trace.
        checks: `KIND[@FIELD]:VALUE`, as labelled.
    """
    missed = _first_missed(trace, checks)
    root = trace.root
    if missed is None or root is None:
        return found
    known = [one for one in found.findings if _explains(one, missed)]
    if known:
        return _ranked(found, [_confirmed(known[0])], known[0])
    quote = answer_text(root.outputs)[:_QUOTE] or "null"
    sure = any(one.likelihood is not Likelihood.POSSIBLE for one in found.findings)
    finding = Finding(
        finding_id="",
        category=CATEGORY,
        title="The result is not what was expected",
        explanation=f"The check {str(missed.check)[:200]} does not hold. {_SAID[missed.lost]}",
        likelihood=Likelihood.LIKELY,
        confidence=0.4 if sure else 0.7,
        cause_run_id=missed.cause.run_id,
        symptom_run_id=root.run_id,
        evidence=(Evidence(root.run_id, quote, "outputs"),),
        root_cause=_ROOT_CAUSES.get(missed.lost, RootCause.PROMPT),
        level="context" if missed.lost in _ROOT_CAUSES else "prompt",
        facts={
            "lost": missed.lost,
            "check": missed.check.kind,
            "wanted": missed.check.value[:500],
            "temperature": _heat(missed),
            **_tool_of(found, missed),
        },
    )
    return _ranked(found, [*(found.findings if sure else ()), finding], None)


def _tool_of(found: Diagnosis, missed: _Missed) -> dict[str, Json]:
    """The tool that gave nothing before the answer, when what was wanted was never found."""
    silent = next((one for one in found.findings if one.category == "empty_result_ignored"), None)
    if silent is None or missed.lost not in ("not retrieved", "made up"):
        return {}
    return {name: silent.facts.get(name) for name in ("tool", "result")}


def _heat(missed: _Missed) -> float | None:
    """The temperature of the model call at fault, when one was sent."""
    heat = (missed.cause.params or {}).get("temperature")
    is_model = missed.lost == "in the answer" and isinstance(heat, int | float)
    return float(heat) if is_model and isinstance(heat, int | float) else None


def _explains(finding: Finding, missed: _Missed) -> bool:
    """Whether a detector saw why the model's answer lacks what is wanted."""
    is_same = finding.cause_run_id == missed.cause.run_id
    return finding.category in _EXPLAINING and is_same and missed.lost == "in the answer"


def _confirmed(finding: Finding) -> Finding:
    """A doubtful finding about an answer that is known to be wrong."""
    if finding.likelihood is Likelihood.POSSIBLE:
        return replace(finding, likelihood=Likelihood.LIKELY, confidence=0.75)
    return finding


def _ranked(found: Diagnosis, first: Sequence[Finding], left_out: Finding | None) -> Diagnosis:
    """The diagnosis with these findings before the others, numbered anew."""
    rest = [one for one in found.findings if one is not left_out and one not in first]
    numbered = (
        replace(one, finding_id=f"F{number}") for number, one in enumerate([*first, *rest], 1)
    )
    return replace(found, findings=tuple(numbered))


def _first_missed(trace: Trace, checks: Sequence[str]) -> _Missed | None:
    root = trace.root
    if root is None or root.status is RunStatus.ERROR:
        return None
    result = ReplayResult(trace.trace_id, "ok", root.outputs)
    for text in checks:
        try:
            check = parse(text)
            usable = check.kind in (*_WANTING, *_FORMS)
            if usable and not evaluate(check, result, observe=observe).held:
                return _traced(trace, root, check)
        except InputError:
            continue
    return None


def _traced(trace: Trace, root: Run, check: Check) -> _Missed:
    """Where what the check wants was lost."""
    models = of_kind(trace, RunKind.LLM)
    last = models[-1] if models else root
    if check.kind in ("not_contains", "not_regex"):
        return _Missed(check, "made up", last)
    if check.kind not in _WANTING:
        return _Missed(check, "in form", last)
    wanted = _wanted(check)
    if not wanted:
        return _Missed(check, "in the answer", last)
    if _holds(_texts(last, "outputs"), wanted):
        return _Missed(check, "after the model", root)
    if _holds(_texts(last, "inputs"), wanted):
        return _Missed(check, "in the answer", last)
    sources = of_kind(trace, RunKind.RETRIEVER, RunKind.TOOL)
    for run in sources:
        if _holds(_texts(run, "outputs"), wanted):
            return _Missed(check, "before the model", run)
    if _holds(_texts(root, "inputs"), wanted):
        return _Missed(check, "in the conversation", root)
    retrievers = [run for run in sources if run.kind is RunKind.RETRIEVER] or sources
    if _is_choice(trace, check):
        return _Missed(check, "in the answer", last)
    return _Missed(check, "not retrieved", retrievers[0] if retrievers else last)


def _is_choice(trace: Trace, check: Check) -> bool:
    """Whether a whole field was wanted that needs no source, such as a class or a truth value."""
    found, value = field_of(trace.root.outputs if trace.root else None, check.field)
    return check.kind == "equals" and found and isinstance(value, str | bool)


def _wanted(check: Check) -> list[str]:
    options = check.value.split("|") if check.kind == "contains_any" else [check.value]
    return [text for one in options if len(text := _normal(one)) >= _LEAST]


def _normal(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _texts(run: Run, side: str) -> Iterable[str]:
    value = run.inputs if side == "inputs" else run.outputs
    return _all(value)


def _all(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    yield from (text for _, text in strings(value))
    yield from _numbers(value)


def _numbers(value: object) -> Iterator[str]:
    """Numbers directly inside a value, as texts."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    yield from (str(one) for one in items if isinstance(one, int | float))


def _holds(texts: Iterable[str], wanted: Sequence[str]) -> bool:
    patterns = [_pattern(one) for one in wanted]
    plain = (_MADE_UP.sub(" ", _normal(text)) for text in texts)
    return any(pattern.search(text) for text in plain for pattern in patterns)


def _pattern(wanted: str) -> re.Pattern[str]:
    """A wanted text, its numbers whole: 20 does not stand in 2026."""
    before = r"(?<![0-9])" if wanted[0].isdigit() else ""
    after = r"(?![0-9])" if wanted[-1].isdigit() else ""
    return re.compile(before + re.escape(wanted) + after)

"""From signals to a diagnosis: drop echoes, rank, name what the trace cannot answer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from refinery.detectors._shared.gaps import unanswerable
from refinery.model.failure import (
    Diagnosis,
    Evidence,
    Finding,
    Likelihood,
    RootCause,
    Signal,
)
from refinery.model.trace import RunStatus, Trace
from refinery.model.walk import occurs

CONFIDENCE = {Likelihood.CERTAIN: 0.95, Likelihood.LIKELY: 0.75, Likelihood.POSSIBLE: 0.35}
"""Confidence of a finding of middle specificity; chosen by us, only their order is measured."""
MAX_FINDINGS = 20
MAX_EVIDENCE = 6
MAX_ABOVE = 200
"""Runs above a failing run that are looked at."""
_ORDER = tuple(Likelihood)
_LEVELS = {
    RootCause.PROMPT: "prompt",
    RootCause.CONTEXT: "context",
    RootCause.INPUT: "context",
    RootCause.MODEL: "output",
}


class Verbatim:
    """Checks the signals of one trace against it; runs are found by id in constant time."""

    def __init__(self, trace: Trace) -> None:
        self._runs = {run.run_id: run for run in reversed(trace.runs)}

    def holds(self, signal: Signal) -> bool:
        """Whether a signal names runs of the trace and each of its quotes stands in its run."""
        if signal.cause_run_id not in self._runs or signal.symptom_run_id not in self._runs:
            return False
        return bool(signal.evidence) and all(self._occurs(item) for item in signal.evidence)

    def _occurs(self, item: Evidence) -> bool:
        run = self._runs.get(item.run_id)
        return run is not None and occurs(run, item.quote) is not None


def is_verbatim(trace: Trace, signal: Signal) -> bool:
    """Whether a signal names runs of the trace and each of its quotes stands in its run."""
    return Verbatim(trace).holds(signal)


def diagnosis_of(
    trace: Trace,
    signals: Sequence[Signal],
    specificity: Mapping[str, int],
    unread: Sequence[str] = (),
) -> Diagnosis:
    """The diagnosis that a trace's signals add up to.

    Signals of one detector about one cause become one finding; a general signal (specificity 0)
    is folded into a specific one about the same runs. Findings are ranked by likelihood, then
    specificity, then how early the cause is.
    """
    kept = _without_echoes(trace, _merged(signals), specificity)
    positions = {run.run_id: index for index, run in enumerate(trace.runs)}

    def rank(signal: Signal) -> tuple[int, int, int]:
        return (
            _ORDER.index(signal.likelihood),
            -specificity.get(signal.detector, 1),
            positions.get(signal.cause_run_id, 0),
        )

    findings = tuple(
        _finding(f"F{number}", signal, specificity.get(signal.detector, 1), trace)
        for number, signal in enumerate(sorted(kept, key=rank)[:MAX_FINDINGS], start=1)
    )
    gaps = [*_gaps(trace), *(f"nested too deep for {name}" for name in unread)]
    return Diagnosis(trace.trace_id, "detectors", findings, tuple(gaps))


def _gaps(trace: Trace) -> list[str]:
    try:
        return list(unanswerable(trace))
    except RecursionError:
        return ["values nested too deep to be read"]


def _merged(signals: Sequence[Signal]) -> list[Signal]:
    """One signal for each detector and cause: the likeliest, with the evidence of all."""
    groups: dict[tuple[str, str], Signal] = {}
    for signal in signals:
        key = (signal.detector, signal.cause_run_id)
        groups[key] = _joined(groups[key], signal) if key in groups else signal
    return list(groups.values())


def _joined(first: Signal, second: Signal) -> Signal:
    """The likelier of two signals (the first when equal), with the other's evidence and facts."""
    wins = _ORDER.index(second.likelihood) < _ORDER.index(first.likelihood)
    top, other = (second, first) if wins else (first, second)
    evidence = tuple(dict.fromkeys((*top.evidence, *other.evidence)))[:MAX_EVIDENCE]
    return replace(top, evidence=evidence, facts={**other.facts, **top.facts})


def _without_echoes(
    trace: Trace, signals: Sequence[Signal], specificity: Mapping[str, int]
) -> list[Signal]:
    """Signals without the general ones that only repeat what a specific one explains."""
    kept = {id(s): s for s in signals if specificity.get(s.detector, 1) > 0}
    explained = dict(kept)
    parents = {run.run_id: run.parent_id for run in trace.runs}
    rest = [s for s in signals if specificity.get(s.detector, 1) <= 0]
    for general in rest:
        failing = general.cause_run_id
        above = _above(failing, parents) - {trace.trace_id} if explained else set()
        key = next((k for k, s in explained.items() if _explains(s, general, above)), None)
        if key is None:
            kept[id(general)] = general
        else:
            kept[key] = _joined(kept[key], replace(general, likelihood=kept[key].likelihood))
    return list(kept.values())


def _above(run_id: str, parents: Mapping[str, str | None]) -> set[str]:
    """Ids of the runs above a run, at most `MAX_ABOVE` of them."""
    found: set[str] = set()
    parent = parents.get(run_id)
    while parent is not None and parent not in found and len(found) < MAX_ABOVE:
        found.add(parent)
        parent = parents.get(parent)
    return found


def _explains(specific: Signal, general: Signal, above: Collection[str]) -> bool:
    """Whether a specific signal is about the failing run of a general one, and no less likely."""
    if _ORDER.index(specific.likelihood) > _ORDER.index(general.likelihood):
        return False
    failing = general.cause_run_id
    quoted = {item.run_id for item in specific.evidence}
    if failing in (specific.cause_run_id, specific.symptom_run_id) or failing in quoted:
        return True
    return specific.symptom_run_id in above


def _finding(finding_id: str, signal: Signal, specificity: int, trace: Trace) -> Finding:
    confidence = CONFIDENCE[signal.likelihood] + 0.02 * (specificity - 1)
    if trace.status is RunStatus.ERROR and signal.likelihood is not Likelihood.CERTAIN:
        confidence += 0.03
    return Finding(
        finding_id=finding_id,
        category=signal.detector,
        title=signal.title,
        explanation=signal.explanation,
        likelihood=signal.likelihood,
        confidence=round(min(confidence, 0.99), 2),
        cause_run_id=signal.cause_run_id,
        symptom_run_id=signal.symptom_run_id,
        evidence=signal.evidence,
        root_cause=signal.root_cause,
        level=_LEVELS.get(signal.root_cause, "system"),
        facts=signal.facts,
    )

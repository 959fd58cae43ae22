"""Deterministic failure detectors: no model, no network, the same answer every time.

Contract of the room. Each public file is one detector, its file name is the finding's category,
and its first docstring line says what it sees. A detector has `detect(trace)`, which yields
signals in tree order, and two examples that are its tests: `CLEAN` (traces it must be silent on)
and `FAILING` (pairs of a trace and the cause run ids it must name). It may set `SPECIFICITY`
(default 1): 0 says "something broke", 2 says "exactly this broke", and decides ties.

A detector never raises on any JSON, reads bounded amounts of it, names the run that *caused* the
fault beside the run that *showed* it, and quotes only what stands verbatim in the trace. It says
`certain` for hard facts alone, `likely` when it was measured to be nearly silent on passing runs
(`benchmarks/attribution.py`), else `possible`.

Signals are evidence. Attribution is not: of a run that is known to have failed it says which step
most probably led there, with a probability, and never more than `possible`.
"""

from collections.abc import Collection
from dataclasses import replace
from itertools import islice

from refinery.detectors._shared.attribution import Suspect, finding_of, suspects
from refinery.detectors._shared.ranking import MAX_FINDINGS, Verbatim, diagnosis_of
from refinery.model.failure import Diagnosis, Likelihood, Signal
from refinery.model.trace import Trace
from refinery.plugins import load_all

ROOM = "detectors"


MAX_SIGNALS = 500
"""Signals of one detector that are looked at; a trace of that many faults needs no more."""
NO_EVIDENCE = "no deterministic evidence: the step named is only the most probable one"


def observe(trace: Trace) -> list[Signal]:
    """Signals of all detectors, by detector in alphabetical order, in tree order within one.

    Signals with a quote that does not stand verbatim in the trace are dropped.
    """
    return _observe(trace)[0]


def attribute(trace: Trace) -> tuple[Suspect, ...]:
    """Steps of a trace that is known to have failed, most probable cause first.

    Probabilities sum to 1. Of a trace that did not fail this says nothing. Empty when no agent
    speaks in the trace.
    """
    try:
        return suspects(trace, observe(trace))
    except RecursionError:
        return ()


def diagnose(trace: Trace, *, failed: bool = False, without: Collection[str] = ()) -> Diagnosis:
    """What the detectors say of a trace: findings `F1`, `F2`, … best first.

    No deterministic evidence is an empty list of findings, unless the trace is known to have
    failed: then the most probable cause is named, as `possible`, behind everything likelier.

    Args:
        trace: what to look at.
        failed: whether a person, a check or the trace's source says that it failed.
        without: names of detectors left out.
    """
    signals, unread = _observe(trace, without)
    specificity = {
        name: int(getattr(module, "SPECIFICITY", 1)) for name, module in load_all(ROOM).items()
    }
    found = diagnosis_of(trace, signals, specificity, unread)
    return _with_suspect(trace, found, signals) if failed else found


def _with_suspect(trace: Trace, found: Diagnosis, signals: list[Signal]) -> Diagnosis:
    """The diagnosis with the most probable cause put behind all findings that are likelier."""
    if any(finding.likelihood is Likelihood.CERTAIN for finding in found.findings):
        return found
    try:
        ranked = suspects(trace, signals)
    except RecursionError:
        return found
    proven = [f for f in found.findings if f.likelihood is not Likelihood.POSSIBLE]
    if proven and ranked and proven[0].cause_run_id == ranked[0].step.run.run_id:
        return found
    guess = finding_of(trace, ranked, "F0")
    if guess is None:
        return found
    placed = [*proven, guess, *found.findings[len(proven) :]][:MAX_FINDINGS]
    numbered = tuple(replace(f, finding_id=f"F{n}") for n, f in enumerate(placed, start=1))
    gaps = found.unanswerable if found.findings else (NO_EVIDENCE, *found.unanswerable)
    return replace(found, findings=numbered, unanswerable=gaps)


def _observe(trace: Trace, without: Collection[str] = ()) -> tuple[list[Signal], tuple[str, ...]]:
    """Verbatim signals, and the names of detectors that the trace is nested too deep for."""
    signals: list[Signal] = []
    unread: list[str] = []
    check = Verbatim(trace)
    for name, module in load_all(ROOM).items():
        if name in without:
            continue
        try:
            found = islice(module.detect(trace), MAX_SIGNALS)
            signals.extend(s for s in found if check.holds(s))
        except RecursionError:
            unread.append(name)
    return signals, tuple(unread)

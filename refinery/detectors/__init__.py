"""Deterministic failure detectors: no model, no network, the same answer every time.

Contract of the room. Each public file is one detector, its file name is the finding's category,
and its first docstring line says what it sees. A detector has `detect(trace)`, which yields
signals in tree order, and two examples that are its tests: `CLEAN` (traces it must be silent on)
and `FAILING` (pairs of a trace and the cause run ids it must name). It may set `SPECIFICITY`
(default 1): 0 says "something broke", 2 says "exactly this broke", and decides ties.

A detector never raises on any JSON, reads bounded amounts of it, names the run that *caused* the
fault beside the run that *showed* it, and quotes only what stands verbatim in the trace. It says
`certain` for hard facts alone, `likely` when it was measured to be nearly silent on passing runs
(`benchmarks/diagnosis_on_labelled_runs.py`), else `possible`.
"""

from refinery.detectors._shared.ranking import diagnosis_of, is_verbatim
from refinery.model.failure import Diagnosis, Signal
from refinery.model.trace import Trace
from refinery.plugins import load_all

ROOM = "detectors"


def observe(trace: Trace) -> list[Signal]:
    """Signals of all detectors, by detector in alphabetical order, in tree order within one.

    Signals with a quote that does not stand verbatim in the trace are dropped.
    """
    return _observe(trace)[0]


def diagnose(trace: Trace) -> Diagnosis:
    """What the detectors say of a trace: findings `F1`, `F2`, … best first.

    No deterministic evidence is an empty list of findings, never a guess.
    """
    signals, unread = _observe(trace)
    specificity = {
        name: int(getattr(module, "SPECIFICITY", 1)) for name, module in load_all(ROOM).items()
    }
    return diagnosis_of(trace, signals, specificity, unread)


def _observe(trace: Trace) -> tuple[list[Signal], tuple[str, ...]]:
    """Verbatim signals, and the names of detectors that the trace is nested too deep for."""
    signals: list[Signal] = []
    unread: list[str] = []
    for name, module in load_all(ROOM).items():
        try:
            signals.extend(s for s in module.detect(trace) if is_verbatim(trace, s))
        except RecursionError:
            unread.append(name)
    return signals, tuple(unread)

"""Deterministic failure detectors: no model, no network, the same answer every time.

Contract of the room. Each public file is one detector, its file name is the finding's category,
and its first docstring line says what it sees. A detector has `detect(trace)`, which yields
signals in tree order, and two examples that are its tests: `CLEAN` (traces it must be silent on)
and `FAILING` (pairs of a trace and the cause run ids it must name). It may set `SPECIFICITY`
(default 1): 0 says "something broke", 2 says "exactly this broke", and decides ties. Thresholds
a user may want to change stand in `LIMITS`; then it is `detect(trace, limits=LIMITS)`.

A detector never raises on any JSON, reads bounded amounts of it, names the run that *caused* the
fault beside the run that *showed* it, and quotes only what stands verbatim in the trace. It says
`certain` for hard facts alone, `likely` when it was measured to be nearly silent on passing runs
(`benchmarks/attribution.py`), else `possible`.

Signals are evidence. Attribution is not: of a run that is known to have failed it says which step
most probably led there, with a probability, and never more than `possible`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from types import ModuleType

from refinery.detectors._shared.attribution import Suspect, finding_of, suspects
from refinery.detectors._shared.ranking import MAX_FINDINGS, Verbatim, diagnosis_of
from refinery.errors import InputError
from refinery.model.failure import Diagnosis, Likelihood, Signal
from refinery.model.trace import Trace
from refinery.plugins import load_all
from refinery.settings import DetectorSettings

ROOM = "detectors"


MAX_SIGNALS = 500
"""Signals of one detector that are looked at; a trace of that many faults needs no more."""
ALWAYS_ON = ("injected_instruction",)
"""Detectors that settings cannot switch off: a cloned repository brings settings along."""
NO_EVIDENCE = "no deterministic evidence: the step named is only the most probable one"


def observe(trace: Trace, options: DetectorSettings | None = None) -> list[Signal]:
    """Signals of all detectors, by detector in alphabetical order, in tree order within one.

    Signals with a quote that does not stand verbatim in the trace are dropped.

    Raises:
        InputError: the options name a detector or a limit that does not exist.
    """
    return _observe(trace, options)[0]


def attribute(trace: Trace) -> tuple[Suspect, ...]:
    """Steps of a trace that is known to have failed, most probable cause first.

    Probabilities sum to 1. Of a trace that did not fail this says nothing. Empty when no agent
    speaks in the trace.
    """
    try:
        return suspects(trace, observe(trace))
    except RecursionError:
        return ()


def diagnose(
    trace: Trace, *, failed: bool = False, options: DetectorSettings | None = None
) -> Diagnosis:
    """What the detectors say of a trace: findings `F1`, `F2`, … best first.

    No deterministic evidence is an empty list of findings, unless the trace is known to have
    failed: then the most probable cause is named, as `possible`, behind everything likelier.

    Args:
        trace: what to look at.
        failed: whether a person, a check or the trace's source says that it failed.
        options: detectors that are off and changed limits; None: all on, limits as they are.

    Raises:
        InputError: the options name a detector or a limit that does not exist.
    """
    signals, unread = _observe(trace, options)
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


def _observe(
    trace: Trace, options: DetectorSettings | None = None
) -> tuple[list[Signal], tuple[str, ...]]:
    """Verbatim signals, and the names of detectors that the trace is nested too deep for."""
    signals: list[Signal] = []
    unread: list[str] = []
    check = Verbatim(trace)
    for name, detect in _detectors(options).items():
        try:
            signals.extend(s for s in islice(detect(trace), MAX_SIGNALS) if check.holds(s))
        except RecursionError:
            unread.append(name)
    return signals, tuple(unread)


def _detectors(options: DetectorSettings | None) -> dict[str, Callable[[Trace], Iterable[Signal]]]:
    """What each detector that is on does to a trace, by name."""
    modules = load_all(ROOM)
    if options is None:
        return {name: module.detect for name, module in modules.items()}
    for name in (*options.off, *options.limits):
        if name not in modules:
            raise InputError(
                f"settings name a detector {name!r} that does not exist",
                hint=f"one of: {', '.join(modules)}",
            )
    off = set(options.off) - set(ALWAYS_ON)
    return {
        name: _limited(name, module, options.limits.get(name, {}))
        for name, module in modules.items()
        if name not in off
    }


def _limited(
    name: str, module: ModuleType, changed: Mapping[str, float]
) -> Callable[[Trace], Iterable[Signal]]:
    """A detector with its limits changed."""
    own: Mapping[str, float] = getattr(module, "LIMITS", {})
    for limit in changed:
        if limit not in own:
            raise InputError(
                f"detector {name} has no limit {limit!r}",
                hint=f"one of: {', '.join(own)}" if own else "it has none",
            )
    detect: Callable[..., Iterable[Signal]] = module.detect
    return partial(detect, limits={**own, **changed}) if changed else detect

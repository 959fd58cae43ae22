"""A tool that changes things refused call after call while the model guessed other arguments."""

from collections.abc import Iterator, Mapping

from refinery.detectors._shared import samples
from refinery.detectors._shared.actions import is_change
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.view import Call, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Run, Trace

SPECIFICITY = 1

LIMITS: Mapping[str, float] = {"guesses": 2}
"""Refused calls of one changing tool from which on we speak of guessing; on the labelled runs of
the benchmark this holds for one failing run in ten and one passing run in seventy."""


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """One signal for each changing tool that was tried with several arguments and refused them."""
    groups: dict[str, list[Call]] = {}
    for call in view(trace).calls:
        if call.is_error and call.result and is_change(call.call.name):
            groups.setdefault(call.call.name, []).append(call)
    for name, group in groups.items():
        different = [
            call
            for index, call in enumerate(group)
            if call.call.arguments not in [c.call.arguments for c in group[:index]]
        ]
        if len(different) < limits["guesses"]:
            continue
        first, last = group[0], group[-1]
        quoted = [
            item
            for call in different[:3]
            if call.holder is not None
            for item in evidence(call.holder, first_line(call.result or ""))
        ]
        yield Signal(
            detector="trial_and_error",
            title=f"{name} refused {len(group)} calls while the model guessed its arguments",
            explanation=(
                f"{name} was called with {len(different)} different sets of arguments and refused "
                f"them, at first with “{first_line(first.result or '')[:160]}”. The model does "
                "not know what the tool needs, or what it asks for is not possible."
            ),
            cause_run_id=first.model.run.run_id,
            symptom_run_id=(last.holder or last.model.run).run_id,
            evidence=tuple(quoted),
            likelihood=Likelihood.LIKELY,
            root_cause=RootCause.MODEL,
            facts={"tool": name, "refused": len(group), "message": (first.result or "")[:300]},
        )


def _paid(*results: str) -> Trace:
    runs: list[Run] = []
    for number, result in enumerate(results):
        asked = [samples.asks("book_flight", f'{{"pay": {number}}}', f"c{number}")]
        runs.append(samples.model(f"ask {number}", [samples.user("Book it")], asked))
        runs.append(samples.tool(f"run {number}", "book_flight", {"pay": number}, result))
    return samples.trace(*runs)


CLEAN = [_paid("Error: wrong amount", "booked"), _paid("booked", "booked")]
FAILING = [(_paid("Error: wrong amount", "Error: wrong amount"), [samples.uid("ask 0")])]

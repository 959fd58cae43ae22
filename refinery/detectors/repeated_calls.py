"""The same call was made again and again with the same result, or the agent hit its step limit."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from refinery.detectors._shared import samples
from refinery.detectors._shared.failures import failures, model_before
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.view import Call, View, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Json, Run, RunError, RunKind, Trace

SPECIFICITY = 2

LIMITS: Mapping[str, float] = {"calls": 3}
"""Equal calls from which on we speak of a habit; two are a retry."""
_STEP_LIMIT = (
    r"(?i)recursion ?limit|maximum recursion depth|max(?:imum)?[ _](?:number of )?"
    r"(?:iterations?|steps?|turns?)(?: limit)? (?:of \d+ )?(?:was |were |has been )?"
    r"(?:reached|exceeded)|stopped due to (?:iteration|max|time) ?(?:limit|iterations)"
)


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """One signal for each call that is repeated, and one for a step limit that was hit."""
    seen = view(trace)
    called = _asked_for(seen) or _ran(trace)
    habits = (group for group in _groups(called) if len(group) >= limits["calls"])
    repeated = [s for group in habits if (s := _repeated(group)) is not None]
    stopped = list(_step_limits(seen, [s.cause_run_id for s in repeated]))
    explained = {signal.cause_run_id for signal in stopped}
    yield from (signal for signal in repeated if signal.cause_run_id not in explained)
    yield from stopped


_Made = tuple[int, Run, Run, str, str]
"""Position, the run that asked, the run that answered, what was asked, what came back."""


def _asked_for(seen: View) -> list[_Made]:
    return [
        (
            call.position,
            call.model.run,
            call.holder or call.model.run,
            _spelled(call.call.name, call.call.arguments),
            _told(call),
        )
        for call in seen.calls
    ]


def _told(call: Call) -> str:
    return call.result if call.result is not None else "(nothing)"


def _ran(trace: Trace) -> list[_Made]:
    """Tool and retriever runs of an agent whose model calls were not recorded."""
    kinds = (RunKind.TOOL, RunKind.RETRIEVER)
    return [
        (
            index,
            run,
            run,
            _spelled(run.name or "", run.inputs),
            _spelled("", run.outputs if run.error is None else run.error.message),
        )
        for index, run in enumerate(trace.runs)
        if run.kind in kinds
    ]


def _spelled(name: str, arguments: Json) -> str:
    return name + json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)[:4_000]


def _groups(made: Sequence[_Made]) -> Iterator[list[_Made]]:
    """Calls that are equal in what they asked and what came back, two or more of them."""
    groups: dict[tuple[str, str], list[_Made]] = {}
    for item in made:
        groups.setdefault((item[3], item[4]), []).append(item)
    yield from (group for group in groups.values() if len(group) >= 2)


def _repeated(group: Sequence[_Made]) -> Signal | None:
    """A signal about one call made too often; the cause is the first needless repetition."""
    asked = group[1][1]
    last = group[-1]
    name = last[3].partition("{")[0].partition('"')[0] or "the same call"
    adjacent = all(_next_to(a, b) for a, b in pairwise(group))
    arguments = last[3][len(name) :]
    quoted = evidence(asked, arguments, arguments.replace(": ", ":").replace(", ", ","), name)
    quoted += evidence(last[2], first_line(last[4]))
    if not quoted:
        return None
    return Signal(
        detector="repeated_calls",
        title=f"{name} was called {len(group)} times with the same arguments and result",
        explanation=(
            f"{name} was called {len(group)} times with equal arguments and always gave the same "
            "result, so the repetitions could not help. The second call is where it began."
        ),
        cause_run_id=asked.run_id,
        symptom_run_id=last[2].run_id,
        evidence=quoted,
        likelihood=Likelihood.LIKELY if adjacent else Likelihood.POSSIBLE,
        root_cause=RootCause.ORCHESTRATION,
        facts={"tool": name, "times": len(group), "consecutive": adjacent},
    )


def _next_to(one: _Made, other: _Made) -> bool:
    """Whether two calls followed each other: asked in one answer, or in the next."""
    return other[0] - one[0] <= 6


def _step_limits(seen: View, loops: Sequence[str]) -> Iterator[Signal]:
    for failure in failures(seen.trace):
        error = failure.origin.error
        if error is None:
            continue
        hit = find(_STEP_LIMIT, f"{error.type} {error.message[:2_000]}")
        if hit is None or "context" in failure.text:
            continue
        before = model_before(seen.trace, failure.origin) or (
            seen.models[-1].run if seen.models else failure.origin
        )
        cause = seen.trace.run(loops[0]) if loops else before
        yield Signal(
            detector="repeated_calls",
            title="The agent went on until it hit its step limit",
            explanation=(
                "The agent did not come to an end by itself and was stopped at the limit of "
                "steps: it has no condition under which it stops in this case."
            ),
            cause_run_id=(cause or before).run_id,
            symptom_run_id=failure.top.run_id,
            evidence=evidence(failure.origin, first_line(error.message), error.type),
            likelihood=Likelihood.CERTAIN if failure.is_fatal else Likelihood.POSSIBLE,
            root_cause=RootCause.ORCHESTRATION,
            facts={"tool": None, "limit": True, "message": error.message[:200]},
        )


def _searched(*results: str) -> Trace:
    runs: list[Run] = []
    for number, result in enumerate(results):
        asked = [samples.asks("search", '{"query": "refunds"}', f"c{number}")]
        runs.append(samples.model(f"ask {number}", [samples.user("Refunds?")], asked))
        runs.append(samples.tool(f"run {number}", "search", {"query": "refunds"}, result))
    return samples.trace(*runs)


_STOPPED = RunError(
    "GraphRecursionError", "Recursion limit of 25 reached without hitting a stop condition."
)
_ENDLESS = samples.trace(
    samples.model("step", [samples.user("Go")], [samples.asks("look", "{}")]), error=_STOPPED
)

CLEAN = [_searched("none", "none"), _searched("1 of 3", "2 of 3", "3 of 3")]
FAILING = [
    (_searched("none", "none", "none"), [samples.uid("ask 1")]),
    (_ENDLESS, [samples.uid("step")]),
]

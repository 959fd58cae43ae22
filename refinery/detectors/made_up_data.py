"""Data that the agent made up, as it says itself, and an answer that gives it out as a result."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import Hit, find_all
from refinery.detectors._shared.quotes import around, evidence
from refinery.detectors._shared.steps import Speaker, Step, Steps, steps_of
from refinery.detectors._shared.values import numbers
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Run, RunKind, RunStatus, Trace

SPECIFICITY = 2

_MADE_UP = (
    r"(?i)(?:hypothetical|simulated|placeholder|mock(?:ed)?|dummy|fictional|made[- ]up|sample|"
    r"example) (?:\w+ )?(?:data(?:set)?|values?|numbers?|prices?|results?|content|documents?)|"
    r"(?:let(?:['\x{2019}]s| us| me)|(?:we|I)(?:['\x{2019}]ll| will| can)?) "
    r"(?:now )?(?:assume|simulate|pretend|suppose)\b"
)
_ADMITS = (
    r"(?i)hypothetical|simulat|placeholder|mock|dummy|fictional|made[- ]up|assum|sample data|"
    r"example data|not (?:real|actual|verified)|could not (?:verify|find|access|retrieve)|"
    r"estimat|approximat|illustrat"
)
_WANTED = r"(?i)hypothetical|simulat|mock|dummy|fictional|assum|suppose|pretend|example|sample"
"""Words in the request that make made-up data what was asked for."""


def detect(trace: Trace) -> Iterator[Signal]:
    """At most one signal: the first step that makes data up which the answer does not admit."""
    steps = steps_of(trace)
    work = steps.work
    if len(work) < 2 or any(True for _ in find_all(_WANTED, steps.request[:10_000])):
        return
    answer = next((s for s in reversed(work) if len(s.text.strip()) > 40), None)
    if answer is None or any(True for _ in find_all(_ADMITS, answer.text)):
        return
    for step in work:
        hit = next(find_all(_MADE_UP, step.text), None)
        if step.index < answer.index and hit is not None:
            shared = _passed_on(steps, step, answer)
            if shared is not None:
                yield _signal(step, answer, hit, shared)
                return


def _passed_on(steps: Steps, step: Step, answer: Step) -> str | None:
    """A number that step brought in, or what ran it printed, and that the answer repeats."""
    before = " ".join(s.text for s in steps.all[: step.index])[:100_000] + steps.request[:10_000]
    known = {value.canonical for value in numbers(before)}
    following = steps.all[step.index + 1 : step.index + 2]
    printed = "".join(s.text for s in following if s.speaker is Speaker.TOOL)
    brought = {v.canonical for v in numbers(step.text + "\n" + printed)} - known
    for value in numbers(answer.text):
        if value.canonical in brought and len(value.canonical.replace(".", "")) >= 2:
            return value.text
    return None


def _signal(step: Step, answer: Step, hit: Hit, shared: str) -> Signal:
    return Signal(
        detector="made_up_data",
        title=f"{step.agent[:40]} went on with made-up data, and the answer rests on it",
        explanation=(
            f"The step says “{hit.text}” and brings in “{shared}”, which nothing before it "
            "contains. The answer repeats that and does not say that it is made up."
        ),
        cause_run_id=step.run.run_id,
        symptom_run_id=answer.run.run_id,
        evidence=(
            *evidence(step.run, around(step.text, hit.start, hit.end), hit.text),
            *evidence(answer.run, shared),
        ),
        likelihood=Likelihood.POSSIBLE,
        root_cause=RootCause.MODEL,
        facts={"phrase": hit.text[:200], "value": shared[:100], "agent": step.agent[:200]},
    )


def _said(label: str, agent: str, text: str) -> Run:
    said = {"role": "assistant", "name": agent, "content": text}
    return Run(
        samples.uid(label), "", agent, RunKind.AGENT, status=RunStatus.OK,
        outputs={"messages": [said]},
    )  # fmt: skip


def _team(worker: str, answer: str) -> Trace:
    opening = _said("opening", "planner", "Find the price of the season pass and report it.")
    return samples.trace(
        opening, _said("work", "worker", worker), _said("answer", "checker", answer)
    )


_INVENTS = "The site does not load. Let's assume the pass costs 145 dollars."

CLEAN = [
    _team("The site says that the pass costs 145 dollars.", "The season pass costs 145 dollars."),
    _team(_INVENTS, "The season pass costs 145 dollars; that is assumed, not verified."),
    _team(_INVENTS, "The price of the season pass is not published anywhere that I know."),
]
FAILING = [
    (_team(_INVENTS, "Verified: the season pass costs 145 dollars."), [samples.uid("work")])
]

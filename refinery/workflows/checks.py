"""Makes checks of an expectation in words, and trusts one only when runs show that it tells.

A check must fail on the bad run and hold on the good ones, and its opposite, made of the same
words negated, must do the reverse; else it is refused with the reason. Clauses no offline form
reads go to a model, which first tries to write a deterministic check; a judge is the last resort,
and is measured against people's labels.

A clause that asks for certain words (`must mention "29 EUR"`) is about answers to the same input:
good runs of other inputs do not bind it when people labelled them with checks of their own, or
did not label them at all. Without any run that binds, a check is kept and marked weak.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from refinery.agents.expectation import Reading, negated, read, read_clause
from refinery.detectors import observe
from refinery.errors import InputError
from refinery.llm.purse import Purse
from refinery.llm.router import Model
from refinery.model.codec import encode
from refinery.model.trace import Json, Label, Trace
from refinery.model.verdict import Check, ReplayResult
from refinery.ports import TraceFilter
from refinery.replay import checks
from refinery.replay.agreement import Agreement, agreement
from refinery.replay.checks import Judge, recorded_result
from refinery.workflows import traces
from refinery.workflows.check_runs import Run, failing_alike, good_runs, tools_of
from refinery.workflows.wiring import Workspace, connect_model

OFFLINE, WRITTEN, JUDGED = "offline", "model", "judge"
STRONG, WEAK, REFUSED = "strong", "weak", "refused"
_NOT_SO = "It must not be so that: "
_CONTENT = frozenset({"contains", "contains_any", "regex", "equals", JUDGED})
_NO_GOOD_RUN = "no good run of the same input was found to hold it against"


@dataclass(frozen=True, slots=True)
class Tested:
    """What a check and its opposite say of one recorded run."""

    trace_id: str
    is_good: bool
    binds: bool
    """Whether the check has to be right about this run."""
    held: bool
    opposite_held: bool | None
    """None: the check has no opposite."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A check made of a clause, and whether it is trusted."""

    clause: str
    check: str
    """`KIND[@FIELD]:VALUE`"""
    origin: str
    """`offline`, `model` or `judge`: what made it, or evaluates it."""
    strength: str
    """`strong`, `weak` or `refused`"""
    reasons: tuple[str, ...]
    """Why it is weak or refused; empty when it is strong."""
    tests: tuple[Tested, ...]
    agreement: Agreement | None = None
    """How the judge agrees with labels; None for other checks."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What became of an expectation."""

    trace_id: str
    """The bad run."""
    words: str
    made: tuple[Made, ...]
    left_over: tuple[str, ...]
    """Clauses no check could be made of."""

    @property
    def accepted(self) -> tuple[str, ...]:
        """The checks that are not refused, each once."""
        return tuple(dict.fromkeys(m.check for m in self.made if m.strength != REFUSED))

    def told(self) -> list[str]:
        """What came of it in plain lines."""
        lines = [f"{_told(made)}" for made in self.made]
        lines += [f"no check could be made of: {clause}" for clause in self.left_over]
        return lines or ["no check could be made of the expectation: it says nothing"]


@dataclass(frozen=True, slots=True)
class _Maker:
    """What the making of one expectation shares."""

    words: str
    runs: tuple[Run, ...]
    """The bad run first."""
    tools: tuple[str, ...]
    model: Model | None
    judge: Judge | None
    labelled_bad: tuple[ReplayResult, ...] = ()
    """Further runs labelled as failing this very expectation; they measure a judge."""


def make(
    workspace: Workspace,
    bad: Trace,
    words: str,
    model: str | None = None,
    purse: Purse | None = None,
) -> Expected:
    """Make checks of an expectation.

    Args:
        workspace: settings, and the store with the good runs.
        bad: the run that did not meet the expectation.
        words: the expectation.
        model: `provider:model` for clauses no offline form reads; None: the setting, and without
            one those clauses are left over.
        purse: what the model may spend; None: the setting.

    Raises:
        InputError: the expectation is empty.
        ModelError, BudgetError, CredentialsError: the model did not answer.
    """
    if not words.strip():
        raise InputError("the expectation is empty", hint="say what the right behaviour is")
    good = good_runs(workspace, bad)
    first = Run(recorded_result(bad), is_good=False, has_same_input=True)
    connected = connect_model(workspace, model, purse=purse)
    maker = _Maker(
        words,
        (first, *good),
        tools_of(bad),
        connected,
        judge_of(connected),
        failing_alike(workspace, bad, words),
    )
    readings = read(words, maker.tools)
    usable = [reading for reading in readings.found if not reading.is_flipped]
    left = [*readings.left_over, *(r.clause for r in readings.found if r.is_flipped)]
    made: list[Made] = []
    for reading in usable:
        offline = _offline(maker, reading)
        made += [offline]
        if offline.strength == REFUSED and maker.model is not None:
            made += _by_model(maker, reading.clause)
    unread: list[str] = []
    for clause in left:
        found = _by_model(maker, clause) if maker.model is not None else []
        made += found
        unread += [] if found else [clause]
    return Expected(bad.trace_id, words, tuple(made), tuple(unread))


def judge_of(connected: Model | None) -> Judge | None:
    """The judge: a model at temperature 0, within the same budget; None without a model."""
    if connected is None:
        return None
    from refinery.agents.judge import Judge as ModelJudge

    return ModelJudge(connected.at(0.0))


def try_check(
    workspace: Workspace, bad: Trace, text: str, model: str | None = None
) -> tuple[Tested, ...]:
    """Hold a written check against a bad run and the good ones; nothing is kept.

    Raises:
        InputError: it cannot be read, or is evaluated only in a trial.
    """
    check = checks.parse(text)
    if check.kind == "python":
        raise InputError(
            "a python check runs the repository's code, which only a trial does",
            hint="refinery fix with --check",
        )
    first = Run(recorded_result(bad), is_good=False, has_same_input=True)
    judge = judge_of(connect_model(workspace, model)) if check.kind == JUDGED else None
    holds = partial(_holds, check, judge)
    runs = (first, *good_runs(workspace, bad))
    return tuple(_tested(run, holds, None, check.kind in _CONTENT) for run in runs)


def keep(workspace: Workspace, expected: Expected) -> Label:
    """Label the bad run with the expectation, the accepted checks and how they were tested.

    Raises:
        InputError: none was accepted.
    """
    if not expected.accepted:
        raise InputError(
            "no check of this expectation can be trusted: " + "; ".join(expected.told()),
            hint="say it in other words, or give a check with --check",
        )
    before = traces.label_of(workspace, expected.trace_id)
    kept = before.checks if before and before.outcome == "fail" else ()
    said = Label("fail", expected.words, tuple(dict.fromkeys((*kept, *expected.accepted))))
    traces.label(workspace, expected.trace_id, said, evidence=to_document(expected))
    return said


def kept(workspace: Workspace) -> list[tuple[str, Label]]:
    """Labelled runs with an expectation or checks, newest first; at most 1,000 of each outcome."""
    found = []
    for outcome in ("fail", "pass"):
        for summary in workspace.store.list_traces(TraceFilter(label=outcome, limit=1000)):
            label = traces.label_of(workspace, summary.trace_id)
            if label and (label.checks or label.expectation):
                found.append((summary.trace_id, label))
    return found


def tested_document(test: Tested) -> dict[str, Json]:
    """One run's test, as JSON."""
    document: dict[str, Json] = encode(test)
    return document


def to_document(expected: Expected) -> dict[str, Json]:
    """What came of an expectation, as JSON."""
    return {
        "trace_id": expected.trace_id,
        "expectation": expected.words,
        "checks": list(expected.accepted),
        "made": [
            {**encode(m), "agreement": m.agreement.told() if m.agreement else None}
            for m in expected.made
        ],
        "left_over": list(expected.left_over),
    }


def _offline(maker: _Maker, reading: Reading) -> Made:
    opposite = read_clause(negated(reading.clause), maker.tools)

    def opposite_holds(result: ReplayResult) -> bool:
        return all(_holds(r.check, None, result)[0] is not r.is_flipped for r in opposite)

    candidate = _Candidate(
        reading.clause,
        reading.check,
        OFFLINE,
        reading.is_about_content,
        opposite_holds if opposite else None,
    )
    return _judge_candidate(maker, candidate)


@dataclass(frozen=True, slots=True)
class _Candidate:
    clause: str
    check: Check
    origin: str
    is_about_content: bool
    opposite: Callable[[ReplayResult], bool] | None


def _by_model(maker: _Maker, clause: str) -> list[Made]:
    """A deterministic check a model writes; where that is not trusted, a judge."""
    from refinery.agents.check_writer import write

    assert maker.model is not None
    bad = maker.runs[0].result
    made = []
    if check := write(maker.model, clause, bad, maker.tools):
        other = write(maker.model, _NOT_SO + clause, bad, maker.tools)
        opposite = partial(_answer, other, None) if other else None
        about = check.kind in _CONTENT
        candidate = _Candidate(clause, check, WRITTEN, about, opposite)
        made.append(_judge_candidate(maker, candidate))
        if made[0].strength != REFUSED:
            return made
    return [*made, _judged(maker, clause)]


def _judged(maker: _Maker, clause: str) -> Made:
    check = Check(JUDGED, " ".join(clause.split()))
    opposite = partial(_answer, Check(JUDGED, _NOT_SO + check.value), maker.judge)
    made = _judge_candidate(maker, _Candidate(clause, check, JUDGED, True, opposite))
    pairs = [(t.is_good, t.held) for t in made.tests if t.binds]
    pairs += [(False, _answer(check, maker.judge, result)) for result in maker.labelled_bad]
    measured = agreement(pairs)
    if measured.standing == REFUSED and made.strength != REFUSED:
        reasons = (f"the judge {measured.told()}: too little", *made.reasons)
        return replace(made, strength=REFUSED, reasons=reasons, agreement=measured)
    if measured.standing == WEAK and made.strength != REFUSED:
        reasons = (*made.reasons, f"the judge {measured.told()}")
        return replace(made, strength=WEAK, reasons=reasons, agreement=measured)
    return replace(made, agreement=measured)


def _judge_candidate(maker: _Maker, candidate: _Candidate) -> Made:
    """Hold a candidate and its opposite against the runs and say how far it is trusted."""
    judge = maker.judge if candidate.check.kind == JUDGED else None
    holds = partial(_holds, candidate.check, judge)
    about = candidate.is_about_content
    tests = tuple(_tested(run, holds, candidate.opposite, about) for run in maker.runs)
    against = _against(tests, maker.runs[0].result)
    bound = [test for test in tests if test.is_good and test.binds]
    weak = () if bound else (_NO_GOOD_RUN,)
    strength = REFUSED if against else WEAK if weak else STRONG
    reasons = against or weak
    return Made(candidate.clause, str(candidate.check), candidate.origin, strength, reasons, tests)


def _against(tests: Sequence[Tested], bad: ReplayResult) -> tuple[str, ...]:
    """Why a check is refused; empty when nothing speaks against it."""
    first, good = tests[0], [test for test in tests[1:] if test.binds]
    if first.held:
        return ("the bad run already satisfies it",)
    failing = [test for test in good if not test.held]
    if failing:
        said = f" ({failing[0].detail})" if failing[0].detail else ""
        return (f"the good run {failing[0].trace_id} does not satisfy it{said}",)
    if first.opposite_held is None:
        return ("its opposite cannot be written as a check, so nothing shows that it tells",)
    # A run that failed satisfies no check on its content, neither this one nor its opposite.
    if bad.status == "ok" and not first.opposite_held:
        return ("negated, it does not hold on the bad run either: it does not tell the two apart",)
    alike = next((test for test in good if test.opposite_held), None)
    if alike:
        return (f"negated, it still holds on the good run {alike.trace_id}",)
    return ()


def _tested(
    run: Run,
    holds: Callable[[ReplayResult], tuple[bool, str]],
    opposite: Callable[[ReplayResult], bool] | None,
    is_about_content: bool,
) -> Tested:
    held, detail = holds(run.result)
    other = opposite(run.result) if opposite else None
    binds = run.binds(is_about_content=is_about_content)
    return Tested(run.result.trace_id, run.is_good, binds, held, other, detail[:400])


def _holds(check: Check, judge: Judge | None, result: ReplayResult) -> tuple[bool, str]:
    found = checks.evaluate(check, result, observe=observe, judge=judge)
    return found.held, found.detail


def _answer(check: Check, judge: Judge | None, result: ReplayResult) -> bool:
    return _holds(check, judge, result)[0]


def _told(made: Made) -> str:
    why = f": {'; '.join(made.reasons)}" if made.reasons else ""
    return f"{made.check} ({made.strength}, {made.origin}){why}"

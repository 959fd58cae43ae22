from refinery.model.trace import Run, RunStatus, Trace
from refinery.model.verdict import Check, CheckResult, Fidelity, ReplayResult, StepFidelity


def test_the_root_is_the_run_without_a_parent() -> None:
    root, child = Run("a", "a", status=RunStatus.OK, end_ns=2), Run("b", "a", parent_id="a")
    trace = Trace("a", (root, child))

    assert trace.root is root
    assert trace.status is RunStatus.OK
    assert trace.run("b") is child
    assert trace.run("c") is None
    assert not trace.is_complete


def test_without_a_root_the_earliest_run_stands_for_it() -> None:
    orphan = Run("b", "a", parent_id="a", end_ns=1)

    assert Trace("a", (orphan,)).root is orphan
    assert not Trace("a", (orphan,)).is_complete
    assert Trace("a", ()).root is None
    assert Trace("a", ()).status is RunStatus.UNKNOWN


def test_the_duration_is_unknown_while_a_run_is_running() -> None:
    assert Run("a", "a", start_ns=1).duration_ms is None
    assert Run("a", "a", start_ns=1_000_000, end_ns=3_500_000).duration_ms == 2.5


def test_a_check_is_shown_as_it_is_written_on_the_command_line() -> None:
    assert str(Check("contains", "29 EUR", "answer")) == "contains@answer:29 EUR"
    assert str(Check("no_error")) == "no_error"


def test_a_replay_passes_when_it_ended_and_every_check_held() -> None:
    held, broken = CheckResult("c", True), CheckResult("d", False)

    assert ReplayResult("t", "ok", checks=(held,)).passed
    assert not ReplayResult("t", "ok", checks=(held, broken)).passed
    assert not ReplayResult("t", "timeout", checks=(held,)).passed


def test_one_unanswered_step_makes_a_replay_unanswered() -> None:
    step = StepFidelity("model", "llm", Fidelity.UNANSWERED)

    assert ReplayResult("t", "ok", steps=(step,)).unanswered
    assert not ReplayResult("t", "ok").unanswered

from dataclasses import replace
from pathlib import Path

import pytest

from refinery.detectors import diagnose
from refinery.model.trace import RunError, RunStatus, Trace
from refinery.workflows.failure_groups import UNKNOWN, grouped
from refinery.workflows.wiring import Workspace, open_workspace
from tests.cli.calling import call
from tests.kits.traces import run, trace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return open_workspace()


def _failed(name: str, tool: str, error: RunError, at_ms: int = 0) -> Trace:
    broken = {"error": error, "status": RunStatus.ERROR}
    return trace(
        run(name, "chain", name="agent", at_ms=at_ms, **broken),
        run(f"{name}/1", "tool", name, name=tool, at_ms=at_ms + 1, **broken),
    )


def _missing(number: int) -> RunError:
    return RunError("KeyError", f"'order-{number}' at 0x7f{number:06x}, attempt {number}")


def test_one_fault_with_changing_values_is_one_group_and_another_owner_another() -> None:
    traces = [
        *(_failed(f"a{n}", "look_up", _missing(n), at_ms=n) for n in range(3)),
        _failed("b", "refund", _missing(1)),
        _failed("c", "look_up", RunError("TypeError", "no")),
    ]

    groups = grouped((one, diagnose(one)) for one in traces)

    assert [(group.count, group.owner) for group in groups] == [
        (3, "look_up"),
        (1, "look_up"),
        (1, "refund"),
    ]
    assert [member.trace_id for member in groups[0].members] == ["a2", "a1", "a0"]
    assert groups[0].representative == "a2"
    assert {group.category for group in groups} == {"exception"}


def test_traces_in_which_nothing_is_found_are_one_group() -> None:
    quiet = [trace(run(f"q{n}", "chain", outputs={"answer": "yes"})) for n in range(2)]

    (group,) = grouped((one, diagnose(one)) for one in quiet)

    assert (group.category, group.count, group.likelihood) == (UNKNOWN, 2, None)


def test_the_command_groups_a_project_and_names_a_trace_to_fix(workspace: Workspace) -> None:
    for number in range(4):
        failed = _failed(f"aaaa{number}", "look_up", _missing(number), at_ms=number)
        workspace.store.write_runs(failed.runs, project="shop")
    fine = trace(run("fine", "chain", outputs={"answer": "yes"}))
    workspace.store.write_runs(fine.runs, project="shop")
    other = _failed("other", "look_up", _missing(9))
    workspace.store.write_runs(replace(other).runs, project="else")

    told = call("diagnose", "--project", "shop", "--json").json

    assert told["traces"] == 4
    (group,) = told["groups"]
    assert (group["count"], group["owner"], group["representative"]) == (4, "look_up", "aaaa3")
    assert "look_up" in call("diagnose", "--project", "shop").stdout
    assert call("diagnose", "--project", "nothing").code == 5


@pytest.mark.parametrize("arguments", [(), ("aaaa", "--project", "shop"), ("--since", "later")])
def test_a_call_that_says_nothing_or_too_much_is_refused(
    workspace: Workspace, arguments: tuple[str, ...]
) -> None:
    called = call("diagnose", *arguments)

    assert called.code == 2
    assert "hint:" in called.stderr

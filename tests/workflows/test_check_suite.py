"""Labelled conversations played again, and their reports for other programs."""

import json
import xml.etree.ElementTree as Xml
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.model.trace import Label
from refinery.workflows import check_export, check_suite, traces
from refinery.workflows.check_suite import Checked, State
from refinery.workflows.wiring import Workspace, open_workspace
from tests.cli.calling import call
from tests.kits.repositories import git, make_repository, write_files
from tests.kits.traces import run, trace
from tests.workflows.shop import Shop


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Two labelled conversations of one agent."""
    root = make_repository(tmp_path / "shop", {"app.py": "x = 1\n"})
    monkeypatch.chdir(root)
    workspace = open_workspace(root)
    entry = {"kind": "callable", "target": "app:answer", "repository": str(root), "python": "/p"}
    for name, outcome_ in (("bad", "fail"), ("good", "pass")):
        kept = trace(
            run(name, "chain", inputs={"question": "What does it cost?"}, outputs={"answer": "19"},
                metadata={"refinery": {"entry_point": entry}}),
        )  # fmt: skip
        workspace.store.write_runs(kept.runs)
        traces.label(workspace, name, Label(outcome_, "29, please", ("contains:29",)))
    return workspace


def outcome(workspace: Workspace, *states: State) -> list[Checked]:
    cases = check_suite.collect(workspace)
    return [
        Checked(case, state, (), None, "a bad\x00thing", 5.0)
        for case, state in zip(cases, states, strict=False)
    ]


@pytest.mark.slow
def test_conversations_are_played_with_the_code_as_it_is_now(shop: Shop, tmp_path: Path) -> None:
    as_recorded = call("checks", "run", "--offline", "--json")
    app = (shop.root / "app.py").read_text(encoding="utf-8")
    write_files(shop.root, {"app.py": app.replace("opens at 10 in", "opens at 8 in")})
    mended = call("checks", "run", "--json", "--junit", str(tmp_path / "j.xml"))

    assert (as_recorded.code, mended.code) == (1, 0), as_recorded.stdout + mended.stdout
    states = {one["label"]: one["state"] for one in as_recorded.json["conversations"]}
    assert states == {"fail": "failed", "pass": "held"}
    assert Xml.parse(tmp_path / "j.xml").getroot().get("failures") == "0"  # ours


def test_the_exported_file_needs_no_store_and_names_no_machine(workspace: Workspace) -> None:
    cases = check_suite.collect(workspace)

    text = check_export.pytest_file(cases)

    compile(text, "test_conversations.py", "exec")
    unpacked = check_export.unpack(check_export.pack(cases))
    assert [case.name for case in unpacked] == [case.name for case in cases]
    assert [case.checks for case in unpacked] == [case.checks for case in cases]
    entry = unpacked[0].trace.runs[0].metadata["refinery"]["entry_point"]
    assert entry["repository"] is None
    assert str(workspace.home.parent) not in text


@pytest.mark.parametrize("packed", ["", "####", "QUJD", "eJyrVkrLL8pNLFGyMqwFAB9FBH8="])
def test_packed_conversations_that_were_altered_are_refused(packed: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        check_export.unpack(packed)


def test_junit_tells_failures_from_what_nobody_could_answer(workspace: Workspace) -> None:
    root = Xml.fromstring(  # ours
        check_export.junit(outcome(workspace, State.FAILED, State.UNANSWERED))
    )

    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["2", "1", "1"]
    message = root.find("testcase/failure").get("message")  # type: ignore[union-attr]  # it is there
    assert message == "failed: a bad\N{REPLACEMENT CHARACTER}thing"


def test_sarif_holds_a_result_for_each_conversation_that_did_not_hold(
    workspace: Workspace,
) -> None:
    document = check_export.sarif(outcome(workspace, State.FAILED, State.HELD))

    (told,) = json.loads(json.dumps(document))["runs"]
    (result,) = told["results"]
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place == "app.py"
    assert {rule["id"] for rule in told["tool"]["driver"]["rules"]} == {result["ruleId"]}


def test_only_failures_that_a_change_mends_are_played_when_asked_so(workspace: Workspace) -> None:
    found = check_suite.collect(workspace, only_fixed=True)

    assert [case.outcome for case in found] == ["pass"]


def test_names_of_conversations_are_told_apart(workspace: Workspace) -> None:
    traces.label(workspace, "good", Label("pass", None, ("no_error",)))

    names = [case.name for case in check_suite.collect(workspace)]

    assert len(set(names)) == 2
    assert all(name.isidentifier() for name in names)


def test_without_checks_there_is_nothing_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty",
        "-m", "begin")  # fmt: skip
    monkeypatch.chdir(tmp_path)

    assert call("checks", "run").code == 5
    assert call("checks", "export", "--pytest", "t.py").code == 2

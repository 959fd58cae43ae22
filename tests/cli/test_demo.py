from pathlib import Path

import pytest

from refinery.errors import ExitCode
from tests.cli.calling import call, call_program
from tests.kits.repositories import git


@pytest.mark.slow
def test_the_demo_ends_with_a_proven_commit_that_can_be_taken_back(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = call_program("demo", "agent", "--yes", "--json")

    document = called.json
    root = Path(document["repository"])
    assert called.code == ExitCode.DONE, document
    assert document["diagnosis"]["engine"] == "detectors"
    assert document["diagnosis"]["findings"][0]["category"] == "stale_document"
    assert len(document["hypotheses"]) >= 2
    assert document["trial"]["verdict"] == "fixed"
    counts = {
        (a["name"], a["group"]): (a["passed"], a["total"]) for a in document["trial"]["arms"]
    }
    passed, total = counts[("patch", "failing")]
    assert passed == total >= 4
    assert counts[("unpatched", "failing")] == counts[("no-op", "failing")] == (0, total)
    assert counts[("patch", "passing")] == (4, 4)

    commit = document["change"]["commit"]
    assert git(root, "rev-parse", "HEAD").strip() == commit
    assert git(root, "rev-list", "--count", "HEAD").strip() == "2"
    message = git(root, "log", "-1", "--format=%B")
    assert f"Refinery-Trace: {document['diagnosis']['trace_id']}" in message
    assert f"Refinery-Change: {document['change']['id']}" in message
    assert git(root, "status", "--porcelain") == ""

    monkeypatch.chdir(root)
    assert call("rollback", "--yes").code == ExitCode.DONE
    assert git(root, "diff", "HEAD~2", "HEAD") == ""
    assert git(root, "status", "--porcelain") == ""


def test_a_folder_with_something_in_it_is_refused(isolated: Path) -> None:
    (isolated / "mine.txt").write_text("mine", encoding="utf-8")

    assert call("demo", str(isolated), "--yes").code == ExitCode.USAGE
    assert [path.name for path in isolated.iterdir()] == ["mine.txt"]

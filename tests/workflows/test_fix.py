"""The whole loop on a real agent, a real repository and a model server on loopback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from refinery.codebase.repository import Repository
from refinery.errors import RefineryError, RefusedError
from refinery.model.verdict import Verdict
from refinery.workflows import changes, learning
from refinery.workflows.fix import Decision, fix, resume
from refinery.workflows.fix_outcome import FixOutcome, to_document
from refinery.workflows.wiring import open_workspace
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git
from tests.workflows.shop import Shop

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]


def approve(outcome: FixOutcome) -> Decision:
    return Decision("yes", "tester")


def quiet(text: str) -> None:
    del text


def test_a_recorded_failure_ends_as_one_proven_commit(shop: Shop) -> None:
    before = git(shop.root, "rev-parse", "HEAD").strip()

    outcome = fix(shop.workspace, shop.request(), approve, quiet)

    assert outcome.change is not None
    assert outcome.chosen is not None and outcome.chosen.trial is not None
    assert outcome.chosen.trial.verdict is Verdict.FIXED
    arms = {(a.name, a.group): (a.passed, a.total) for a in outcome.chosen.trial.arms}
    passed, total = arms["patch", "failing"]
    assert passed == total >= 4
    assert arms["unpatched, asked again", "failing"] == (0, total)
    assert arms["no-op", "failing"][0] == 0
    assert arms["patch", "passing"][0] == arms["patch", "passing"][1] >= 1
    assert git(shop.root, "rev-parse", "HEAD^").strip() == before
    message = git(shop.root, "log", "-1", "--format=%B")
    assert f"Refinery-Trace: {shop.failing}" in message
    assert f"Refinery-Change: {outcome.change.change_id}" in message
    assert git(shop.root, "status", "--porcelain") == ""
    assert "sorted(" in (shop.root / "app.py").read_text()
    (lesson,) = learning.lessons_of(shop.workspace.home).all()
    assert (lesson.outcome, lesson.change_id) == ("accepted", outcome.change.change_id)
    (record,) = learning.records(shop.workspace.home)
    assert record.failed_ns is not None
    assert record.failed_ns < record.started_ns < record.ended_ns


def test_two_strategies_are_tried_and_nothing_is_written_when_declined(shop: Shop) -> None:
    head = git(shop.root, "rev-parse", "HEAD")
    source = (shop.root / "app.py").read_bytes()

    outcome = fix(shop.workspace, shop.request(), lambda _: Decision("no", "tester"), quiet)

    document = json.loads(json.dumps(to_document(outcome)))
    assert {h["strategy"] for h in document["hypotheses"]} >= {"retrieval", "prompt"}
    assert sum(h["verdict"] is not None for h in document["hypotheses"]) >= 2
    assert document["engine"] == "detectors"
    assert document["trial"]["sandbox"] in ("full", "kernel")
    assert document["change"] is None
    assert document["patch"]["diff"].startswith("--- a/app.py")
    assert git(shop.root, "rev-parse", "HEAD") == head
    assert git(shop.root, "status", "--porcelain") == ""
    assert (shop.root / "app.py").read_bytes() == source


def test_uncommitted_work_stays_as_it_is_through_fix_and_rollback(shop: Shop) -> None:
    (shop.root / "notes.txt").write_text("mine\n")
    (shop.root / "staged.txt").write_text("staged\n")
    git(shop.root, "add", "staged.txt")
    status = git(shop.root, "status", "--porcelain")
    source = (shop.root / "app.py").read_bytes()

    outcome = fix(shop.workspace, shop.request(), approve, quiet)

    assert outcome.change is not None
    assert git(shop.root, "status", "--porcelain") == status
    assert (shop.root / "notes.txt").read_text() == "mine\n"
    assert "staged.txt" not in git(shop.root, "show", "--stat", "HEAD")

    changes.rollback(Repository.open(shop.root), shop.workspace.home, "latest")

    assert (shop.root / "app.py").read_bytes() == source
    assert git(shop.root, "status", "--porcelain") == status
    assert changes.history(shop.workspace.home)[0].state == "rolled back"


def test_a_changed_request_without_a_model_is_unverifiable(
    shop: Shop, server: ModelServer
) -> None:
    server.stop()

    outcome = fix(shop.workspace, shop.request(), approve, quiet)

    assert outcome.change is None
    assert outcome.chosen is None
    verdicts = {a.trial.verdict for a in outcome.attempts if a.trial}
    assert verdicts == {Verdict.UNVERIFIABLE}
    assert git(shop.root, "rev-list", "--count", "HEAD").strip() == "1"


def test_a_process_killed_at_the_approval_can_be_resumed(shop: Shop) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    waiting = subprocess.Popen(
        [sys.executable, "-c", _WAIT_AT_APPROVAL, shop.failing, str(shop.root)],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=shop.root,
    )
    assert waiting.stdout is not None
    session = waiting.stdout.readline().decode().strip()
    assert session.startswith("session-")
    os.kill(waiting.pid, signal.SIGKILL)
    waiting.wait()
    assert git(shop.root, "rev-list", "--count", "HEAD").strip() == "1"

    done = subprocess.run(
        [sys.executable, "-m", "refinery", "fix", "--resume", session, "--yes", "--json"],
        capture_output=True,
        env=environment,
        cwd=shop.root,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    assert (
        json.loads(done.stdout)["change"]["commit"] == git(shop.root, "rev-parse", "HEAD").strip()
    )


_WAIT_AT_APPROVAL = """
import sys, time
from pathlib import Path
from refinery.workflows import traces
from refinery.workflows.fix import FixRequest, fix
from refinery.workflows.wiring import open_workspace

def ask(outcome):
    print(outcome.session_id, flush=True)
    time.sleep(600)

workspace = open_workspace(Path(sys.argv[2]))
request = FixRequest(trace=traces.resolve(workspace, sys.argv[1]), repository=Path(sys.argv[2]))
fix(workspace, request, ask, lambda text: None)
"""


def test_a_person_but_no_yes_option_may_approve_what_the_guard_holds(shop: Shop) -> None:
    settings = shop.root / "refinery.toml"
    settings.write_text(settings.read_text() + '[guard]\ncore_files = ["app.py"]\n')
    shop.workspace.store.close()
    shop.workspace = open_workspace(shop.root)
    asked: list[str] = []

    def careless(outcome: FixOutcome) -> Decision:
        asked.append(outcome.session_id)
        return Decision("yes", "tester")

    with pytest.raises(RefusedError, match="does not cover"):
        fix(shop.workspace, shop.request(), careless, quiet)
    assert git(shop.root, "rev-list", "--count", "HEAD").strip() == "1"

    seen = Decision("yes", "tester", covers_held=True)
    outcome = resume(shop.workspace, asked[0], lambda _: seen, quiet)

    assert outcome.change is not None
    assert git(shop.root, "status", "--porcelain") == " M refinery.toml\n"


def test_a_patch_is_refused_when_the_branch_has_moved_on(shop: Shop) -> None:
    outcome = fix(shop.workspace, shop.request(), lambda _: Decision("later", "tester"), quiet)
    (shop.root / "app.py").write_text("# rewritten\n")
    git(shop.root, "commit", "-qam", "rewrite")
    head = git(shop.root, "rev-parse", "HEAD")

    with pytest.raises(RefineryError):
        resume(open_workspace(shop.root), outcome.session_id, approve, quiet)

    assert git(shop.root, "rev-parse", "HEAD") == head
    assert (shop.root / "app.py").read_text() == "# rewritten\n"

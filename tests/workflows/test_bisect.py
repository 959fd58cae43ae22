"""`refinery bisect` over real histories."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.model.trace import EntryPoint, Label, Trace
from refinery.replay.halving import Standing, first_testable, halve
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import traces, wiring
from refinery.workflows.bisect import BisectRequest, bisect
from refinery.workflows.wiring import Workspace
from tests.cli.calling import call
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import commit_all, git, make_repository, write_files
from tests.replay import kit
from tests.replay.traces import llm, trace

SETTINGS = '[agent]\nentrypoint = "app:answer"\n'


@pytest.fixture
def project(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_repository(isolated / "agent", {"README.md": "An agent.\n"})
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def workspace(project: Path) -> Iterator[Workspace]:
    opened = wiring.open_workspace(project)
    yield opened
    opened.store.close()


def app(body: str, number: int = 0) -> dict[str, str]:
    source = f"# version {number}\ndef answer(question):\n{body}\n"
    return {"app.py": source, "refinery.toml": SETTINGS}


def recorded(project: Path, answer: str, **more: str | None) -> Trace:
    commit = git(project, "rev-parse", "HEAD").strip()
    entry = EntryPoint("callable", "app:answer", "How long?", str(project), commit, **more)
    return trace(entry=entry, output={"output": answer})


ASKS = """
import json
import os
import urllib.request


def answer(question):
    body = {"model": "m", "messages": [{"role": "user", "content": ASKED}]}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
    )
    said = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
    return SAID
"""
GOOD = "    return 'within 30 days'"
BAD = "    return 'within 14 days'"
CHECK = ("contains:30 days",)


@pytest.mark.slow
def test_the_commit_is_found_in_few_steps_past_commits_that_do_not_start(
    workspace: Workspace, project: Path
) -> None:
    shas = []
    for number in range(24):
        body = GOOD if number < 15 else BAD
        write_files(project, app("    return (" if number in (11, 12) else body, number))
        shas.append(commit_all(project, f"version {number}"))
    found = recorded(project, "within 14 days")
    (project / "app.py").write_text("raise SystemExit('work in progress')\n")

    outcome = bisect(workspace, found, BisectRequest(checks=CHECK))

    assert outcome.state == "found"
    assert outcome.first_bad is not None and outcome.parent is not None
    assert outcome.first_bad.subject == "version 15"
    assert outcome.good == shas[0]
    assert (outcome.parent.commit, outcome.parent.passed) == (shas[14], 4)
    assert outcome.itself is not None and (outcome.itself.passed, outcome.itself.total) == (0, 4)
    assert "app.py | 4" in outcome.stat
    assert outcome.p_value == pytest.approx(1 / 70)
    assert len(outcome.tested) <= 9
    assert git(project, "status", "--porcelain").split() == ["M", "app.py"]


@pytest.mark.slow
def test_a_merge_is_followed_to_the_commit_inside(workspace: Workspace, project: Path) -> None:
    write_files(project, app(GOOD))
    commit_all(project, "begin the agent")
    git(project, "switch", "-q", "-c", "side")
    for number in range(3):
        write_files(project, app(BAD if number > 0 else GOOD, number + 1))
        commit_all(project, f"side {number}")
    git(project, "switch", "-q", "main")
    write_files(project, {"notes.md": "more\n"})
    commit_all(project, "notes")
    git(project, "merge", "-q", "--no-ff", "-m", "merge side", "side")

    workspace.store.write_runs(recorded(project, "within 14 days").runs)
    traces.label(workspace, "root", Label("fail", None, CHECK))
    shown = call("bisect", "root")

    assert shown.code == 0, shown.stdout + shown.stderr
    assert "first bad commit" in shown.stdout and "side 1" in shown.stdout
    assert "0 live requests" in shown.stdout


@pytest.mark.slow
def test_what_is_not_in_the_history_is_said(workspace: Workspace, project: Path) -> None:
    write_files(project, app(BAD))
    commit_all(project, "begin the agent")
    write_files(project, app(BAD, 1))
    commit_all(project, "next")
    always = recorded(project, "within 14 days")
    write_files(project, app(GOOD, 2))
    diff_from = commit_all(project, "mended")
    write_files(project, app(BAD, 3))
    diff = git(project, "diff", "--binary", "HEAD")
    dirty = recorded(project, "within 14 days", dirty_diff=diff)

    never = bisect(workspace, always, BisectRequest(checks=CHECK))
    mended = bisect(workspace, recorded(project, "x"), BisectRequest(checks=CHECK))
    mine = bisect(workspace, dirty, BisectRequest(checks=CHECK))

    assert (never.state, never.first_bad) == ("not in history", None)
    assert mended.state == "not reproduced"
    assert mine.state == "uncommitted" and mine.bad == diff_from
    workspace.store.write_runs(always.runs)
    asked = call("bisect", "root", "--json")
    assert asked.code == 2 and "nothing says what is wrong" in asked.json["error"]["message"]
    with pytest.raises(InputError, match="no ancestor"):
        bisect(workspace, always, BisectRequest(good=diff_from, checks=CHECK))


@pytest.mark.slow
def test_a_commit_whose_requests_are_others_is_asked_live_or_skipped(
    workspace: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        asked = "question" if number > 1 else "'Q ' + question"
        said = "said.upper()" if number == 3 else "said"
        source = ASKS.replace("ASKED", asked).replace("SAID", said)
        write_files(
            project, {"app.py": source, "notes.md": str(number), "refinery.toml": SETTINGS}
        )
        commit_all(project, f"version {number}")
    commit = git(project, "rev-parse", "HEAD").strip()
    entry = EntryPoint("callable", "app:answer", "hi", str(project), commit)
    found = trace(llm(1, "hi", "hello"), entry=entry, output={"output": "HELLO"})

    def model(request: ModelRequest) -> ModelReply:
        return ModelReply("hello again")

    offline = bisect(workspace, found, BisectRequest(checks=("regex:hello",), max_requests=0))
    with ModelServer(model) as server:
        for name, value in kit.openai_env(server.url).items():
            monkeypatch.setenv(name, value)
        live = bisect(workspace, found, BisectRequest(checks=("regex:hello",)))

    assert [c.subject for c in (offline.first_bad, live.first_bad) if c] == ["version 3"] * 2
    skipped = [item for item in offline.tested if not item.is_testable]
    assert skipped and "was not answered" in skipped[0].why
    assert all(item.is_testable for item in live.tested)
    assert live.spent.requests == len(server.requests) > 0


@pytest.mark.slow
def test_an_agent_that_fails_now_and_then_is_replayed_until_it_is_clear(
    workspace: Workspace, project: Path
) -> None:
    half = "    import random\n    return 'within 30 days' if random.random() < 0.5 else 'no'"
    for number in range(8):
        write_files(project, app(half if number >= 5 else GOOD, number))
        commit_all(project, f"version {number}")

    outcome = bisect(workspace, recorded(project, "no"), BisectRequest(checks=CHECK, repeats=20))

    assert outcome.state in ("found", "candidates")
    if outcome.first_bad is not None:
        assert outcome.first_bad.subject == "version 5"
        assert outcome.p_value is not None and outcome.p_value < 0.05


def test_halving_finds_the_first_bad_one_whatever_cannot_be_judged() -> None:
    dice = random.Random(7)
    for size in range(1, 60):
        first = dice.randrange(size)
        dead = {at for at in range(size - 1) if dice.random() < 0.3}
        asked: list[int] = []

        def judge(
            at: int, dead: set[int] = dead, first: int = first, asked: list[int] = asked
        ) -> Standing:
            asked.append(at)
            if at in dead:
                return Standing.UNTESTABLE
            return Standing.BAD if at >= first else Standing.GOOD

        found = halve(size, judge)

        assert first in found.candidates
        assert set(found.candidates) - {found.first_bad} <= dead
        assert len(asked) == len(set(asked))


def test_few_commits_are_asked_when_all_can_be_judged() -> None:
    asked: list[int] = []

    def judge(at: int) -> Standing:
        asked.append(at)
        return Standing.BAD if at >= 700 else Standing.GOOD

    assert halve(1000, judge).candidates == range(700, 701)
    assert len(asked) <= 10
    assert first_testable(9, lambda at: Standing.UNTESTABLE if at < 3 else Standing.GOOD) == 3
    assert first_testable(3, lambda at: Standing.UNTESTABLE) is None
    assert first_testable(0, lambda at: Standing.GOOD) is None

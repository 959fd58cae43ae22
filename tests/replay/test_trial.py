"""Patches of a real agent tried for real: with a model to ask, and with nobody to ask."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from refinery.detectors import observe
from refinery.model.messages import ToolCall
from refinery.model.patch import FileChange, Patch
from refinery.model.trace import EntryPoint, Trace
from refinery.model.verdict import Arm, Trial, Verdict
from refinery.replay.cases import Case, TrialRequest
from refinery.replay.checks import parse
from refinery.replay.program import Agent
from refinery.replay.trial import Baseline, baseline, run_trial
from refinery.replay.upstream import Budget, Endpoint, Upstream
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.safety import sandbox
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git
from tests.replay import kit
from tests.replay.traces import llm, trace

pytestmark = pytest.mark.slow


def clerk(request: ModelRequest) -> ModelReply:
    if request.tools and not any(m.role == "tool" for m in request.messages):
        return ModelReply("", (ToolCall("stock", {"item": "lamp"}, "call_1"),))
    return ModelReply(" / ".join(m.text.strip() for m in request.messages if m.text))


@dataclass(frozen=True)
class Shop:
    request: TrialRequest
    base: Baseline
    server: ModelServer

    def patch(self, path: str, old: str, new: str) -> Patch:
        before = kit.SHOP[path].encode()
        after = before.replace(old.encode(), new.encode())
        assert before != after
        change = FileChange(path, before, after)
        return Patch((), (change,), self.request.base_commit, "", "digest")

    def attempt(self, patch: Patch | None, *, is_asked: bool = True) -> Trial:
        agent = self.request.agent
        upstream = agent.upstream if is_asked else None
        request = replace(self.request, patch=patch, agent=replace(agent, upstream=upstream))
        return run_trial(request, self.base)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    root = kit.repository(folder / "repo", kit.SHOP)
    asked = [{"question": "Can I return it?"}, {"question": "And the lamp?"}]
    with ModelServer(clerk) as server:
        env = kit.openai_env(server.url)
        bad, good = kit.record(root, "shop:answer", asked, env, folder / "spool")
        endpoint = Endpoint(server.url + "/v1", "key-of-the-agent")
        request = TrialRequest(
            hypothesis_id="H1",
            patch=None,
            failing=(Case(bad, (parse("contains@answer:30 days"),)),),
            controls=(Case(good),),
            agent=Agent(root, upstream=Upstream(endpoint, None, Budget(200)), tier=_tier()),
            base_commit=git(root, "rev-parse", "HEAD").strip(),
            observe=observe,
            touched=("stock.py", "prompts/system.md", "shop.py"),
        )
        yield Shop(request, baseline(request), server)


def _tier() -> str:
    return sandbox.strongest(allow_unsandboxed=True)


def arm(trial: Trial, name: str, group: str) -> Arm:
    return next(arm for arm in trial.arms if (arm.name, arm.group) == (name, group))


def test_the_baseline_shows_the_failure_and_the_passing_run(shop: Shop) -> None:
    assert shop.base.problem == ""
    assert [(a.name, a.group, a.passed, a.total) for a in shop.base.arms] == [
        ("unpatched", "failing", 0, 4),
        ("unpatched", "passing", 1, 1),
        ("no-op", "failing", 0, 4),
    ]


def test_a_patch_of_code_under_test_is_proven(shop: Shop) -> None:
    patch = shop.patch("stock.py", "newest_first: bool = False", "newest_first: bool = True")

    trial = shop.attempt(patch)

    assert trial.verdict is Verdict.FIXED, trial.reason
    assert "4 of 4 failing replays pass with the patch, 0 of 4 without" in trial.reason
    assert arm(trial, "patch", "failing").interval == pytest.approx((0.5101, 1.0), abs=1e-3)
    assert trial.p_value == pytest.approx(1 / 70)
    assert trial.facts["chance"] == "a live model answered"
    assert (arm(trial, "unpatched, asked again", "failing").passed, 4) == (
        0,
        arm(trial, "no-op", "failing").total,
    )
    assert trial.sandbox == _tier()
    assert trial.checks == ("contains@answer:30 days",)
    assert "1 of 1 passing replays (patch) give another result" in trial.warnings
    assert all(result.replayed is None for a in trial.arms for result in a.results)


def test_without_a_model_to_ask_a_changed_prompt_proves_nothing(shop: Shop) -> None:
    patch = shop.patch("prompts/system.md", "Be short.", "Say 30 days.")

    trial = shop.attempt(patch, is_asked=False)

    assert trial.verdict is Verdict.UNVERIFIABLE
    assert "nobody could answer" in trial.reason


def test_a_patch_that_changes_nothing_has_no_effect(shop: Shop) -> None:
    asked_before = len(shop.server.requests)

    trial = shop.attempt(None)

    assert trial.verdict is Verdict.NO_EFFECT
    assert len(shop.server.requests) == asked_before  # all of it was answered from the tape


def test_a_patch_that_breaks_a_passing_run_is_a_regression(shop: Shop) -> None:
    old = 'request["question"])]})'
    patch = shop.patch("shop.py", old, old + '\n    assert "lamp" not in request["question"]')

    trial = shop.attempt(patch)

    assert trial.verdict is Verdict.REGRESSED
    assert "AssertionError" in trial.reason


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.repository(tmp_path_factory.mktemp("plain") / "repo", kit.PLAIN)


def by_hand(root: Path, question: str, said: str, **more: object) -> Trace:
    commit = git(root, "rev-parse", "HEAD").strip()
    entry = EntryPoint("callable", "plain:answer", question, str(root), commit)
    return trace(llm(1, question, said), entry=entry, output={"output": said}, **more)


@pytest.fixture
def ask(plain: Path) -> Callable[..., TrialRequest]:
    """Makes a request about the plain agent, whose patch asks the model in another way."""

    def make(*checks: str, is_patched: bool = True, **more: object) -> TrialRequest:
        before = kit.PLAIN["plain.py"].encode()
        after = before.replace(b'"content": question', b'"content": "please: " + question')
        commit = git(plain, "rev-parse", "HEAD").strip()
        patch = Patch((), (FileChange("plain.py", before, after),), commit, "", "d")
        wanted = tuple(parse(text) for text in checks)
        return TrialRequest(
            hypothesis_id="H1",
            patch=patch if is_patched else None,
            failing=(Case(by_hand(plain, "hi", "no"), wanted),),
            controls=(),
            agent=Agent(plain, tier=_tier()),
            base_commit=commit,
            **more,  # type: ignore[arg-type]  # fields of the request
        )

    return make


def live(server: ModelServer, request: TrialRequest) -> TrialRequest:
    upstream = Upstream(Endpoint(server.url + "/v1", None), None, Budget(50))
    return replace(request, agent=replace(request.agent, upstream=upstream))


def test_a_model_that_does_right_anyway_proves_nothing(ask: Callable[..., TrialRequest]) -> None:
    with ModelServer(lambda request: ModelReply("yes")) as server:
        trial = run_trial(live(server, ask("contains:yes")))

    assert trial.verdict is Verdict.UNVERIFIABLE
    assert "does right without the patch too" in trial.reason


def test_repeats_count_and_a_failure_that_comes_and_goes_needs_evidence(
    ask: Callable[..., TrialRequest],
) -> None:
    said = iter(["no", "yes"] * 20)

    def moody(request: ModelRequest) -> ModelReply:
        is_patched = "please" in request.messages[-1].text
        return ModelReply("yes" if is_patched else next(said))

    with ModelServer(moody) as server:
        few = run_trial(live(server, ask("contains:yes", max_runs=20)))
        many = run_trial(live(server, ask("contains:yes")))

    assert few.verdict is Verdict.UNVERIFIABLE
    assert "chance is not ruled out (the limit of 20 replays is reached)" in few.reason
    assert many.verdict is Verdict.FIXED
    total = arm(many, "patch", "failing").total
    assert total == arm(many, "unpatched, asked again", "failing").total
    assert total in many.facts["statistics"]["looks"]
    assert many.p_value is not None
    assert many.p_value <= many.facts["statistics"]["p_needed"] < 0.05


def test_checks_in_python_are_judged_by_the_committed_code(
    ask: Callable[..., TrialRequest],
) -> None:
    request = ask("python:scoring:is_short", "contains:yes", is_patched=False)
    weaker = FileChange("scoring.py", None, b"def is_short(result):\n    return True\n")
    patch = Patch((), (weaker,), request.base_commit, "", "d")
    long = replace(request.failing[0], trace=by_hand(request.agent.repository, "hi", "no" * 9))

    trial = run_trial(replace(request, patch=patch, failing=(long,)))

    judged = arm(trial, "patch", "failing").results[0].checks[0]
    assert (judged.held, judged.detail) == (False, "18 characters")


def test_a_failure_that_does_not_come_back_is_unverifiable(
    ask: Callable[..., TrialRequest],
) -> None:
    trial = run_trial(ask("contains:no"))

    assert trial.verdict is Verdict.UNVERIFIABLE
    assert "not reproduced" in trial.reason


def test_another_failure_is_not_the_recorded_one(
    ask: Callable[..., TrialRequest], plain: Path
) -> None:
    request = ask("contains:yes")
    entry = EntryPoint("callable", "missing:answer", "hi", str(plain), request.base_commit)
    lost = Case(trace(llm(1, "hi", "no"), entry=entry), request.failing[0].checks)

    trial = run_trial(replace(request, failing=(lost,)))

    assert trial.verdict is Verdict.UNVERIFIABLE
    assert "ends otherwise than recorded: cannot import 'missing'" in trial.reason


def test_a_trace_without_an_entry_point_is_unverifiable(
    ask: Callable[..., TrialRequest],
) -> None:
    request = replace(ask("contains:yes"), failing=(Case(trace(llm(1, "hi", "no"))),))

    trial = run_trial(request)

    assert trial.verdict is Verdict.UNVERIFIABLE
    assert "names no callable entry point" in trial.reason


def test_a_commit_that_is_gone_is_unverifiable(ask: Callable[..., TrialRequest]) -> None:
    trial = run_trial(replace(ask("contains:yes"), base_commit="0" * 40))

    assert trial.verdict is Verdict.UNVERIFIABLE
    assert trial.arms == ()

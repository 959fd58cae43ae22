"""Real agents, recorded with a model that is gone, run again inside real sandboxes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from refinery.errors import InputError, RefusedError, ReplayError
from refinery.model.messages import ToolCall
from refinery.model.patch import FileChange
from refinery.model.trace import EntryPoint, Trace, Usage
from refinery.model.verdict import Fidelity, ReplayResult
from refinery.replay import compare
from refinery.replay.checks import replayed_trace
from refinery.replay.program import Agent, Code
from refinery.replay.runner import Batch, replay
from refinery.replay.session import Rules
from refinery.replay.tape import Tape
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.safety import sandbox
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git
from tests.replay import kit
from tests.replay.traces import llm, trace

pytestmark = pytest.mark.slow


def clerk(request: ModelRequest) -> ModelReply:
    """Looks at the stock first, then repeats all it was told."""
    if request.tools and not any(m.role == "tool" for m in request.messages):
        return ModelReply("", (ToolCall("stock", {"item": "lamp"}, "call_1"),), Usage(10, 2))
    return ModelReply(" / ".join(m.text.strip() for m in request.messages if m.text))


def banker(request: ModelRequest) -> ModelReply:
    """Converts what was asked for, then says what came of it."""
    said = request.messages[-1]
    if said.role != "tool":
        call = ToolCall("convert", {"amount": 2.0, "currency": said.text}, "toolu_1")
        return ModelReply("One moment.", (call,), Usage(9, 3))
    return ModelReply(f"That is {said.text}")


@dataclass(frozen=True)
class Recorded:
    root: Path
    commit: str
    traces: list[Trace]
    tapes: tuple[Tape, ...]


def recorded(
    folder: Path, files: dict[str, str], target: str, given: list[Any], answer: Any, env: Any
) -> Recorded:
    root = kit.repository(folder / "repo", files)
    with ModelServer(answer) as server:
        traces = kit.record(root, target, given, env(server.url), folder / "spool")
    tapes = tuple(Tape.from_trace(one) for one in traces)
    return Recorded(root, git(root, "rev-parse", "HEAD").strip(), traces, tapes)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    asked = [{"question": "Can I return it?"}, {"question": "And the lamp?"}]
    folder = tmp_path_factory.mktemp("shop")
    return recorded(folder, kit.SHOP, "shop:answer", asked, clerk, kit.openai_env)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.repository(tmp_path_factory.mktemp("plain") / "repo", kit.PLAIN)


def run(agent: Agent, code: Code, *tapes: Tape, **more: Any) -> list[ReplayResult]:
    try:
        return [one.result for one in replay(Batch(agent, code, tapes, **more))]
    except RefusedError as error:
        pytest.skip(f"no such sandbox here: {error}")


@pytest.mark.parametrize("tier", [sandbox.FULL, sandbox.KERNEL])
def test_an_unchanged_agent_repeats_itself_in_every_tier(shop: Recorded, tier: str) -> None:
    results = run(Agent(shop.root, tier=tier), Code(shop.commit), *shop.tapes)

    for result, tape in zip(results, shop.tapes, strict=True):
        assert (result.status, result.error) == ("ok", None)
        assert compare.is_same_output(tape, result.output)
        assert [(s.kind, s.fidelity.value) for s in result.steps] == [
            ("retriever", "exact"),
            ("llm", "exact"),
            ("tool", "exact"),
            ("llm", "exact"),
        ]
    again = replayed_trace(results[0])
    assert again is not None
    assert [r.name for r in again.runs] == [r.name for r in shop.traces[0].runs]
    assert [r.kind for r in again.runs] == [r.kind for r in shop.traces[0].runs]


def test_a_tool_whose_data_file_is_touched_runs_for_real(shop: Recorded) -> None:
    change = FileChange("count.txt", b"7\n", b"8\n")
    code = Code(shop.commit, changes=(change,))

    patched = run(Agent(shop.root), code, shop.tapes[0], touched=("count.txt",))[0]
    live = next(step for step in patched.steps if step.kind == "tool")
    assert live.fidelity is Fidelity.LIVE
    assert patched.status == "unanswered"  # the model is told of 8 lamps, which nobody recorded


def test_a_tool_that_fails_for_real_fails_the_run(shop: Recorded) -> None:
    change = FileChange("count.txt", b"7\n", None)
    code = Code(shop.commit, changes=(change,))

    result = run(Agent(shop.root), code, shop.tapes[0], touched=("count.txt",))[0]

    assert result.status == "error"
    assert result.error == "ValueError: no count of lamp"


def test_a_streaming_asynchronous_claude_agent_repeats_itself(tmp_path: Path) -> None:
    asked = [{"question": "USD"}, {"question": "XXX"}]
    made = recorded(tmp_path, kit.CLAUDE, "app.agent:answer", asked, banker, kit.anthropic_env)

    unchanged = Rules(is_unchanged=True)
    good, bad = run(Agent(made.root), Code(made.commit), *made.tapes, rules=unchanged)

    assert good.output == {
        "text": "That is 4.0 EUR",
        "converted": 0,
    }  # the tool itself did not run
    assert good.steps[0].fidelity in (Fidelity.EXACT, Fidelity.NORMALISED)
    assert bad.status == "error"
    assert bad.error == "LookupError: no such currency"
    assert bad.steps[-1].detail == "the recorded error"


def test_a_model_that_speaks_no_http_is_served_by_langchain(tmp_path: Path) -> None:
    made = recorded(tmp_path, kit.OWN_MODEL, "own:answer", ["hi", "fail"], clerk, kit.openai_env)
    louder = kit.OWN_MODEL["own.py"].replace("Be kind.", "Be loud.").encode()
    change = FileChange("own.py", b"", louder)

    good, bad = run(Agent(made.root), Code(made.commit), *made.tapes)
    patched = run(Agent(made.root), Code(made.commit, changes=(change,)), made.tapes[0])[0]

    assert good.output == {"said": ["I heard hi", "I heard hi"], "asked": 0}
    assert [step.fidelity.value for step in good.steps] == ["exact", "exact"]
    assert (bad.status, bad.error) == ("error", "TimeoutError: the model is gone")
    assert [step.fidelity.value for step in patched.steps] == ["live", "exact"]
    assert patched.output["asked"] == 1


def by_hand(target: str, argument: Any, *said: str) -> Tape:
    entry = EntryPoint("callable", target, argument)
    runs = [llm(n, str(argument), text) for n, text in enumerate(said)]
    output = {"output": said[0] if said else None}
    return Tape.from_trace(trace(*runs, entry=entry, output=output))


def head(root: Path) -> Code:
    return Code(git(root, "rev-parse", "HEAD").strip())


def test_a_plain_sdk_client_with_a_hard_coded_address_reaches_the_gateway(plain: Path) -> None:
    tape = by_hand("plain:answer", "hi", "hello")

    result = run(Agent(plain), head(plain), tape)[0]

    assert (result.status, result.output) == ("ok", "hello")
    assert compare.is_same_output(tape, result.output)
    assert [step.fidelity for step in result.steps] == [Fidelity.EXACT]


def test_an_agent_with_threads_is_imported_anew_for_each_case(plain: Path) -> None:
    tapes = [by_hand("threads:threaded", text, f"about {text}") for text in ("a", "b")]

    results = run(Agent(plain), head(plain), *tapes)

    assert [result.output for result in results] == ["worker: about a", "worker: about b"]


@pytest.mark.parametrize("tier", [sandbox.FULL, sandbox.UNSANDBOXED])
def test_any_other_connection_is_refused_and_leaves_the_run_unanswered(
    plain: Path, tier: str
) -> None:
    result = run(Agent(plain, tier=tier), head(plain), by_hand("plain:lookup", "x"))[0]

    assert result.status == "unanswered"
    assert result.steps[-1].name == "198.51.100.7"


def test_a_run_that_takes_too_long_or_kills_itself_is_told_apart(plain: Path) -> None:
    slow = run(Agent(plain, timeout_s=1.5), head(plain), by_hand("plain:slow", "x"))[0]
    dead = run(Agent(plain), head(plain), by_hand("plain:die", "x"))[0]

    assert slow.status == "timeout"
    assert (dead.status, dead.error) == ("error", "the agent's process ended: exit code 7")


def test_the_agent_sees_nothing_of_the_machine(plain: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden")

    result = run(Agent(plain), head(plain), by_hand("plain:escape", str(secret)))[0]

    assert result.output == [None, None, None, None]
    assert not (tmp_path / "secret.txt.written").exists()


def test_code_that_cannot_be_imported_says_where(plain: Path) -> None:
    change = FileChange("plain.py", b"", b"import missing_library\n")
    code = Code(head(plain).commit, changes=(change,))

    result = run(Agent(plain), code, by_hand("plain:answer", "hi", "x"))[0]

    assert result.status == "error"
    assert "No module named 'missing_library' (plain.py:1)" in str(result.error)


def test_uncommitted_changes_are_part_of_the_recorded_program(plain: Path) -> None:
    diff = (
        "diff --git a/plain.py b/plain.py\n--- a/plain.py\n+++ b/plain.py\n"
        "@@ -1,3 +1,4 @@\n \n import openai\n+answer_word = 'yes'\n \n"
    )
    code = Code(head(plain).commit, diff)
    patched = FileChange(
        "more.py", None, b"import plain\ndef ask(q):\n    return plain.answer_word\n"
    )

    result = run(Agent(plain), Code(code.commit, diff, (patched,)), by_hand("more:ask", "hi"))[0]

    assert result.output == "yes"


def test_only_what_was_started_as_a_callable_can_be_replayed(plain: Path) -> None:
    silent = Tape.from_trace(trace(llm(1, "hi", "x")))
    command = Tape.from_trace(trace(entry=EntryPoint("command", "python app.py")))

    for tape in (silent, command):
        with pytest.raises(InputError) as caught:
            replay(Batch(Agent(plain), head(plain), (tape,)))
        assert "refinery record --input" in caught.value.hint


def test_one_batch_is_one_program(plain: Path) -> None:
    tapes = (by_hand("plain:answer", "a"), by_hand("plain:slow", "a"))

    with pytest.raises(ReplayError):
        replay(Batch(Agent(plain), head(plain), tapes))


def test_a_patch_cannot_leave_the_export(plain: Path) -> None:
    change = FileChange("../outside.py", None, b"x = 1\n")

    with pytest.raises(InputError):
        replay(
            Batch(
                Agent(plain),
                Code(head(plain).commit, changes=(change,)),
                (by_hand("plain:answer", "a"),),
            )
        )


def test_nothing_is_left_behind(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="rt"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    folder.chmod(0o755)

    run(Agent(plain), head(plain), by_hand("plain:answer", "hi", "hello"))

    assert list(folder.iterdir()) == []
    folder.rmdir()
    assert git(plain, "status", "--porcelain") == ""

"""Parts that run inside the sandbox, tried here: imports, connections, models, judges."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from refinery.model.trace import RunError
from refinery.replay.gateway import Gateway
from refinery.replay.inside import after_import, scorer
from refinery.replay.inside.models import Models
from refinery.replay.inside.redirect import Redirect
from refinery.replay.session import Rules
from refinery.replay.tape import Tape
from tests.replay.kit import OWN_MODEL
from tests.replay.traces import failed, llm, trace


@pytest.fixture(autouse=True)
def imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Whatever a test imports from its folder or puts on the path is gone after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_change_is_made_right_after_a_later_import(tmp_path: Path) -> None:
    (tmp_path / "late_library.py").write_text("WORD = 'plain'\n")
    (tmp_path / "user_code.py").write_text("from late_library import WORD\n")
    sys.path.insert(0, str(tmp_path))

    def change(module: ModuleType) -> None:
        module.WORD = "changed"  # type: ignore[attr-defined]  # a module of this test

    after_import.apply({"late_library": change})

    assert importlib.import_module("user_code").WORD == "changed"


def test_a_change_is_made_at_once_to_what_is_imported_already() -> None:
    seen: list[str] = []

    after_import.apply({"json": lambda module: seen.append(module.__name__)})

    assert seen == ["json"]


def test_a_library_that_is_missing_stays_missing() -> None:
    after_import.apply({"no_such_library": lambda module: None})

    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_library")


def test_transports_re_aim_what_they_are_given() -> None:
    sent: list[Any] = []

    class Transport:
        def handle_request(self, request: Any) -> httpx.Response:
            sent.append(request)
            return httpx.Response(200)

        async def handle_async_request(self, request: Any) -> httpx.Response:
            sent.append(request)
            return httpx.Response(200)

    library = SimpleNamespace(HTTPTransport=Transport, AsyncHTTPTransport=Transport)
    Redirect(8123)._change(library)  # type: ignore[arg-type]  # stands for the module

    Transport().handle_request(httpx.Request("POST", "https://x.example/v1/messages"))

    assert str(sent[0].url) == "http://127.0.0.1:8123/v1/messages"


@pytest.mark.parametrize(
    ("event", "arguments", "refused"),
    [
        ("socket.connect", (None, ("127.0.0.1", 8123)), []),
        ("socket.connect", (None, ("127.0.0.1", 5432)), ["127.0.0.1:5432"]),
        ("socket.connect", (None, ("169.254.169.254", 80)), ["169.254.169.254:80"]),
        ("socket.connect", (None, ("::1", 8123, 0, 0)), []),
        ("socket.connect", (None, "/run/docker.sock"), []),
        ("socket.getaddrinfo", ("example.com", 443), ["example.com"]),
        ("socket.getaddrinfo", (b"example.com", 443), ["example.com"]),
        ("socket.getaddrinfo", ("localhost", 443), []),
        ("socket.getaddrinfo", (None, 443), []),
        ("open", ("/etc/passwd", "r"), []),
    ],
)
def test_only_the_gateway_may_be_reached(
    event: str, arguments: tuple[Any, ...], refused: list[str]
) -> None:
    redirect = Redirect(8123)
    for _ in range(2):
        try:
            redirect._audit(event, arguments)
        except ConnectionRefusedError:
            assert refused
        else:
            assert not refused

    assert redirect.refused == refused


def test_the_clients_variables_name_the_gateway_and_the_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "u")
    environment: dict[str, str] = {}
    monkeypatch.setattr("refinery.replay.inside.redirect.os.environ", environment)

    Redirect(8123).begin("t0ken")

    assert environment["OPENAI_BASE_URL"] == "http://127.0.0.1:8123/v1"
    assert environment["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8123"
    assert environment["ANTHROPIC_API_KEY"] == environment["OPENAI_API_KEY"] == "t0ken"


@pytest.fixture
def local(tmp_path: Path) -> Any:
    (tmp_path / "own_model.py").write_text(OWN_MODEL["own.py"])
    sys.path.insert(0, str(tmp_path))
    return importlib.import_module("own_model").Local()


def test_a_described_call_is_answered_or_left_to_the_model(local: Any, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    answer = {"model": "local-1", "choices": [{"message": {"role": "assistant", "content": "x"}}]}
    known = llm(
        1, "hi", "", outputs={**answer, "usage": usage}, inputs={"messages": [["user", "hi"]]}
    )
    gone = failed(2, "fail", RunError("TimeoutError", "gone"))
    made = Tape.from_trace(trace(known, gone))
    steps: list[tuple[Any, ...]] = []
    with Gateway(tmp_path / "g.sock") as gateway:
        token, session = gateway.open(made, Rules(is_unchanged=True))
        redirect = Redirect(gateway.port)
        redirect.token = token
        models = Models(redirect)
        models.log = lambda *step: steps.append(step)

        found = models._result(local, [HumanMessage("hi")], (), {})
        raised = models._result(local, [HumanMessage("fail")], (None,), {})
        other = models._result(local, [HumanMessage("new")], (), {"stop": ["x"]})

    assert found is not None
    result = found()
    assert isinstance(result, ChatResult)
    assert isinstance(result.generations[0], ChatGeneration)
    assert isinstance(result.generations[0].message, AIMessage)
    assert result.generations[0].message.content == "x"
    assert raised is not None
    with pytest.raises(TimeoutError, match="gone"):
        raised()
    assert other is None
    assert [step[2] for step in steps] == ["live"]
    assert len(session.steps) == 2


def test_judges_answer_in_order_and_failing_ones_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judges.py").write_text(
        "def short(r):\n    return len(r) < 3\n"
        "def told(r):\n    return False, 'too ' + r\n"
        "def ill(r):\n    raise ValueError('ill')\n"
    )
    names = ("short", "told", "ill", "missing")
    questions = [{"function": f"judges:{name}", "output": "long"} for name in names]
    target = tmp_path / "answers.json"
    job = {
        "code": str(tmp_path),
        "folder": ".",
        "answers": str(target),
        "nonce": "n",
        "questions": questions,
    }
    (tmp_path / "job.json").write_text(json.dumps(job))

    assert scorer.main([str(tmp_path / "job.json")]) == 0

    answers = json.loads(target.read_text())["answers"]
    assert answers[:3] == [
        {"held": False, "detail": "judges:short returned False"},
        {"held": False, "detail": "too long"},
        {"held": False, "detail": "judges:ill raised ValueError: ill"},
    ]
    assert "missing" in answers[3]["detail"]
    assert not (tmp_path / "job.json").exists()

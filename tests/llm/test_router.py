"""Real LangChain clients of both vendors against a model server on loopback."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from refinery.errors import BudgetError, CredentialsError, InputError, ModelError
from refinery.llm import router
from refinery.llm.router import Model, ModelChoice, Tool, Usage, connect
from refinery.model import trace as model_trace
from refinery.model.messages import ToolCall
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer, StatusError

Answer = Callable[[ModelRequest], ModelReply | StatusError]
USAGE = model_trace.Usage(input=100, output=20, total=120)


class Verdict(BaseModel):
    """A verdict on a text."""

    label: Literal["good", "bad"]
    reasons: list[str] = []


@dataclass(frozen=True)
class Vendor:
    """One way to reach the same server."""

    spec: str
    suffix: str

    def choice(self, url: str, **options: object) -> ModelChoice:
        return ModelChoice(self.spec, f"{url}{self.suffix}", **options)  # type: ignore[arg-type]


OPENAI = Vendor("openai:gpt-4o-mini", "/v1")
ANTHROPIC = Vendor("anthropic:claude-haiku-4-5", "")


@pytest.fixture(params=[OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    chosen: Vendor = request.param
    return chosen


def structured_reply(request: ModelRequest, value: object) -> ModelReply:
    """The value in the form a real model of the vendor would give it."""
    choice = request.params.get("tool_choice")
    if isinstance(choice, dict):
        return ModelReply(tool_calls=(ToolCall(choice["name"], value, "call_1"),), usage=USAGE)
    return ModelReply(json.dumps(value), usage=USAGE)


def always(value: object) -> Answer:
    return lambda request: structured_reply(request, value)


def sequence(*answers: Answer) -> Answer:
    left: Iterator[Answer] = iter(answers)
    return lambda request: next(left)(request)


def fails(status: int, **headers: str) -> Answer:
    return lambda request: StatusError(
        status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def ask(model: Model) -> router.Answer[Verdict]:
    return model.structured("You judge.", "Judge this.", Verdict, purpose="judge")


def test_an_answer_is_validated_and_counted(vendor: Vendor) -> None:
    with ModelServer(always({"label": "good", "reasons": ["short"]})) as server:
        model = connect(vendor.choice(server.url))
        answer = ask(model)

    assert answer.value == Verdict(label="good", reasons=["short"])
    assert answer.usage == Usage(100, 20)
    assert model.spent.tokens == 120
    assert answer.cost_usd == model.spent.cost_usd
    assert [m.role for m in server.requests[0].messages] == ["system", "user"]


def test_the_schema_goes_over_the_wire_as_each_vendor_wants_it() -> None:
    with ModelServer(always({"label": "good", "reasons": []})) as server:
        ask(connect(OPENAI.choice(server.url)))
        ask(connect(ANTHROPIC.choice(server.url)))
    openai, anthropic = server.requests

    form = openai.params["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["required"] == ["label", "reasons"]
    assert form["json_schema"]["schema"]["additionalProperties"] is False
    assert anthropic.params["tool_choice"]["name"] == "Verdict"
    assert anthropic.tools[0]["input_schema"]["required"] == ["label", "reasons"]


@pytest.mark.parametrize(
    "text",
    ['{"label": "bad"}', '```json\n{"label": "bad"}\n```', '  {"label": "bad", "more": 1}\n'],
)
def test_json_in_plain_text_is_accepted_from_either_vendor(vendor: Vendor, text: str) -> None:
    with ModelServer(lambda request: ModelReply(text, usage=USAGE)) as server:
        assert ask(connect(vendor.choice(server.url))).value == Verdict(label="bad")


def test_an_answer_that_does_not_fit_is_repaired_once(vendor: Vendor) -> None:
    answers = sequence(always({"label": "ugly"}), always({"label": "bad"}))
    with ModelServer(answers) as server:
        answer = ask(connect(vendor.choice(server.url)))

    assert answer.value == Verdict(label="bad")
    assert answer.usage == Usage(200, 40)
    told = server.requests[1].messages[-1].text
    assert "label" in told
    assert "'good' or 'bad'" in told


@pytest.mark.parametrize("text", ["Sure, here you go!", "", "[]", '{"label": "bad"', "null"])
def test_nonsense_twice_is_a_model_error(vendor: Vendor, text: str) -> None:
    with ModelServer(lambda request: ModelReply(text, usage=USAGE)) as server:
        with pytest.raises(ModelError, match="twice gave an answer that does not fit"):
            ask(connect(vendor.choice(server.url)))

        assert len(server.requests) == 2


def test_an_answer_cut_by_the_limit_is_a_model_error(vendor: Vendor) -> None:
    cut = ModelReply('{"label": "ba', usage=USAGE, finish_reason="length")
    with ModelServer(lambda request: cut) as server, pytest.raises(ModelError):
        ask(connect(vendor.choice(server.url)))


def test_overload_is_retried_as_the_server_says(vendor: Vendor) -> None:
    answers = sequence(
        fails(429, retry_after="0"), fails(503, retry_after="0"), always({"label": "good"})
    )
    with ModelServer(answers) as server:
        model = connect(vendor.choice(server.url))
        ask(model)

        assert len(server.requests) == 3
        assert model.spent.tokens == 120


def test_retries_are_bounded(vendor: Vendor) -> None:
    with ModelServer(fails(429, retry_after="0")) as server:
        with pytest.raises(ModelError, match="limiting our rate"):
            ask(connect(vendor.choice(server.url)))

        assert len(server.requests) == router.ATTEMPTS


def test_a_request_that_is_wrong_is_not_retried(vendor: Vendor) -> None:
    with ModelServer(fails(400)) as server:
        with pytest.raises(ModelError, match="status 400"):
            ask(connect(vendor.choice(server.url)))

        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_a_credentials_error(vendor: Vendor, status: int) -> None:
    refused = pytest.raises(CredentialsError, match="refused the key")
    with ModelServer(fails(status)) as server, refused as caught:
        ask(connect(vendor.choice(server.url)))

    assert "REFINERY_MODEL_API_KEY" in caught.value.hint


def test_a_model_that_stays_silent_is_a_model_error(vendor: Vendor) -> None:
    ended = threading.Event()

    def silent(request: ModelRequest) -> ModelReply:
        ended.wait(10)
        return ModelReply("late")

    with ModelServer(silent) as server:
        model = connect(vendor.choice(server.url, timeout_s=0.2))
        with pytest.raises(ModelError, match="did not answer in time"):
            ask(model)
        ended.set()

        assert len(server.requests) == 1
        # The vendor may charge for it, so the most it can cost counts as spent.
        assert model.spent.tokens > router.MAX_OUTPUT_TOKENS


def test_nobody_listening_is_a_model_error_that_costs_nothing(vendor: Vendor) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    model = connect(vendor.choice(url))

    with pytest.raises(ModelError, match="could not be reached"):
        ask(model)
    assert model.spent.tokens == 0


def test_the_call_that_could_exceed_the_token_ceiling_is_never_sent(vendor: Vendor) -> None:
    with ModelServer(always({"label": "good"})) as server:
        model = connect(vendor.choice(server.url, max_tokens=12_000))
        for _ in range(3):
            ask(model)
        with pytest.raises(BudgetError, match="tokens"):
            model.structured("You judge.", "x" * 4_000, Verdict)

        assert len(server.requests) == 3
        assert model.spent.tokens == 360


def test_the_call_that_could_exceed_the_money_is_never_sent(vendor: Vendor) -> None:
    with ModelServer(always({"label": "good"})) as server:
        rich = connect(vendor.choice(server.url, budget_usd=1.0))
        ask(rich)
        poor = connect(vendor.choice(server.url, budget_usd=0.0001))
        with pytest.raises(BudgetError, match="USD") as caught:
            ask(poor)

        assert len(server.requests) == 1
    assert caught.value.exit_code == 6
    assert "REFINERY_BUDGET_USD" in caught.value.hint


def test_a_model_that_asks_for_ever_more_ends_within_its_budget(vendor: Vendor) -> None:
    used = model_trace.Usage(input=5_000, output=1_000, total=6_000)
    wish = ModelReply(tool_calls=(ToolCall("look", {"at": "it"}, "c"),), usage=used)
    tool = Tool("look", "Looks.", {"type": "object", "properties": {}}, lambda given: "more")
    with ModelServer(lambda request: wish) as server:
        model = connect(vendor.choice(server.url, max_tokens=40_000))
        with pytest.raises(BudgetError):
            model.with_tools("s", "u", [tool], rounds=10_000)

    assert model.spent.tokens <= 40_000
    assert 1 < len(server.requests) < 8


def test_every_call_is_logged_without_its_content(vendor: Vendor, tmp_path: Path) -> None:
    log = tmp_path / "state" / "model-calls.jsonl"
    answers = sequence(fails(503, retry_after="0"), always({"label": "good"}))
    with ModelServer(answers) as server:
        model = connect(vendor.choice(server.url, log=log, api_key="sk-secret"))
        model.structured("system words", "private words", Verdict, purpose="judge")

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["status 503", "ok"]
    assert [line["input_tokens"] for line in lines] == [0, 100]
    assert lines[1]["model"] == vendor.spec
    assert lines[1]["purpose"] == "judge"
    assert lines[1]["cost_usd"] > 0
    assert lines[1]["tokens_source"] == "reported"
    assert not {"private", "system words", "sk-secret", "good"} & set(log.read_text().split('"'))


def test_an_answer_without_usage_counts_at_its_bound(vendor: Vendor) -> None:
    def no_usage(request: ModelRequest) -> ModelReply:
        return ModelReply('{"label": "good"}')

    with ModelServer(no_usage) as server:
        model = connect(vendor.choice(server.url))
        ask(model)

    assert 200 < model.spent.tokens < router.MAX_OUTPUT_TOKENS


def test_tools_are_run_until_the_model_stops(vendor: Vendor) -> None:
    seen: list[object] = []

    def look(given: object) -> str:
        seen.append(given)
        return "it is red"

    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    wish = ModelReply(
        tool_calls=(ToolCall("look", {"at": "car"}, "a"), ToolCall("jump", {}, "b")), usage=USAGE
    )
    answers = sequence(
        lambda request: wish,
        lambda request: ModelReply("Seen.", usage=USAGE),
        always({"label": "good"}),
    )
    with ModelServer(answers) as server:
        model = connect(vendor.choice(server.url))
        conversation = model.with_tools("s", "u", [Tool("look", "Looks.", schema, look)], rounds=4)
        conversation.say("Now judge.")
        answer = conversation.structured(Verdict)

    assert seen == [{"at": "car"}]
    results = {m.tool_call_id: m.text for m in server.requests[1].messages if m.role == "tool"}
    assert results == {"a": "it is red", "b": "There is no such tool; there are: look."}
    assert answer.value.label == "good"
    assert answer.usage == Usage(300, 60)


def test_tool_rounds_are_bounded(vendor: Vendor) -> None:
    def again(request: ModelRequest) -> ModelReply:
        if request.params.get("tool_choice") or request.params.get("response_format"):
            return structured_reply(request, {"label": "bad"})
        return ModelReply(
            tool_calls=(ToolCall("look", {}, f"c{len(request.messages)}"),), usage=USAGE
        )

    tool = Tool("look", "Looks.", {"type": "object", "properties": {}}, lambda given: "more")
    with ModelServer(again) as server:
        conversation = connect(vendor.choice(server.url)).with_tools("s", "u", [tool], rounds=3)

        assert len(server.requests) == 3
        assert conversation.structured(Verdict).value.label == "bad"


@pytest.mark.parametrize("spec", ["gpt-4o", "openai:", "azure:gpt", "", ":x"])
def test_a_spec_without_a_known_provider_is_an_input_error(spec: str) -> None:
    with pytest.raises(InputError, match="must be openai:<model> or anthropic:<model>"):
        connect(ModelChoice(spec, "http://127.0.0.1:9"))


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x/v1", "http://"])
def test_a_base_url_that_is_no_url_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError, match="not an http"):
        connect(ModelChoice("openai:gpt-4o", url))


def test_anthropic_takes_a_base_url_with_or_without_its_version() -> None:
    with ModelServer(always({"label": "good"})) as server:
        ask(connect(ModelChoice("anthropic:claude-haiku-4-5", f"{server.url}/v1/")))

        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("spec", "url"),
    [
        ("openai:gpt-4o", None),
        ("anthropic:claude-haiku-4-5", None),
        ("openai:gpt-4o", "https://api.openai.com/v1"),
    ],
)
def test_a_vendor_needs_a_key_and_the_agents_key_does_not_count(
    spec: str, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-agent")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-agent")

    with pytest.raises(CredentialsError) as caught:
        connect(ModelChoice(spec, url))
    assert "REFINERY_MODEL_API_KEY" in caught.value.hint
    assert caught.value.exit_code == 4


def test_the_key_is_not_shown_when_the_choice_is_printed() -> None:
    assert "sk-secret" not in repr(ModelChoice("openai:gpt-4o", api_key="sk-secret"))

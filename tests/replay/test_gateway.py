"""Real clients talk to the gateway: it answers from the tape, asks on, or says it cannot."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refinery.model.messages import ToolCall
from refinery.model.trace import RunError
from refinery.model.verdict import Fidelity
from refinery.replay.gateway import Gateway
from refinery.replay.session import Rules
from refinery.replay.tape import Tape
from refinery.replay.upstream import Budget, Endpoint, Upstream
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer, StatusError
from tests.replay.traces import failed, llm, trace

CALL = {"id": "call_1", "type": "function", "function": {"name": "t", "arguments": '{"a": 1}'}}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "g.sock") as opened:
        yield opened


def tape(*runs: Any) -> Tape:
    return Tape.from_trace(trace(*runs))


def post(
    gateway: Gateway, token: str, said: str, path: str = "/v1/chat/completions", **more: Any
) -> tuple[int, dict[str, Any], Any]:
    """Status, answer and headers of one request."""
    messages = [{"role": "user", "content": said}]
    body: dict[str, Any] = {"model": "m", "messages": messages, **more}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer, response.headers


def text(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_equal_requests_get_their_replies_in_order_and_the_last_repeats(gateway: Gateway) -> None:
    token, session = gateway.open(
        tape(llm(1, "hi", "one"), llm(2, "other", "x"), llm(3, "hi", "two")), Rules()
    )

    said = [text(post(gateway, token, "hi")[1]) for _ in range(3)]

    assert said == ["one", "two", "two"]
    assert [step.recorded_run_id for step in session.steps] == ["llm-1", "llm-3", "llm-3"]
    assert {step.fidelity for step in session.steps} == {Fidelity.EXACT}


def test_cases_that_run_at_the_same_time_never_mix(gateway: Gateway) -> None:
    first, _ = gateway.open(tape(llm(1, "hi", "first")), Rules())
    second, _ = gateway.open(tape(llm(1, "hi", "second")), Rules())

    assert text(post(gateway, second, "hi")[1]) == "second"
    assert text(post(gateway, first, "hi")[1]) == "first"


def test_a_token_is_needed_and_ends_with_its_case(gateway: Gateway) -> None:
    token, _ = gateway.open(tape(llm(1, "hi", "x")), Rules())
    gateway.close(token)

    assert post(gateway, token, "hi")[0] == 401
    assert post(gateway, "guess", "hi")[0] == 401


def test_a_changed_request_without_a_model_is_unanswered_and_not_retried(gateway: Gateway) -> None:
    token, session = gateway.open(tape(llm(1, "hi", "x")), Rules())

    status, answer, headers = post(gateway, token, "something else")

    assert (status, headers["x-should-retry"]) == (424, "false")
    assert "not recorded" in answer["error"]["message"]
    assert [step.fidelity for step in session.steps] == [Fidelity.UNANSWERED]


def test_a_recorded_failure_fails_again_with_its_status(gateway: Gateway) -> None:
    error = RunError("RateLimitError", "Error code: 429 - {'error': 'slow down'}")
    token, _ = gateway.open(tape(failed(1, "hi", error), llm(2, "hi", "now")), Rules())

    status, answer, _ = post(gateway, token, "hi")

    assert status == 429
    assert answer == {"error": "slow down"}
    assert text(post(gateway, token, "hi")[1]) == "now"


def test_the_same_reply_is_given_in_every_interface(gateway: Gateway) -> None:
    answer = {"role": "assistant", "content": "Look:", "tool_calls": [CALL]}
    token, _ = gateway.open(tape(llm(1, "hi", answer)), Rules())

    chat = post(gateway, token, "hi")[1]
    claude = post(gateway, token, "hi", "/v1/messages")[1]

    assert chat["choices"][0]["message"]["tool_calls"] == [CALL]
    assert claude["stop_reason"] == "tool_use"
    assert claude["content"][1] == {
        "type": "tool_use",
        "id": "call_1",
        "name": "t",
        "input": {"a": 1},
    }


def test_parameters_a_recording_lost_are_learnt_from_the_unchanged_program(
    gateway: Gateway,
) -> None:
    made = tape(llm(1, "hi", "x"))
    token, unchanged = gateway.open(made, Rules(is_unchanged=True))
    assert post(gateway, token, "hi", stop=["END"])[0] == 200
    assert unchanged.steps[0].fidelity is Fidelity.NORMALISED
    assert "stop" in unchanged.steps[0].detail

    token, _ = gateway.open(made, Rules(meaning=unchanged.learnt))

    assert post(gateway, token, "hi", stop=["END"])[0] == 200
    assert post(gateway, token, "hi", stop=["END"], temperature=1)[0] == 424
    assert post(gateway, token, "hi")[0] == 424


def test_a_changed_parameter_makes_a_changed_request(gateway: Gateway) -> None:
    token, _ = gateway.open(tape(llm(1, "hi", "x")), Rules())

    assert post(gateway, token, "hi", temperature=0.7)[0] == 424


def upstream(server: ModelServer, budget: int = 10) -> Upstream:
    openai, claude = Endpoint(server.url + "/v1", "secret-1"), Endpoint(server.url, "secret-2")
    return Upstream(openai, claude, Budget(budget))


def live(request: ModelRequest) -> ModelReply | StatusError:
    return ModelReply(f"live: {request.messages[-1].text}", (ToolCall("t", {"b": 2}, "call_9"),))


@pytest.mark.slow
def test_a_changed_request_goes_to_the_agents_own_model_with_its_key(gateway: Gateway) -> None:
    with ModelServer(live) as server:
        token, session = gateway.open(tape(llm(1, "hi", "x")), Rules(upstream=upstream(server)))
        chat = post(gateway, token, "new")[1]
        claude = post(gateway, token, "new", "/v1/messages", max_tokens=5)[1]
        again = post(gateway, token, "new")[1]

    assert text(chat) == text(again) == "live: new"
    assert claude["content"][0]["text"] == "live: new"
    assert [step.fidelity for step in session.steps] == [Fidelity.LIVE] * 3
    assert server.headers[0]["authorization"] == "Bearer secret-1"
    assert server.headers[1]["x-api-key"] == "secret-2"
    assert token not in json.dumps(server.headers)
    assert len(server.requests) == 3


@pytest.mark.slow
def test_recorded_requests_can_be_asked_again(gateway: Gateway) -> None:
    with ModelServer(live) as server:
        rules = Rules(asks_again=True, upstream=upstream(server))
        token, session = gateway.open(tape(llm(1, "hi", "recorded")), rules)

        assert text(post(gateway, token, "hi")[1]) == "live: hi"

    assert [step.fidelity for step in session.steps] == [Fidelity.LIVE]


@pytest.mark.slow
def test_the_budget_of_live_requests_is_never_exceeded(gateway: Gateway) -> None:
    with ModelServer(live) as server:
        token, session = gateway.open(tape(), Rules(upstream=upstream(server, budget=1)))

        assert post(gateway, token, "one")[0] == 200
        assert post(gateway, token, "two")[0] == 424

    assert len(server.requests) == 1
    assert "budget" in session.steps[1].detail


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "seen", "fidelity"), [(400, 400, "live"), (401, 424, "unanswered")]
)
def test_a_refusal_counts_as_an_answer_only_when_the_request_is_to_blame(
    gateway: Gateway, status: int, seen: int, fidelity: str
) -> None:
    with ModelServer(lambda request: StatusError(status)) as server:
        token, session = gateway.open(tape(), Rules(upstream=upstream(server)))

        assert post(gateway, token, "x")[0] == seen

    assert session.steps[0].fidelity == fidelity


@pytest.mark.slow
def test_a_busy_model_is_asked_again_and_a_dead_one_leaves_the_step_unanswered(
    gateway: Gateway,
) -> None:
    answers = [StatusError(429, headers={"retry-after": "0"}), ModelReply("there")]
    with ModelServer(lambda request: answers.pop(0)) as server:
        rules = Rules(upstream=upstream(server))
        token, session = gateway.open(tape(), rules)
        assert text(post(gateway, token, "x")[1]) == "there"

    assert post(gateway, token, "y")[0] == 424
    assert "did not answer" in session.steps[1].detail


@pytest.mark.slow
def test_streams_are_served_and_live_streams_passed_through(gateway: Gateway) -> None:
    import anthropic
    import openai

    with ModelServer(live) as server:
        made = tape(llm(1, "hi", "a recorded answer of some length"))
        token, _ = gateway.open(made, Rules(upstream=upstream(server)))
        url = f"http://127.0.0.1:{gateway.port}"
        chat = openai.OpenAI(base_url=url + "/v1", api_key=token)
        claude = anthropic.Anthropic(base_url=url, api_key=token)

        def say(words: str) -> str:
            turns: Any = [{"role": "user", "content": words}]
            chunks = chat.chat.completions.create(model="m", messages=turns, stream=True)
            return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

        assert say("hi") == "a recorded answer of some length"
        assert say("new") == "live: new"
        turn: Any = [{"role": "user", "content": "new"}]
        with claude.messages.stream(model="m", max_tokens=5, messages=turn) as stream:
            assert stream.get_final_message().content[0].text == "live: new"


def test_it_also_listens_on_a_unix_socket(gateway: Gateway) -> None:
    token, _ = gateway.open(tape(llm(1, "hi", "x")), Rules())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(gateway.socket_path))
        head = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        client.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answer = client.makefile("rb").read()

    assert b"200 OK" in answer
    assert b'"id": "m"' in answer


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"model": 1}', b"[" * 5000, b"\xff"]
)
def test_any_body_gets_a_clear_answer(gateway: Gateway, body: bytes) -> None:
    token, session = gateway.open(tape(), Rules())
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request("POST", "/v1/chat/completions", body, {"x-refinery-token": token})

    assert connection.getresponse().status == 400
    assert session.steps == ()
    connection.close()


def test_a_path_that_is_no_model_call_is_unanswered(gateway: Gateway) -> None:
    token, session = gateway.open(tape(), Rules())

    assert post(gateway, token, "x", "/v1/moderations")[0] == 424
    assert [(s.name, s.kind) for s in session.steps] == [("moderations", "model request")]

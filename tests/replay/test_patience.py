"""A recorded failure is no answer to a client that waits longer or tries more often."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refinery.model.trace import Run, RunError
from refinery.model.verdict import Fidelity, ReplayResult, StepFidelity
from refinery.replay import chance
from refinery.replay.gateway import Gateway
from refinery.replay.live_answers import Lane
from refinery.replay.patience import TRIED_AGAIN, Client
from refinery.replay.session import Rules
from refinery.replay.tape import Tape
from refinery.replay.upstream import Budget, Endpoint, Upstream
from refinery.replay.wire import ModelReply, ModelRequest, parse_request
from tests.fakes.model_server import ModelServer
from tests.replay.traces import START_NS, failed, llm, trace

BUSY = RunError("RateLimitError", "Error code: 429 - {'error': 'slow down'}")
STAND_IN = "ConflictError"
"""What the status that stands for a timeout is to a client outside of a replay."""
LATE = RunError("APITimeoutError", "Request timed out.")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "g.sock") as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[ModelServer]:
    def live(request: ModelRequest) -> ModelReply:
        return ModelReply(f"live: {request.messages[-1].text}")

    with ModelServer(live) as opened:
        yield opened


def late(seconds: float) -> Run:
    return replace(failed(1, "hi", LATE), end_ns=START_NS + int(seconds * 1e9))


def rules(server: ModelServer, **more: Any) -> Rules:
    asked = Upstream(Endpoint(f"{server.url}/v1", "k"), None, Budget(9))
    return Rules(upstream=Lane(asked, "lane"), **more)


def ask(gateway: Gateway, token: str, said: str = "hi", **options: Any) -> str:
    """What a real client of the vendor's SDK comes back with."""
    import openai

    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=token, **options
    ) as client:
        try:
            reply = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": said}]
            )
        except openai.APIError as error:
            return type(error).__name__
        return str(reply.choices[0].message.content)


@pytest.mark.slow
def test_an_attempt_beyond_the_recorded_ones_is_asked_of_the_model(
    gateway: Gateway, server: ModelServer
) -> None:
    token, session = gateway.open(Tape.from_trace(trace(failed(1, "hi", BUSY))), rules(server))

    assert ask(gateway, token, max_retries=2) == "live: hi"

    assert [step.fidelity for step in session.steps] == [Fidelity.EXACT, Fidelity.LIVE]
    assert session.steps[1].detail == TRIED_AGAIN
    assert session.steps[1].recorded_run_id == "llm-1"


@pytest.mark.slow
def test_a_client_that_tries_as_often_as_then_fails_as_then(
    gateway: Gateway, server: ModelServer
) -> None:
    tape = Tape.from_trace(trace(failed(1, "hi", BUSY)))
    token, _ = gateway.open(tape, rules(server))
    unchanged, _ = gateway.open(tape, rules(server, is_unchanged=True))

    assert ask(gateway, token, max_retries=0) == "RateLimitError"
    assert ask(gateway, unchanged, max_retries=2) == "RateLimitError"

    assert server.requests == []


@pytest.mark.slow
def test_what_follows_the_last_recorded_failure_is_marked_as_beyond_it(
    gateway: Gateway, server: ModelServer
) -> None:
    token, session = gateway.open(Tape.from_trace(trace(failed(1, "hi", BUSY))), rules(server))

    ask(gateway, token, max_retries=1)
    ask(gateway, token, "and then?", max_retries=1)

    assert [step.detail for step in session.steps][1:] == [TRIED_AGAIN, TRIED_AGAIN]


@pytest.mark.slow
def test_nobody_to_ask_leaves_the_further_attempt_unanswered(gateway: Gateway) -> None:
    token, session = gateway.open(Tape.from_trace(trace(failed(1, "hi", BUSY))), Rules())

    ask(gateway, token, max_retries=2)

    assert session.steps[-1].fidelity is Fidelity.UNANSWERED
    assert session.steps[-1].detail.startswith("it tried again after")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("timeout_s", "said"), [(0.5, STAND_IN), (2.0, STAND_IN), (9.0, "live: hi")]
)
def test_a_recorded_timeout_is_no_answer_to_a_client_that_waits_longer(
    gateway: Gateway, server: ModelServer, timeout_s: float, said: str
) -> None:
    token, _ = gateway.open(Tape.from_trace(trace(late(2.0))), rules(server))

    assert ask(gateway, token, timeout=timeout_s, max_retries=0) == said


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, Client()),
        ({"x-stainless-retry-count": "2", "x-stainless-read-timeout": "600"}, Client(2, 600.0)),
        ({"x-stainless-retry-count": "-1", "x-stainless-read-timeout": "nan"}, Client()),
        ({"x-stainless-retry-count": "9" * 400, "x-stainless-read-timeout": "1e999"}, Client()),
        ({"x-stainless-retry-count": "²", "x-stainless-read-timeout": "soon"}, Client()),
    ],
)
def test_headers_that_say_nothing_usable_are_left_out(
    headers: dict[str, str], client: Client
) -> None:
    assert Client.read(headers.get) == client


def test_an_answer_to_a_further_attempt_is_no_luck_of_the_models() -> None:
    def ended(detail: str) -> ReplayResult:
        step = StepFidelity("m", "llm", Fidelity.LIVE, None, detail)
        return ReplayResult("t", "ok", steps=(step,))

    assert chance.is_live(ended(TRIED_AGAIN))
    assert not chance.may_be_lucky(ended(TRIED_AGAIN))
    assert chance.may_be_lucky(ended(""))
    assert not chance.may_be_lucky(ReplayResult("t", "ok"))


def test_a_recorded_answer_is_never_outlasted(gateway: Gateway) -> None:
    _, session = gateway.open(Tape.from_trace(trace(llm(1, "hi", "there"))), Rules())
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    request = parse_request("/v1/chat/completions", body)

    assert session.outlasted(request, Client(9, 900.0)) == ("", "")

"""What live answers of a trial cost, and the luck its replays draw."""

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import pytest

from refinery.llm.purse import Purse
from refinery.replay.live_answers import Answer, Lost
from refinery.replay.luck import drawn_anew
from refinery.replay.spending import Metered, cost_usd, most_usd, spent_by
from refinery.replay.tape import Tape
from tests.replay.traces import llm, trace

CHAT = json.dumps({"model": "gpt-4.1-mini"}).encode()


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, "application/json", json.dumps(body).encode())


class Teller:
    def __init__(self, body: bytes | None = None) -> None:
        self.body = body

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        del path, body, headers, lane
        if self.body is not None:
            return Answer(200, "application/json", self.body)
        return answer({"usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}})


@pytest.mark.parametrize(
    ("given", "usd"),
    [
        (answer({"usage": {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}}), 2.0),
        (answer({"usage": {"input_tokens": 0, "output_tokens": 1_000_000}}), 1.6),
        (answer({"error": "busy"}, 429), 0.0),
        (answer({"choices": []}), None),
        (answer([1]), None),
        (Answer(200, "text/event-stream", b'data: {"usage": null}\n\ndata: [DONE]\n'), None),
        (
            Answer(
                200,
                "text/event-stream",
                b'data: {"message": {"usage": {"input_tokens": 1000000}}}\n\n'
                b'data: {"usage": {"output_tokens": 1000000}}\n\n',
            ),
            2.0,
        ),
    ],
)
def test_what_an_exchange_costs(given: Answer, usd: float | None) -> None:
    assert cost_usd(CHAT, given) == (None if usd is None else pytest.approx(usd))


def test_a_model_without_a_known_price_costs_nobody_knows_what() -> None:
    usage = answer({"usage": {"prompt_tokens": 5, "completion_tokens": 5}})

    assert cost_usd(b'{"model": "own"}', usage) is None
    assert cost_usd(b"\xff", usage) is None


def test_no_request_is_made_that_could_go_beyond_the_budget() -> None:
    metered = Metered(Teller(), Purse(0.5))

    told = [metered.ask("/v1/chat/completions", CHAT, {}) for _ in range(4)]

    assert [isinstance(one, Answer) for one in told] == [True, True, False, False]
    assert str(told[2]).startswith(
        "the budget of 0.50 USD is used up: this request could cost 0.0"
    )
    assert str(metered.spent) == "2 live requests, $0.80"
    assert spent_by(None).requests == 0


class Slow:
    """Answers once all that may come are under way."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = threading.Event()

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        del path, body, headers, lane
        self.asked += 1
        self.go.wait(10)
        return answer({"usage": {"prompt_tokens": 10, "completion_tokens": 100}})


def test_requests_under_way_count_at_the_most_they_can_cost() -> None:
    body = json.dumps({"model": "gpt-4.1-mini", "max_tokens": 100_000}).encode()
    most = most_usd(body)
    slow, purse = Slow(), Purse(most * 2.5)
    metered = Metered(slow, purse)

    with ThreadPoolExecutor(8) as pool:
        told = [pool.submit(metered.ask, "/v1/chat/completions", body, {}) for _ in range(8)]
        refused = [one.result(10) for one in islice(as_completed(told, 10), 6)]
        slow.go.set()

    assert slow.asked == 2
    assert all("is used up" in str(one) for one in refused)
    assert purse.document()["parts"]["replays"]["calls"] == 2
    assert purse.spent_usd < most


class Silent:
    def __init__(self, said: str) -> None:
        self.said = said

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        del path, body, headers, lane
        return self.said


def test_a_request_that_was_sent_and_not_answered_counts_at_its_most() -> None:
    body = json.dumps({"model": "gpt-4.1-mini", "max_tokens": 1_000}).encode()
    lost, unsent = Purse(1.0), Purse(1.0)

    Metered(Silent(Lost("timed out")), lost).ask("/v1/x", body, {})
    Metered(Silent("refused"), unsent).ask("/v1/x", body, {})

    assert lost.spent_usd == pytest.approx(most_usd(body))
    assert unsent.spent_usd == 0


def test_an_answer_without_usage_counts_by_its_size() -> None:
    purse = Purse(1.0)

    Metered(Teller(b'{"choices": []}'), purse).ask("/v1/x", CHAT, {})

    assert 0 < purse.spent_usd < most_usd(CHAT)


def test_each_replay_draws_its_own_luck_and_the_same_again() -> None:
    tape = Tape.from_trace(trace(llm(1, "hi", "no")))

    one, again, other = (drawn_anew(tape, seed) for seed in ("1", "1", "2"))

    assert one == again
    assert one.draws["seed"] != other.draws["seed"]
    assert one.draws["ids"] != other.draws["ids"]
    assert 0 <= one.start_ns - tape.start_ns < 900_000_000
    assert one.calls == tape.calls
    shifts = {b.start_ns - a.start_ns for a, b in zip(tape.moments, one.moments, strict=True)}
    assert shifts == {one.start_ns - tape.start_ns}

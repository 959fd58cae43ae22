"""What live answers of a trial cost, and the luck its replays draw."""

import json
from collections.abc import Mapping

import pytest

from refinery.replay.live_answers import Answer
from refinery.replay.luck import drawn_anew
from refinery.replay.spending import Metered, cost_usd, spent_by
from refinery.replay.tape import Tape
from tests.replay.traces import llm, trace

CHAT = json.dumps({"model": "gpt-4.1-mini"}).encode()


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, "application/json", json.dumps(body).encode())


class Teller:
    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        del path, body, headers, lane
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


def test_no_request_is_made_beyond_the_budget() -> None:
    metered = Metered(Teller(), 0.5)

    told = [metered.ask("/v1/chat/completions", CHAT, {}) for _ in range(4)]

    assert [isinstance(one, Answer) for one in told] == [True, True, False, False]
    assert told[2] == "the budget of 0.50 USD is used up"
    assert str(metered.spent) == "2 live requests, $0.80"
    assert spent_by(None).requests == 0


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

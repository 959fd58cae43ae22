"""Standard scenarios of the benchmark: the same inputs every time, one sort of work each."""

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 7
"""Of everything drawn here."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What an implementation is called with: one argument, made anew for every call."""

    name: str
    description: str
    """What the implementation gets, and what it ought to return."""
    opened: Callable[[], Any]
    """A context manager that gives a function making the argument of each call."""


@contextmanager
def _numeric() -> Iterator[Callable[[], list[float]]]:
    chance = random.Random(SEED)  # noqa: S311  # no secret
    values = [chance.gauss(0, 1) for _ in range(20_000)]
    yield lambda: list(values)


@contextmanager
def _text() -> Iterator[Callable[[], str]]:
    chance = random.Random(SEED)  # noqa: S311  # no secret
    words = ["agent", "tool", "naïve", "prompt", "Zürich", "trace", "the", "of", "検索", "run"]
    text = " ".join(chance.choice(words) for _ in range(20_000))
    yield lambda: text


@contextmanager
def _json() -> Iterator[Callable[[], str]]:
    chance = random.Random(SEED)  # noqa: S311  # no secret
    rows = [
        {
            "id": number,
            "name": f"item {number}",
            "price": chance.random() * 100,
            "tags": ["a", "b"],
        }
        for number in range(2_000)
    ]
    text = json.dumps(rows)
    yield lambda: text


@contextmanager
def _io() -> Iterator[Callable[[], Path]]:
    with tempfile.TemporaryDirectory(prefix="refinery-bench-") as folder:
        path = Path(folder, "lines.txt")
        path.write_text("".join(f"line {n} of a file\n" for n in range(20_000)), encoding="utf-8")
        yield lambda: path


@contextmanager
def _llm() -> Iterator[Callable[[], dict[str, str]]]:
    from refinery.performance.loopback_model import LoopbackModel

    with LoopbackModel() as model:
        yield lambda: {"base_url": model.base_url, "prompt": "Summarise the trace of the agent."}


SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("numeric", "20,000 floats in a list", _numeric),
        Scenario("text", "a text of 20,000 words, not all of them ASCII", _text),
        Scenario("json", "a JSON text with 2,000 objects", _json),
        Scenario("io", "the path of a text file with 20,000 lines", _io),
        Scenario(
            "llm",
            "`{'base_url', 'prompt'}` of an OpenAI-compatible model on the loopback interface",
            _llm,
        ),
    )
}
"""Scenarios by name."""

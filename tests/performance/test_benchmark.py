"""`BenchmarkFixture`: scenarios, intervals, results that differ, bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refinery.errors import InputError
from refinery.performance import SCENARIOS, BenchmarkFixture
from refinery.performance.intervals import Finding
from refinery.performance.loopback_model import LoopbackModel, ask
from tests.cli.calling import call

JOBS: dict[str, Callable[[Any], Any]] = {
    "numeric": sum,
    "text": lambda text: len(text.split()),
    "json": lambda text: len(json.loads(text)),
    "io": lambda path: len(path.read_text(encoding="utf-8").splitlines()),
    "llm": lambda given: ask(given["base_url"], given["prompt"]),
}
EXPECTED = {
    "text": 20_000,
    "json": 2_000,
    "io": 20_000,
    "llm": "agent. the of trace the Summarise",
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_runs(name: str) -> None:
    seen = []
    fixture = BenchmarkFixture(warm_up=1, repeats=5)

    def job(given: Any) -> Any:
        seen.append(JOBS[name](given))
        return seen[-1]

    result = fixture.compare({"job": job}, name)

    assert len(seen) == 6
    assert seen[0] == EXPECTED.get(name, seen[0])
    assert len(set(seen)) == 1
    assert result.timings[0].p50_ms > 0


def test_a_faster_implementation_is_shown_and_another_result_is_said() -> None:
    def slow(values: list[float]) -> float:
        return sum(sum(values) for _ in range(20)) / 20

    result = BenchmarkFixture(repeats=15).compare(
        {"slow": slow, "fast": sum, "wrong": lambda values: 0.0}, "numeric"
    )

    found = {one.name: one for one in result.timings}
    assert found["fast"].ratio.finding is Finding.FASTER
    assert (found["fast"].ratio.high or 1) < 0.6
    assert not found["wrong"].is_same_result
    assert "another result" in result.markdown()
    assert json.loads(result.json_text())["implementations"][1]["finding"] == "faster"


def test_the_same_function_twice_rarely_shows_a_difference() -> None:
    found = [
        BenchmarkFixture(repeats=15, seed=seed)
        .compare({"a": sorted, "b": sorted}, "numeric")
        .timings[1]
        .ratio.finding
        for seed in range(5)
    ]

    assert found.count(Finding.NONE) >= 3  # each is wrong in one of twenty


@pytest.mark.parametrize(("warm_up", "repeats"), [(-1, 5), (0, 0), (0, 10**9)])
def test_numbers_out_of_range_are_refused(warm_up: int, repeats: int) -> None:
    with pytest.raises(InputError):
        BenchmarkFixture(warm_up=warm_up, repeats=repeats)


def test_an_unknown_scenario_or_nothing_to_measure_is_refused() -> None:
    with pytest.raises(InputError, match="no scenario"):
        BenchmarkFixture().compare({"a": len}, "video")
    with pytest.raises(InputError, match="nothing"):
        BenchmarkFixture().compare({}, "text")


def test_the_loopback_model_answers_in_reverse() -> None:
    with LoopbackModel() as model:
        assert ask(model.base_url, "one two 三") == "三 two one"


def test_the_command_compares_functions_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_to_bench.py").write_text(
        "def old(text):\n    return [sum(map(len, text.split())) for _ in range(30)][-1]\n"
        "def new(text):\n    return sum(map(len, text.split()))\n"
        "def bad(text):\n    return text['x']\n"
        "class Own(Exception): ...\n"
        "def own(text):\n    raise Own('no')\n"
        "def leaves(text):\n    raise SystemExit(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    both = ("mine_to_bench:old", "mine_to_bench:new")

    found = call("perf", "bench", *both, "--scenario", "text", "--repeats", "9", "--json")
    drawn = call("perf", "bench", *both, "--scenario", "text", "--repeats", "5")

    assert found.code == drawn.code == 0
    assert found.json["implementations"][1]["is_same_result"]
    assert found.json["implementations"][1]["finding"] == "faster"
    assert drawn.stdout.startswith("### text:")
    assert call("perf", "bench", "mine_to_bench:nothing").code == 2
    assert call("perf", "bench", "no_such_module_at_all:f").code == 2
    for name in ("bad", "own", "leaves"):
        raised = call("perf", "bench", f"mine_to_bench:{name}", "--scenario", "text")
        assert (raised.code, "cannot take the scenario 'text'" in raised.stderr) == (2, True)
    twice = call("perf", "bench", both[0], both[0])
    assert (twice.code, "named twice" in twice.stderr) == (2, True)

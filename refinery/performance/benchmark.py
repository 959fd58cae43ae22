"""`BenchmarkFixture`: implementations of the same job, measured in turns, with intervals.

    fixture = BenchmarkFixture(repeats=30)
    result = fixture.compare({"old": old, "new": new}, "text")
    print(result.markdown())

Implementations take turns in random order, so that what else the machine does hits all alike;
garbage is collected between calls, not inside. Times are wall times of `time.perf_counter_ns`.
"""

import gc
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns, process_time_ns
from typing import Any

from refinery.errors import InputError
from refinery.performance.intervals import LEVEL, Ratio, ratio_of_medians
from refinery.performance.scenarios import SCENARIOS, Scenario

MAX_REPEATS = 100_000


@dataclass(frozen=True, slots=True)
class Timing:
    """What one implementation took."""

    name: str
    wall_ms: tuple[float, ...]
    """Of each measured call, in order."""
    cpu_p50_ms: float
    ratio: Ratio
    """To the first implementation."""
    is_same_result: bool
    """Whether its first answer equals that of the first implementation."""

    @property
    def p50_ms(self) -> float:
        """Median."""
        return float(median(self.wall_ms))

    @property
    def p99_ms(self) -> float:
        """99th percentile: the smallest value that 99 % do not exceed."""
        ordered = sorted(self.wall_ms)
        return ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """Implementations in one scenario."""

    scenario: str
    description: str
    warm_up: int
    repeats: int
    timings: tuple[Timing, ...]
    """In the order given; the first is what the others are compared with."""

    def to_json(self) -> dict[str, Any]:
        """All figures, JSON-serialisable."""
        return {
            "scenario": self.scenario,
            "description": self.description,
            "warm_up": self.warm_up,
            "repeats": self.repeats,
            "level": LEVEL,
            "implementations": [
                {
                    "name": one.name,
                    "p50_ms": one.p50_ms,
                    "p99_ms": one.p99_ms,
                    "min_ms": min(one.wall_ms),
                    "cpu_p50_ms": one.cpu_p50_ms,
                    "ratio": one.ratio.value,
                    "ratio_interval": [one.ratio.low, one.ratio.high],
                    "finding": str(one.ratio.finding),
                    "is_same_result": one.is_same_result,
                }
                for one in self.timings
            ],
        }

    def json_text(self) -> str:
        """`to_json` as a text."""
        return json.dumps(self.to_json(), indent=2)

    def markdown(self) -> str:
        """A table for people."""
        lines = [
            f"### {self.scenario}: {self.description}",
            "",
            f"{self.repeats} calls each in turns, after {self.warm_up} to warm up; "
            f"ratios of medians with {LEVEL:.0%} bootstrap intervals.",
            "",
            "| implementation | p50 ms | p99 ms | CPU p50 ms | ratio | interval | finding |",
            "|---|---:|---:|---:|---:|---|---|",
        ]
        for number, one in enumerate(self.timings):
            shown = _interval(one.ratio)
            finding = "—" if number == 0 else str(one.ratio.finding)
            if not one.is_same_result:
                finding += ", **another result**"
            name = one.name.replace("|", "\\|")
            lines.append(
                f"| {name} | {one.p50_ms:.4g} | {one.p99_ms:.4g} | {one.cpu_p50_ms:.4g} "
                f"| {one.ratio.value or 1:.3f} | {shown} | {finding} |"
            )
        return "\n".join(lines) + "\n"


def _interval(ratio: Ratio) -> str:
    if ratio.low is None or ratio.high is None:
        return "—"
    return f"{ratio.low:.3f} to {ratio.high:.3f}"


class BenchmarkFixture:
    """Runs implementations through scenarios."""

    def __init__(self, *, warm_up: int = 3, repeats: int = 30, seed: int = 0) -> None:
        """Make it.

        Args:
            warm_up: calls of each implementation that are not measured.
            repeats: measured calls of each.
            seed: of the order of calls and of the intervals.

        Raises:
            InputError: a number is out of range.
        """
        if not (0 <= warm_up <= MAX_REPEATS and 1 <= repeats <= MAX_REPEATS):
            raise InputError(
                f"cannot repeat {repeats} times after {warm_up}",
                hint=f"at least 1 and at most {MAX_REPEATS} repeats",
            )
        self.warm_up, self.repeats, self._seed = warm_up, repeats, seed

    def compare(
        self,
        implementations: Mapping[str, Callable[[Any], Any]],
        scenario: str | Scenario,
    ) -> BenchmarkResult:
        """Measure implementations in a scenario; what they raise comes through.

        Raises:
            InputError: there is no such scenario, or no implementation.
        """
        chosen = SCENARIOS.get(scenario) if isinstance(scenario, str) else scenario
        if chosen is None:
            raise InputError(f"no scenario {scenario!r}", hint=f"one of: {', '.join(SCENARIOS)}")
        if not implementations:
            raise InputError("there is nothing to measure", hint="give an implementation")
        walls: dict[str, list[float]] = {name: [] for name in implementations}
        cpus: dict[str, list[float]] = {name: [] for name in implementations}
        with chosen.opened() as make:
            answers = {name: call(make()) for name, call in implementations.items()}
            for _ in range(self.warm_up - 1):
                for call in implementations.values():
                    call(make())
            self._measure(implementations, make, walls, cpus)
        first = next(iter(implementations))
        timings = tuple(
            Timing(
                name,
                tuple(walls[name]),
                float(median(cpus[name])),
                ratio_of_medians(walls[first], walls[name], seed=self._seed),
                _equal(answers[first], answers[name]),
            )
            for name in implementations
        )
        return BenchmarkResult(
            chosen.name, chosen.description, self.warm_up, self.repeats, timings
        )

    def _measure(
        self,
        implementations: Mapping[str, Callable[[Any], Any]],
        make: Callable[[], Any],
        walls: dict[str, list[float]],
        cpus: dict[str, list[float]],
    ) -> None:
        chance = random.Random(self._seed)  # noqa: S311  # no secret: the order of calls
        names = list(implementations)
        was_collecting = gc.isenabled()
        try:
            for _ in range(self.repeats):
                chance.shuffle(names)
                for name in names:
                    given, call = make(), implementations[name]
                    gc.collect(0)
                    gc.disable()
                    cpu, begun = process_time_ns(), perf_counter_ns()
                    call(given)
                    walls[name].append((perf_counter_ns() - begun) / 1e6)
                    cpus[name].append((process_time_ns() - cpu) / 1e6)
                    if was_collecting:
                        gc.enable()
        finally:
            if was_collecting:
                gc.enable()

    def compare_all(
        self, implementations: Mapping[str, Mapping[str, Callable[[Any], Any]]]
    ) -> list[BenchmarkResult]:
        """Measure the implementations of several scenarios, given by the scenarios' names."""
        return [self.compare(several, name) for name, several in implementations.items()]


def _equal(first: Any, second: Any) -> bool:
    try:
        return bool(first == second)
    except (ValueError, TypeError):  # e.g. arrays, which compare element by element
        return repr(first) == repr(second)

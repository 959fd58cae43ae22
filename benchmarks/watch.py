"""How soon `refinery watch` flags a fix that does not hold, and how often one that does.

    python -m benchmarks.watch [--streams 10000] [--json]

Streams of conversations are simulated: each fails with a fixed probability. A *false fix* fails as
often as before it; it should be flagged within 40 conversations with a power of 90 %. A *true fix*
fails at most as often as is tolerated; it should be flagged wrongly in at most 5 of 100 lives. A
*late return* is a true fix that breaks after some good conversations. 95 % intervals are Wilson's.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain

from refinery.intervals import wilson
from refinery.workflows.recurrence import TOLERATED, Plan, Standing, watch

WITHIN = 40
"""Conversations in which a false fix has to be flagged."""
LIFE = 1_000
"""Conversations in the life of a true fix."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One simulated kind of stream."""

    what: str
    flagged: int
    streams: int
    share: float
    interval: tuple[float, float]
    median: int | None
    """Conversations until it was flagged; None: hardly ever."""
    said_to_hold: float
    """Share of streams that were said to hold."""


def stream(source: random.Random, rate: float, length: int) -> Iterator[bool]:
    """Conversations that fail with a probability."""
    return (source.random() < rate for _ in range(length))


def measure(what: str, plan: Plan, parts: list[tuple[float, int]], streams: int) -> Figure:
    """Simulate streams that are made of parts, each with a failure rate and a length."""
    source = random.Random(what)
    good = parts[0][1] if len(parts) > 1 else 0
    took: list[int] = []
    held = 0
    for _ in range(streams):
        whole = chain.from_iterable(stream(source, rate, length) for rate, length in parts)
        found = watch(whole, plan)
        held += found.standing is Standing.HOLDS
        if found.standing is Standing.RETURNED and found.decided_after is not None:
            took.append(found.decided_after - good)
    took.sort()
    share = len(took) / streams
    interval = wilson(len(took), streams) or (0.0, 1.0)
    median = took[len(took) // 2] if share > 0.5 else None
    return Figure(what, len(took), streams, share, interval, median, held / streams)


def figures(streams: int) -> list[Figure]:
    """All figures."""
    found = [
        measure(
            f"false fix, fails {rate:.0%}, within {WITHIN}", Plan(rate), [(rate, WITHIN)], streams
        )
        for rate in (1.0, 0.8, 0.5, 0.3, 0.25, 0.2, 0.15, 0.1)
    ]
    found += [
        measure(
            f"false fix, fails {rate:.0%} (80% assumed), within {WITHIN}",
            Plan(),
            [(rate, WITHIN)],
            streams,
        )
        for rate in (0.5, 0.3, 0.25)
    ]
    found += [
        measure(
            f"true fix, {before:.0%} before, fails {rate:.0%}, over {life}",
            Plan(before),
            [(rate, life)],
            streams if life < 500 else max(200, streams // 5),
        )
        for before in (0.3, 1.0)
        for rate, life in ((0.0, LIFE), (0.02, LIFE), (TOLERATED, WITHIN), (TOLERATED, LIFE))
    ]
    found += [
        measure(
            f"returns after {good}, fails {rate:.0%}, within {WITHIN}",
            Plan(0.8),
            [(0.0, good), (rate, WITHIN)],
            max(200, streams // 5),
        )
        for good in (20, 200, 1_000)
        for rate in (1.0, 0.5)
    ]
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = figures(chosen.streams)
    if chosen.json:
        print(json.dumps([asdict(figure) for figure in found]))
        return
    print(
        f"{'streams of conversations':50}{'flagged':>18}{'interval':>16}{'median':>8}{'holds':>8}"
    )
    for figure in found:
        low, high = figure.interval
        median = "-" if figure.median is None else str(figure.median)
        print(
            f"{figure.what:50}{figure.flagged:7} of {figure.streams:6} "
            f"{100 * figure.share:5.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
            f"{median:>6}{100 * figure.said_to_hold:7.1f} %"
        )


if __name__ == "__main__":
    main()

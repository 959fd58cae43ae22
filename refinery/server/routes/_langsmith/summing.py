"""Statistics over runs, as `POST /runs/stats` and a project with `include_stats` answer them."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from refinery import clock
from refinery.adapters._shared.langsmith_tree import Totals, moment
from refinery.model.trace import Feedback, Json, RunStatus
from refinery.ports import StoredRun
from refinery.server.routes._langsmith.around import Library

MAX_RUNS = 50_000
"""Runs that are summed, newest first; more are left out, and `is_complete` says so."""

SUM_S = 6.0
"""Longest a request sums; what is left then is left out too. Clients give up after 10 s."""

_MAX_FEEDBACK = 50_000
_MAX_ABOVE = 200


@dataclass(slots=True)
class Sums:
    """Sums of runs; a run below another counted one adds no tokens again."""

    runs: int = 0
    errors: int = 0
    latencies_s: list[float] = field(default_factory=list)
    first_tokens_s: list[float] = field(default_factory=list)
    input: int = 0
    output: int = 0
    total: int = 0
    cost_usd: Decimal = Decimal(0)
    first_ns: int | None = None
    last_ns: int | None = None
    feedback: list[Feedback] = field(default_factory=list)
    is_complete: bool = True

    def add(self, stored: StoredRun) -> None:
        """Count a run, without its tokens."""
        run = stored.run
        self.runs += 1
        self.errors += run.status is RunStatus.ERROR
        if run.start_ns is None:
            return
        if run.end_ns is not None:
            self.latencies_s.append((run.end_ns - run.start_ns) / 1e9)
        if run.first_token_ns is not None:
            self.first_tokens_s.append((run.first_token_ns - run.start_ns) / 1e9)
        self.first_ns = min(run.start_ns, self.first_ns or run.start_ns)
        self.last_ns = max(run.start_ns, self.last_ns or run.start_ns)

    def add_tokens(self, totals: Totals) -> None:
        """Count tokens and money."""
        self.input += totals.input or 0
        self.output += totals.output or 0
        self.total += totals.total or 0
        self.cost_usd += totals.cost_usd or 0


def summed(library: Library, found: Iterable[StoredRun]) -> Sums:
    """Sums of runs.

    Args:
        library: where their trees and feedback are read.
        found: the runs, those of a trace in any order.
    """
    sums = Sums()
    counted: dict[str, tuple[Totals, tuple[str, ...]]] = {}
    for number, stored in enumerate(found):
        if number >= MAX_RUNS or clock.monotonic_s() - library.began_s > SUM_S:
            sums.is_complete = False
            break
        run = stored.run
        sums.add(stored)
        shape = library.shape(run)
        counted[run.run_id] = shape.totals(run), tuple(islice(shape.above(run), _MAX_ABOVE))
        if len(sums.feedback) < _MAX_FEEDBACK:
            sums.feedback += library.feedback(run)
    for totals, above in counted.values():
        if not any(one in counted for one in above):
            sums.add_tokens(totals)
    return sums


def quantile(values: list[float], share: float) -> float | None:
    """The value below which a share of the values lies; None of no values."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def last_start(sums: Sums) -> Json:
    """Start of the newest run as ISO text; None without one."""
    return None if sums.last_ns is None else moment(sums.last_ns).isoformat()

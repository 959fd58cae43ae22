"""Audits what components cost, runs the user's tests, and keeps the optimisation queue.

An audit looks at the version of each component that ran last. A breach puts the component into
the queue, once; its figures are kept up to date by later audits. A component leaves the queue
when its limits hold: as `done` when the version that ran last is shown to be faster than the one
that was queued, as `resolved` otherwise. Neither happens while the user's tests fail.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refinery.errors import InputError, NotFoundError
from refinery.performance import sql as asking
from refinery.performance import thresholds, variants
from refinery.performance.audit import Audit, Component, Violation, audit
from refinery.performance.frames import Frame
from refinery.performance.intervals import Finding
from refinery.performance.queue import Item, Queue, item_id
from refinery.performance.variants import Comparison
from refinery.workflows.perf import analysing
from refinery.workflows.test_runs import Ending, TestRun, run, split
from refinery.workflows.user_tests import TIMEOUT_S, Confirm, named
from refinery.workflows.wiring import Workspace

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What to audit."""

    frame: Frame
    limits: tuple[thresholds.Threshold, ...] = ()
    """Besides those of the settings."""
    test_command: str | None = None
    """None: the one of the settings; empty: none."""
    repository: Path | None = None
    """Where the tests run; None: the working directory."""


@dataclass(frozen=True, slots=True)
class Left:
    """A component that left the queue."""

    item: Item
    comparison: Comparison | None
    """Its queued version against the one that ran last; None when they are the same, or no run
    of the queued one is left."""
    is_other: bool
    """Whether another version ran last than was queued."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit found."""

    audit: Audit
    queued: tuple[Item, ...]
    """The items of the violations, the most urgent first."""
    left: tuple[Left, ...]
    tests: TestRun | None
    """None: no test command, or it was not approved."""
    held: tuple[Item, ...]
    """Items whose limits hold, but which stay because the tests fail."""


def run_audit(workspace: Workspace, request: AuditRequest, confirm: Confirm, say: Say) -> Audited:
    """Hold components against their limits, run the tests when one is broken or mended.

    Raises:
        InputError: no limits are set, one cannot be read, or the frame ends before it begins.
        StoreError: the copy for SQL is in use by another program.
    """
    limits = [
        *thresholds.read(workspace.settings.values.performance.limits),
        *request.limits,
    ]
    if not limits:
        raise InputError(
            "no limits are set",
            hint="refinery perf audit --limit 'tool max_duration_ms=500', or [performance.limits]",
        )
    request.frame.check()
    queue = Queue(workspace.home)
    with asking.open_reader(analysing(workspace.store).analytics()) as reader:
        found = audit(reader, request.frame, limits)
        mended = _mended(reader, found, queue)
    needed = bool(found.violations or mended)
    tests = _tests(workspace, request, confirm, say) if needed else None
    queued = tuple(queue.put(_item(one, tests)) for one in found.violations)
    if tests is not None and tests.ending is not Ending.PASSED:
        return Audited(found, queued, (), tests, tuple(one.item for one in mended))
    left = tuple(_let_go(queue, one, tests) for one in mended)
    return Audited(found, queued, left, tests, ())


def _tests(
    workspace: Workspace, request: AuditRequest, confirm: Confirm, say: Say
) -> TestRun | None:
    command = named(workspace.settings, request.test_command)
    if command is None:
        return None
    if command.is_proposal and not confirm(command):
        say(f"{command.origin} names a test command, which was not approved and does not run")
        return None
    say(f"running your tests: {command.command}")
    return run(split(command.command), request.repository or Path.cwd(), TIMEOUT_S)


def _item(one: Violation, tests: TestRun | None) -> Item:
    worst, component = one.breaches[0], one.component
    return Item(
        item_id=item_id(component.layer, component.name),
        layer=component.layer,
        name=component.name,
        variant=component.variant,
        limit=worst.threshold.limit,
        value=worst.threshold.value,
        observed=worst.measured.observed,
        runs=worst.measured.total,
        is_shown=worst.is_shown,
        priority=one.priority,
        recommendation=one.recommendation,
        trace_id=one.example_trace,
        run_id=one.example_run,
        file=component.file,
        line=component.line,
        tests=tests.ending.value if tests else None,
    )


def _mended(reader: asking.Reader, found: Audit, queue: Queue) -> list[Left]:
    """Open items whose component keeps its limits now, in enough runs that tell of them."""
    components = {item_id(one.layer, one.name): one for one in found.components}
    mended = []
    for item in queue.items():
        component = components.get(item.item_id)
        if component is None:
            continue
        if item.limit in found.kept.get((component.layer, component.name), ()):
            comparison = _comparison(reader, item, component)
            mended.append(Left(item, comparison, item.variant != component.variant))
    return mended


def _comparison(reader: asking.Reader, item: Item, component: Component) -> Comparison | None:
    if not item.variant or not component.variant or item.variant == component.variant:
        return None
    try:
        first = variants.find(reader, item.variant, item.name)
    except NotFoundError:  # its runs are older than what is kept
        return None
    return variants.compare(reader, first, variants.find(reader, component.variant, item.name))


def _let_go(queue: Queue, one: Left, tests: TestRun | None) -> Left:
    told = "no tests were run" if tests is None else f"tests {tests.ending.value}"
    item, comparison = one.item, one.comparison
    if comparison is None:
        how = (
            "; no run of the queued version is left"
            if one.is_other
            else " without another version"
        )
        return replace(one, item=queue.move(item, "resolved", f"{item.limit} holds{how}; {told}"))
    is_done = comparison.finding is Finding.FASTER and not comparison.is_less_reliable
    reason = f"{item.limit} holds; the new version: {comparison.finding}; {told}"
    state = "done" if is_done else "resolved"
    return replace(one, item=queue.move(item, state, reason, outcome(comparison)))


def outcome(one: Comparison) -> dict[str, Any]:
    """Figures of a comparison, JSON-serialisable."""
    return {
        "before": {
            "variant": one.first.variant,
            "runs": one.first.count,
            "p50_ms": one.first.p50_ms,
            "p90_ms": one.first.p90_ms,
            "success_rate": one.first.success_rate,
        },
        "after": {
            "variant": one.second.variant,
            "runs": one.second.count,
            "p50_ms": one.second.p50_ms,
            "p90_ms": one.second.p90_ms,
            "success_rate": one.second.success_rate,
        },
        "ratio": one.duration.value,
        "ratio_interval": [one.duration.low, one.duration.high],
        "p": one.duration_p,
        "cpu_ratio": one.cpu.value,
        "memory_ratio": one.memory.value,
        "finding": str(one.finding),
        "is_less_reliable": one.is_less_reliable,
    }


def queue_of(workspace: Workspace, *, is_open: bool = True) -> list[Item]:
    """The optimisation queue of a project, the most urgent first."""
    return Queue(workspace.home).items(is_open=is_open)


def take(workspace: Workspace, text: str) -> Item:
    """Take an item of the queue to work on it: its id, the beginning of it, or `next`.

    Raises:
        NotFoundError: there is none.
        InputError: several ids begin so.
    """
    return Queue(workspace.home).take(text)


def drop(workspace: Workspace, text: str, reason: str) -> Item:
    """Take an item out of the queue unmended.

    Raises:
        NotFoundError, InputError: as `take`.
    """
    queue = Queue(workspace.home)
    return queue.move(queue.find(text), "dropped", reason)


def parse_limit(text: str) -> thresholds.Threshold:
    """A limit as written on the command line: `SELECTOR NAME=VALUE`.

    Raises:
        InputError: it cannot be read.
    """
    selector, _, limit = text.strip().partition(" ")
    name, _, value = limit.strip().partition("=")
    try:
        return thresholds.read({selector: {name.strip(): float(value)}})[0]
    except ValueError as error:
        raise InputError(
            f"cannot read the limit {text!r}", hint="write 'tool/search max_duration_ms=500'"
        ) from error

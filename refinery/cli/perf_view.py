"""How `refinery perf` is shown: tables for people, documents for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.performance.benchmark import BenchmarkResult
    from refinery.performance.queue import Item
    from refinery.performance.sql import Table
    from refinery.workflows.perf import Report
    from refinery.workflows.perf_audit import Audited
    from refinery.workflows.perf_variants import Compared

_PATHS = 10
_KEY = 60
_EXAMPLE = 200


def ms(value: float | None) -> str:
    """A duration for people."""
    if value is None:
        return "-"
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def percent(value: float | None) -> str:
    """A share for people."""
    return "-" if value is None else f"{value:.1%}"


def report_document(report: "Report") -> dict[str, Any]:
    """A report as JSON."""
    return {
        "frame": report.frame.said(),
        "against": None if report.against is None else report.against.said(),
        "group": report.group,
        "groups": [_jsonable(asdict(one)) for one in report.figures],
        "errors": [_jsonable(asdict(one)) for one in report.errors],
        "critical_paths": {
            "traces": report.paths.traces,
            "left_out": report.paths.left_out,
            "paths": [asdict(one) for one in report.paths.paths],
        },
        "costly_paths": [asdict(one) for one in report.costs],
        "regressions": [
            {
                **asdict(one),
                "finding": str(one.finding),
                "is_less_reliable": one.is_less_reliable,
                "is_more_reliable": one.is_more_reliable,
            }
            for one in report.regressions
        ],
    }


def _jsonable(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with times as milliseconds."""
    for name in ("first", "last"):
        value = figures.pop(f"{name}_ns")
        figures[f"{name}_ms"] = None if value is None else value / 1e6
    return figures


def show_report(report: "Report", screen: "Console", *, only_errors: bool = False) -> None:
    """Draw a report."""
    if not report.figures:
        output.note("no run matches")
        return
    if not only_errors:
        _show_figures(report, screen)
    if report.errors:
        _show_errors(report, screen)
    elif only_errors:
        screen.print("no run ended in an error")
    if report.regressions:
        _show_regressions(report, screen)
    elif report.against is not None:
        output.note("nothing to compare: no group has runs in both frames")
    if report.paths.paths and not only_errors:
        screen.print(f"\nCritical path of the {report.paths.traces} slowest traces", style="bold")
        output.table(
            screen,
            ("share", "own time", "path"),
            [
                (percent(one.share), ms(one.own_ms), " > ".join(one.path))
                for one in report.paths.paths[:_PATHS]
            ],
        )
    if report.costs and not only_errors:
        _show_costs(report, screen)


def _show_errors(report: "Report", screen: "Console") -> None:
    screen.print("\nErrors, where they came up", style="bold")
    for one in report.errors:
        names = _cut(", ".join(one.names))
        first, last = output.local_time(one.first_ns), output.local_time(one.last_ns)
        pattern, example = _cut(one.pattern), _cut(one.example.partition("\n")[0])
        screen.print(output.safe(f"{one.count:>5}  {_cut(one.type or 'error')} in {names}"))
        screen.print(output.safe(f"       {pattern or '(no message)'}"))
        if example != pattern:
            screen.print(output.safe(f"       e.g. {example}"))
        screen.print(f"       first {first}, last {last}")
        screen.print(output.safe(f"       refinery show {one.example_trace}"))


def _cut(text: str) -> str:
    """The beginning of a text that may be of any length."""
    return text if len(text) <= _EXAMPLE else f"{text[:_EXAMPLE]}…"


def _show_costs(report: "Report", screen: "Console") -> None:
    screen.print("\nCostliest paths", style="bold")
    rows = [
        (
            percent(one.share),
            one.calls,
            "-" if one.tokens is None else one.tokens,
            "-" if one.cost_usd is None else f"{one.cost_usd:.4f}",
            " > ".join(one.path),
        )
        for one in report.costs[:_PATHS]
    ]
    output.table(screen, ("share", "calls", "tokens", "cost USD", "path"), rows)


def _show_figures(report: "Report", screen: "Console") -> None:
    has_tokens = any(one.tokens is not None for one in report.figures)
    has_cost = any(one.cost_usd is not None for one in report.figures)
    columns = [report.group, "runs", "p50", "p90", "p99", "success"]
    columns += ["tokens"] * has_tokens + ["cost USD"] * has_cost + ["total"]
    rows = []
    for one in report.figures:
        tokens = "-" if one.tokens is None else one.tokens
        cost = "-" if one.cost_usd is None else f"{one.cost_usd:.4f}"
        rows.append(
            (
                _group(report, one.key, one.name),
                one.count,
                ms(one.p50_ms),
                ms(one.p90_ms),
                ms(one.p99_ms),
                percent(one.success_rate),
                *[tokens] * has_tokens,
                *[cost] * has_cost,
                "-" if one.p50_ms is None else ms(one.total_ms),
            )
        )
    output.table(screen, columns, rows, spare=("p90", "tokens", "total"))


def _group(report: "Report", key: str | None, name: str | None = None) -> str:
    """A group for people; a variant by the beginning of its hash, as other commands take it."""
    if key is None:
        return "-"
    if report.group != "variant":
        return key if len(key) <= _KEY else f"{key[: _KEY - 1]}…"
    return key[:12] if name is None else f"{key[:12]} {name}"


def _show_regressions(report: "Report", screen: "Console") -> None:
    screen.print("\nAgainst the other frame", style="bold")
    rows = [
        (
            _group(report, one.key),
            f"{one.before} / {one.after}",
            f"{ms(one.before_p50_ms)} / {ms(one.after_p50_ms)}",
            _ratio(one.duration.value, one.duration.low, one.duration.high),
            "-" if one.duration_p is None else f"{one.duration_p:.2g}",
            str(one.finding) + (", less reliable" if one.is_less_reliable else ""),
        )
        for one in report.regressions
    ]
    output.table(screen, (report.group, "runs", "p50", "ratio", "p", "finding"), rows)


def _ratio(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if low is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def table_document(found: "Table") -> dict[str, Any]:
    """An answer to SQL as JSON."""
    return {
        "columns": list(found.columns),
        "rows": [[_cell(value) for value in row] for row in found.rows],
        "is_cut": found.is_cut,
    }


def _cell(value: Any) -> Any:
    """A value as JSON has it; what is not finite or has no form there as a text."""
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_cell(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _cell(item) for key, item in value.items()}
    return str(value)


def show_table(found: "Table", screen: "Console") -> None:
    """Draw an answer to SQL."""
    output.table(screen, found.columns, found.rows)
    if found.is_cut:
        output.note(f"only the first {len(found.rows)} rows are shown; raise --limit for more")


def compared_document(compared: "Compared") -> dict[str, Any]:
    """A comparison as JSON."""
    from refinery.workflows.perf_audit import outcome

    return {
        "name": compared.comparison.second.name,
        **outcome(compared.comparison),
        "diff": list(compared.diff),
        "missing_source": list(compared.missing),
    }


def show_compared(compared: "Compared", screen: "Console") -> None:
    """Draw a comparison."""
    one = compared.comparison
    rows = []
    for title, side in (("first", one.first), ("second", one.second)):
        rows.append(
            (
                title,
                side.variant[:12],
                side.name,
                side.count,
                ms(side.p50_ms),
                ms(side.p90_ms),
                ms(side.cpu_p50_ms),
                percent(side.success_rate),
            )
        )
    columns = ("", "variant", "name", "runs", "p50", "p90", "cpu p50", "success")
    output.table(screen, columns, rows)
    p_value = "-" if one.duration_p is None else f"{one.duration_p:.2g}"
    shown = _ratio(one.duration.value, one.duration.low, one.duration.high)
    screen.print(f"\nsecond against first: {one.finding}; ratio of medians {shown}, p {p_value}")
    if one.is_less_reliable:
        screen.print("the second is shown to fail more often")
    for line in compared.diff:
        screen.print(output.safe(line))
    if compared.missing:
        output.note(f"no source was recorded of {', '.join(v[:12] for v in compared.missing)}")


def item_document(item: "Item") -> dict[str, Any]:
    """An item of the queue as JSON."""
    document = asdict(item)
    for name in ("queued", "changed"):
        document[f"{name}_ms"] = document.pop(f"{name}_ns") / 1e6
    return document


def audited_document(audited: "Audited") -> dict[str, Any]:
    """An audit as JSON."""
    return {
        "components": len(audited.audit.components),
        "violations": [
            {
                "item_id": item.item_id,
                "layer": one.component.layer,
                "name": one.component.name,
                "variant": one.component.variant,
                "breaches": [
                    {
                        "limit": breach.threshold.limit,
                        "selector": breach.threshold.selector,
                        "value": breach.threshold.value,
                        "observed": breach.measured.observed,
                        "beyond": breach.measured.beyond,
                        "runs": breach.measured.total,
                        "is_shown": breach.is_shown,
                    }
                    for breach in one.breaches
                ],
                "recommendation": one.recommendation,
                "priority": one.priority,
                "trace_id": one.example_trace,
                "run_id": one.example_run,
            }
            for one, item in zip(audited.audit.violations, audited.queued, strict=True)
        ],
        "too_few_runs": [one.name for one in audited.audit.unknown],
        "unmatched": [
            {"selector": one.selector, "limit": one.limit, "value": one.value}
            for one in audited.audit.unmatched
        ],
        "left": [item_document(one.item) for one in audited.left],
        "held": [item_document(one) for one in audited.held],
        "tests": None
        if audited.tests is None
        else {
            "ending": audited.tests.ending.value,
            "exit_code": audited.tests.exit_code,
            "duration_s": audited.tests.duration_s,
            "output": audited.tests.output,
        },
    }


def show_audited(audited: "Audited", screen: "Console") -> None:
    """Draw an audit."""
    for one, item in zip(audited.audit.violations, audited.queued, strict=True):
        where = f" ({one.component.file}:{one.component.line})" if one.component.file else ""
        screen.print(output.safe(f"{item.item_id}  {_title(item)}{where}"), style="bold")
        for breach in one.breaches:
            limit = breach.threshold
            seen = breach.measured
            how = "shown" if breach.is_shown else "may be chance"
            screen.print(
                f"    {limit.limit} {limit.value:g}: {seen.observed or 0:.4g} "
                f"({seen.beyond} of {seen.total} runs beyond; {how})"
            )
        screen.print(output.safe(f"    {one.recommendation}"))
    for left in audited.left:
        screen.print(
            output.safe(
                f"{left.item.item_id}  {_title(left.item)} leaves the queue: {left.item.reason}"
            )
        )
    for item in audited.held:
        screen.print(output.safe(f"{item.item_id}  {_title(item)} stays: your tests fail"))
    if not audited.audit.components:
        output.note("no run matches")
    elif not audited.audit.violations:
        screen.print(f"{len(audited.audit.components)} components, no limit is broken")
    for limit in audited.audit.unmatched:
        told = f"{limit.selector} {limit.limit}={limit.value:g}"
        output.note(f"no component fits the limit '{told}'; components are named LAYER/NAME")
    if unknown := audited.audit.unknown:
        names = ", ".join(one.name for one in unknown[:5])
        more = ", …" if len(unknown) > 5 else ""
        output.note(f"too few runs tell of a limit of {len(unknown)} components: {names}{more}")
    if audited.tests is not None:
        output.note(f"your tests {audited.tests.ending.value} in {audited.tests.duration_s:.1f} s")


def _title(item: "Item") -> str:
    return f"{item.layer or 'run'} {item.name}"


def show_queue(items: Sequence["Item"], screen: "Console") -> None:
    """Draw the queue."""
    if not items:
        screen.print("the optimisation queue is empty")
        return
    rows = [
        (
            item.item_id,
            item.state,
            _title(item),
            f"{item.limit} {item.value:g}",
            "-" if item.observed is None else f"{item.observed:.4g}",
            item.runs,
            item.reason or item.recommendation,
        )
        for item in items
    ]
    columns = ("item", "state", "component", "limit", "observed", "runs", "what to do, or why")
    output.table(screen, columns, rows)


def show_bench(result: "BenchmarkResult", screen: "Console") -> None:
    """Print a benchmark as markdown."""
    screen.print(output.safe(result.markdown()))

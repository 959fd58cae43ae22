"""Show how well fixing goes: times, rates, cost, caches, guard, calibration."""

from typing import TYPE_CHECKING

import typer

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.stats import Calibration, Share, Stats

EPILOG = """Examples:

  refinery stats

  refinery stats --json
"""
SETTINGS = {"epilog": EPILOG}


def command(ctx: typer.Context, json_output: output.JsonOption = False) -> None:
    """Show how well fixing goes in this project.

    Counts the sessions of `refinery fix` that came to an end, the changes in the ledger and the
    model calls. A rate stands with its count and its 95 % Wilson interval.
    """
    from refinery.model.codec import encode
    from refinery.workflows import stats
    from refinery.workflows.wiring import open_workspace

    found = stats.of(open_workspace(flags=ctx.obj))
    output.emit(encode(found), json_output, lambda screen: _show(found, screen))


def _show(found: "Stats", screen: "Console") -> None:
    rows = [
        ("sessions of refinery fix", str(found.sessions)),
        ("with a proven fix", _share(found.proven)),
        ("ended in a commit", _share(found.committed)),
        ("changes still in force", _share(found.held)),
        ("approved without an engineer", _share(found.without_engineer)),
        ("start to commit (p50, p90)", _times(found.fix_s)),
        ("failure to commit (p50, p90)", _times(found.failure_to_fix_s)),
        ("one trial (p50, p90)", _times(found.trial_s)),
        ("tokens per committed fix", _number(found.tokens_per_fix, "{:,.0f}")),
        ("cost per committed fix", _number(found.cost_per_fix_usd, "{:.4f} USD")),
        ("analyses from the cache", _share(found.cache_hits)),
        ("patches by the guard", _counts(found.guard)),
        ("lessons", _counts(found.lessons)),
    ]
    for purpose, spent in found.operations.items():
        times = _times(None if spent.p50_s is None else (spent.p50_s, spent.p90_s or 0.0))
        rows.append((f"model call: {purpose}", f"{spent.calls} calls, {times}"))
    output.table(screen, ("what", "figure"), rows)
    _show_calibration(found.calibration, screen)


def _show_calibration(found: "Calibration", screen: "Console") -> None:
    if found.brier is None or found.base_brier is None:
        screen.print("calibration: no hypothesis has been tried yet")
        return
    screen.print(
        f"calibration: Brier score {found.brier:.3f} over {found.tried} tried hypotheses; "
        f"always stating the overall share would give {found.base_brier:.3f}"
    )
    rows = [
        (
            f"{band.low:.1f} to {band.high:.1f}",
            band.total,
            f"{band.stated:.2f}",
            f"{band.fixed:.2f}",
        )
        for band in found.bands
    ]
    output.table(screen, ("stated", "hypotheses", "mean stated", "share fixed"), rows)


def _share(share: "Share") -> str:
    if share.rate is None or share.interval is None:
        return "-"
    low, high = share.interval
    return f"{share.count} of {share.total} ({share.rate:.0%}, {low:.0%} to {high:.0%})"


def _times(spread: "tuple[float, float] | None") -> str:
    return "-" if spread is None else f"{_time(spread[0])}, {_time(spread[1])}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _counts(counts: "object") -> str:
    items = dict(counts).items() if isinstance(counts, dict) else ()
    return ", ".join(f"{count} {name}" for name, count in items) or "-"

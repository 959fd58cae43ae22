"""Show how well fixing goes, and what the store and the search index hold."""

from typing import TYPE_CHECKING

import typer

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.model.trace import Json
    from refinery.search.index import State
    from refinery.workflows.stats import Calibration, Share, Stats

EPILOG = """Examples:

  refinery stats

  refinery stats --json
"""
SETTINGS = {"epilog": EPILOG}


def command(ctx: typer.Context, json_output: output.JsonOption = False) -> None:
    """Show how well fixing goes in this project, and what its store and search index hold.

    Counts the sessions of `refinery fix` that came to an end, the changes in the ledger and the
    model calls. A rate stands with its count and its 95 % Wilson interval.
    """
    from refinery.model.codec import encode
    from refinery.workflows import search, stats
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(flags=ctx.obj)
    found = stats.of(workspace)
    kept, index = workspace.store.stats(), search.state(workspace)
    document = {**encode(found), "store": encode(kept), "search": encode(index)}

    def show(screen: "Console") -> None:
        _show_kept(kept, index, screen)
        _show(found, screen)

    output.emit(document, json_output, show)


def _show_kept(kept: "dict[str, Json]", index: "State | None", screen: "Console") -> None:
    size = kept["size_bytes"] / 2**20
    screen.print(f"store: {kept['traces']} traces, {kept['runs']} runs, {size:.1f} MB")
    if index is None or index.embedder is None:
        screen.print("search index: none yet; the first `refinery search` makes it")
        return
    other = f"; the settings name {index.wanted}" if index.is_other else ""
    recall = "all are compared" if index.probes is None else f"recall {index.recall:.2f}"
    screen.print(
        f"search index: {index.interactions} conversations, embedder {index.embedder} "
        f"({index.dimensions} dimensions), {recall}{other}"
    )


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

"""Show what model calls have used and cost."""

from typing import TYPE_CHECKING

import typer

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.stats import Spent

EPILOG = """Examples:

  refinery cost

  refinery cost --json
"""
SETTINGS = {"epilog": EPILOG}


def command(ctx: typer.Context, json_output: output.JsonOption = False) -> None:
    """Show what model calls have used and cost: by model, purpose and day.

    Costs are estimates from a dated price table; calls of models that are not in it are counted
    as unpriced, never as free.
    """
    from refinery.llm.prices import AS_OF
    from refinery.model.codec import encode
    from refinery.workflows import stats
    from refinery.workflows.wiring import open_workspace

    found = stats.costs(open_workspace(flags=ctx.obj))
    document = {
        f"by_{title}": {name: encode(spent) for name, spent in groups.items()}
        for title, groups in found.items()
    }
    if not found["model"]:
        output.note("no model has been called in this project")
    output.emit({**document, "prices_of": AS_OF}, json_output, lambda s: _show(found, s))


def _show(found: "dict[str, dict[str, Spent]]", screen: "Console") -> None:
    for title, groups in found.items():
        if groups:
            rows = [_row(name, spent) for name, spent in groups.items()]
            columns = (title, "calls", "failed", "tokens in", "tokens out", "USD", "unpriced")
            output.table(screen, columns, rows)


def _row(name: str, spent: "Spent") -> tuple[object, ...]:
    cost = "-" if spent.cost_usd is None else f"{spent.cost_usd:.4f}"
    counts = (spent.calls, spent.failed, spent.input_tokens, spent.output_tokens)
    return (name, *counts, cost, spent.unpriced)

"""How replays look in the terminal: the steps of one, and before and after of counterfactuals."""

import difflib
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from refinery.cli import diff_view, output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.replay import ReplayOutcome
    from refinery.workflows.what_if_outcome import Cell, Totals, WhatIfOutcome

_MAX_CELL = 60
"""Characters of an answer in a table."""
_MAX_LINES = 40
"""Lines of a comparison of two answers."""


def show_exact(outcome: "ReplayOutcome", screen: "Console") -> None:
    """Draw the steps of an exact replay and the verdict."""
    result = outcome.result
    rows = [(s.kind, s.name, s.fidelity.value, s.detail) for s in result.steps]
    if rows:
        output.table(screen, ("kind", "step", "answered", "note"), rows)
    for warning in outcome.warnings:
        screen.print(output.safe(f"note: {warning}"))
    where = f"commit {outcome.commit[:12]}, sandbox {outcome.sandbox}"
    screen.print(outcome.summary)
    if outcome.is_same:
        screen.print(f"same as recorded ({where})")
    else:
        screen.print(output.safe(f"differs: {outcome.divergence} ({where})"))
        if outcome.divergence is not None:
            _show_diff(outcome.divergence.diff, screen)


def _show_diff(diff: str, screen: "Console") -> None:
    """Draw a unified diff, its first lines."""
    lines = diff.splitlines()
    for line in lines[:_MAX_LINES]:
        style = {"-": "red", "+": "green"}.get(line[:1])
        screen.print(output.safe(line), style=style)
    if len(lines) > _MAX_LINES:
        screen.print(f"… and {len(lines) - _MAX_LINES} lines more (all with --json)")


def show_what_if(outcome: "WhatIfOutcome", screen: "Console") -> None:
    """Draw the table of variations, and for a single one the answers side by side."""
    before = outcome.totals
    rows: list[tuple[str, ...]] = [
        ("as recorded", _short(outcome.answer), "", "", *_figures(before), "")
    ]
    rows += [_row(outcome, cell) for cell in outcome.cells]
    columns = ("variation", "answer", "changed first", "live", "tokens", "cost", "model time")
    output.table(screen, (*columns, "trace"), rows)
    if len(outcome.cells) == 1:
        _show_one(outcome, outcome.cells[0], screen)
    for warning in outcome.warnings:
        screen.print(output.safe(f"note: {warning}"))
    for cell in outcome.cells:
        if why := cell.missing:
            screen.print(output.safe(f"unanswered: {cell.variation.label}: {why}"))
        elif not cell.is_varied:
            label = cell.variation.label
            screen.print(output.safe(f"note: {label}: no request was changed by it"))
    where = "only this call, nothing of the agent was run"
    if outcome.commit is not None:
        where = f"commit {outcome.commit[:12]}, sandbox {outcome.sandbox}"
    screen.print(f"{outcome.spent} ({where})")


def _row(outcome: "WhatIfOutcome", cell: "Cell") -> tuple[str, ...]:
    result = cell.result
    said = _short(cell.answer) if result.status == "ok" else f"{result.status}: {result.error}"
    return (
        cell.variation.label,
        _short(said) if cell.is_answered else "unanswered",
        _first(cell),
        str(cell.live),
        *_figures(outcome.totals_of(cell)),
        cell.trace.trace_id if cell.trace else "",
    )


def _first(cell: "Cell") -> str:
    if cell.diff is None:
        return "?"
    first = cell.diff.first
    return f"{diff_view.name_of(first.compared)}" if first else "nothing"


def _figures(found: "Totals") -> tuple[str, str, str]:
    tokens = "?" if found.total_tokens is None else f"{found.total_tokens:,}"
    spent = "?" if found.model_ms is None else f"{found.model_ms:,.0f} ms"
    return tokens, _money(found.cost_usd, found.cost_source), spent


def _money(usd: Decimal | None, source: str | None) -> str:
    if usd is None:
        return "?"
    return f"${usd:.6f}" + (" est." if source == "estimated" else "")


def _show_one(outcome: "WhatIfOutcome", cell: "Cell", screen: "Console") -> None:
    if cell.diff is not None and cell.diff.first is not None:
        diff_view.show_first(cell.diff.first, screen)
    if cell.result.status != "ok":
        return
    if cell.answer == outcome.answer:
        screen.print("\nThe answer is the same.")
        return
    screen.print("\nAnswer", style="bold")
    for line in _compared(outcome.answer, cell.answer):
        style = {"-": "red", "+": "green"}.get(line[:1])
        screen.print(f"  {output.safe(line)}", style=style)


def _compared(before: str, after: str) -> Iterator[str]:
    lines = list(difflib.ndiff(before.splitlines()[:500], after.splitlines()[:500]))
    kept = [line for line in lines if not line.startswith("?")]
    yield from kept[:_MAX_LINES]
    if len(kept) > _MAX_LINES:
        yield f"… and {len(kept) - _MAX_LINES} lines more"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MAX_CELL else plain[: _MAX_CELL - 1] + "…"

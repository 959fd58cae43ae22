"""What the search commands share: their filters, and how results are shown."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.search.people import Span
    from refinery.search.searching import Reason
    from refinery.workflows.search import Found

User = Annotated[str | None, typer.Option(metavar="USER", help="Of this user.")]
Session = Annotated[str | None, typer.Option(metavar="ID", help="Of this session or thread.")]
Project = Annotated[str | None, typer.Option(metavar="NAME", help="Of this project.")]
Status = Annotated[
    str | None,
    typer.Option(metavar="STATUS", help="ok, error, running, cancelled, unknown or failed."),
]
Kind = Annotated[
    str | None,
    typer.Option(metavar="KIND", help="With a run of this kind; words are looked for there."),
]
Since = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Began since: 24h, 7d, or a date.")
]
Until = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Began before: as --from.")
]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="Most results.")]

_TOLD_EVERY = 4_000


def progress(done: int, total: int) -> None:
    """Say how far filling the index is; nothing when it is short work."""
    if total > _TOLD_EVERY and (done // 400) % 10 == 0:
        output.note(f"taking conversations into the index: {done:,} of {total:,}")


def moment(text: str | None) -> int | None:
    """What `--from` and `--to` name, in nanoseconds UTC; None when they are not given."""
    from refinery.workflows import search

    return search.moment_ns(text) if text else None


def answer(found: "Found", asked: dict[str, Any], *, json_output: bool) -> None:
    """Print what a search found; exit code 5 when that is nothing.

    Args:
        found: the result.
        asked: keys of the document that say what was looked for.
        json_output: the command's `--json`.
    """
    from refinery.workflows.search_document import document

    output.emit({**asked, **document(found)}, json_output, lambda screen: _draw(found, screen))
    if not found.hits:
        raise typer.Exit(ExitCode.NOTHING)


def span(one: "Span") -> dict[str, Any]:
    """Figures of a user or a session, as JSON."""
    return {
        "interactions": one.interactions,
        "errors": one.errors,
        "total_tokens": one.tokens,
        "first": output.iso_time(one.first_ns),
        "last": output.iso_time(one.last_ns),
    }


FIGURES = ("conversations", "errors", "tokens", "first", "last")
"""Headings of `figures`."""


def figures(one: "Span") -> tuple[object, ...]:
    """Figures of a user or a session, as cells of a table."""
    first, last = output.local_time(one.first_ns), output.local_time(one.last_ns)
    return one.interactions, one.errors, one.tokens, first, last


def _draw(found: "Found", screen: "Console") -> None:
    if found.like:
        output.note(f"like {found.like}:")
    _show(found, screen)
    _tell(found)


def _show(found: "Found", screen: "Console") -> None:
    """Draw results, best first."""
    for hit in found.hits:
        trace = hit.trace
        who = f"  {trace.user_id}" if trace.user_id else ""
        head = f"{trace.trace_id}  {trace.status}  {output.local_time(trace.start_ns)}{who}"
        screen.print(output.safe(head), style="bold")
        for title, text in (("asked", hit.asked), ("answered", hit.answered)):
            if text:
                screen.print(output.safe(f"  {title}: {text}"))
        for reason in hit.why:
            screen.print(output.safe(f"  why: {_why(reason)}"))


def _why(reason: "Reason") -> str:
    words = ", ".join(reason.words)
    if reason.similarity is not None:
        shared = f" (also says {words})" if words else ""
        return f"meaning {reason.similarity:.2f}, number {reason.rank}{shared}"
    where = " ".join(part for part in (reason.run_kind, reason.run_name) if part)
    place = f" in {where}" if where else ""
    quote = f": {reason.snippet}" if reason.snippet else ""
    return f"words {words or '(parts)'}{place}, number {reason.rank}{quote}"


def _tell(found: "Found") -> None:
    """Say how was searched, and what was left out."""
    for note in found.notes:
        output.note(note)
    if not found.hits:
        output.note("nothing fits; try other words, or fewer filters")
    output.note(f"searched by {' and '.join(found.arms)}; embedder {found.embedder}")

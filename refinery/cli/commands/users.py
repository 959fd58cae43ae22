"""List the users whose conversations are in the store."""

from typing import TYPE_CHECKING

import typer

from refinery.cli import output, search_view

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.search.people import Span

EPILOG = """Examples:

  refinery users

  refinery users --from 7d --status failed --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    project: search_view.Project = None,
    status: search_view.Status = None,
    since: search_view.Since = None,
    until: search_view.Until = None,
    json_output: output.JsonOption = False,
) -> None:
    """List users, most recent first, with their sessions, conversations and errors."""
    from refinery.workflows import search
    from refinery.workflows.wiring import open_workspace

    query = search.Query(
        project=project,
        status=status,
        since_ns=search_view.moment(since),
        until_ns=search_view.moment(until),
    )
    found = search.users(open_workspace(flags=ctx.obj), query)
    document = {
        "users": [
            {"user_id": one.name, "sessions": len(one.parts), **search_view.span(one)}
            for one in found
        ]
    }
    output.emit(document, json_output, lambda screen: _show(found, screen))


def _show(found: "list[Span]", screen: "Console") -> None:
    if not found:
        output.note("no conversations match")
        return
    rows = [
        (one.name if one.name is not None else "(none)", len(one.parts), *search_view.figures(one))
        for one in found
    ]
    output.table(
        screen, ("user", "sessions", *search_view.FIGURES), rows, spare=("first", "tokens")
    )

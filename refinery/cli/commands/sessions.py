"""List the sessions whose conversations are in the store."""

from typing import TYPE_CHECKING

import typer

from refinery.cli import output, search_view

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.search.people import Span

EPILOG = """Examples:

  refinery sessions --user ada

  refinery sessions --from 24h --json
"""
SETTINGS = {"epilog": EPILOG}


def command(  # one option a filter: the list is the interface
    ctx: typer.Context,
    user: search_view.User = None,
    project: search_view.Project = None,
    status: search_view.Status = None,
    since: search_view.Since = None,
    until: search_view.Until = None,
    json_output: output.JsonOption = False,
) -> None:
    """List sessions (threads), most recent first, with their conversations and errors."""
    from refinery.workflows import search
    from refinery.workflows.wiring import open_workspace

    query = search.Query(
        user=user,
        project=project,
        status=status,
        since_ns=search_view.moment(since),
        until_ns=search_view.moment(until),
    )
    found = search.sessions(open_workspace(flags=ctx.obj), query)
    document = {
        "sessions": [
            {"session_id": one.name, "user_id": one.user, **search_view.span(one)} for one in found
        ]
    }
    output.emit(document, json_output, lambda screen: _show(found, screen))


def _show(found: "list[Span]", screen: "Console") -> None:
    if not found:
        output.note("no sessions match")
        return
    rows = [(one.name, one.user, *search_view.figures(one)) for one in found]
    output.table(
        screen, ("session", "user", *search_view.FIGURES), rows, spare=("first", "tokens")
    )

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
        since_ns=search.moment_ns(since) if since else None,
        until_ns=search.moment_ns(until) if until else None,
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
    columns = ("session", "user", "conversations", "errors", "tokens", "first", "last")
    rows = [
        (
            one.name,
            one.user,
            one.interactions,
            one.errors,
            one.tokens,
            output.local_time(one.first_ns),
            output.local_time(one.last_ns),
        )
        for one in found
    ]
    output.table(screen, columns, rows)

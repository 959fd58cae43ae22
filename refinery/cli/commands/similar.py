"""Find conversations like one of yours, or like a text."""

from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output, search_view

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.search import Found

EPILOG = """Examples:

  refinery similar latest-failed

  refinery similar 0c2a5a6e --status ok --limit 5

  refinery similar "the agent promised a refund and none was booked" --json
"""
SETTINGS = {"epilog": EPILOG}


def command(  # one option a filter: the list is the interface
    ctx: typer.Context,
    given: Annotated[
        str,
        typer.Argument(
            metavar="TRACE|TEXT", help="An id, a beginning of one, latest, or a text in quotes."
        ),
    ],
    user: search_view.User = None,
    session: search_view.Session = None,
    project: search_view.Project = None,
    status: search_view.Status = None,
    kind: search_view.Kind = None,
    since: search_view.Since = None,
    until: search_view.Until = None,
    limit: search_view.Limit = 10,
    json_output: output.JsonOption = False,
) -> None:
    """Find conversations whose question and answer are like those of a trace, or like a text.

    Compared by meaning; without the extra `lance` by their rarer words. Exit code 5 when nothing
    is like it.
    """
    from refinery.workflows import search
    from refinery.workflows.wiring import open_workspace

    query = search.Query(
        user=user,
        session=session,
        project=project,
        status=status,
        kind=kind,
        since_ns=search.moment_ns(since) if since else None,
        until_ns=search.moment_ns(until) if until else None,
        limit=limit,
    )
    ways = search.Ways(progress=search_view.progress)
    found = search.similar(open_workspace(flags=ctx.obj), given, query, ways=ways)
    document = {"like": found.like, **search_view.document(found)}
    output.emit(document, json_output, lambda screen: _show(found, screen))
    if not found.hits:
        raise typer.Exit(5)


def _show(found: "Found", screen: "Console") -> None:
    if found.like:
        output.note(f"like {found.like}:")
    search_view.show(found, screen)
    search_view.tell(found)

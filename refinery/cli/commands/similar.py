"""Find conversations like one of yours, or like a text."""

from typing import Annotated

import typer

from refinery.cli import output, search_view

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
        since_ns=search_view.moment(since),
        until_ns=search_view.moment(until),
        limit=limit,
    )
    ways = search.Ways(progress=search_view.progress)
    found = search.similar(open_workspace(flags=ctx.obj), given, query, ways=ways)
    search_view.answer(found, {"like": found.like}, json_output=json_output)

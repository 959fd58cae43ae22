"""Find conversations by words and by meaning."""

from typing import Annotated

import typer

from refinery.cli import output, search_view

EPILOG = """Examples:

  refinery search "customer never got the refund"

  refinery search "timeout" --kind tool --status failed --from 7d

  refinery search "Rechnung" --user ada --from 2025-09-01 --to 2025-10-01 --json
"""
SETTINGS = {"epilog": EPILOG}


def command(  # one option a filter: the list is the interface
    ctx: typer.Context,
    words: Annotated[str, typer.Argument(metavar="TEXT", help="Words or a sentence.")],
    user: search_view.User = None,
    session: search_view.Session = None,
    project: search_view.Project = None,
    status: search_view.Status = None,
    kind: search_view.Kind = None,
    since: search_view.Since = None,
    until: search_view.Until = None,
    limit: search_view.Limit = 10,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="Words only; the index is not touched.")
    ] = False,
    fill: Annotated[
        bool, typer.Option("--fill", help="Take everything into the index first.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index anew first.")] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Find conversations by words and by meaning, best first, each with the reasons.

    Words are looked for in every run; meaning compares what was asked and answered, with the
    embedder of the setting `search_embedder`, always named. Exit code 5 when nothing fits.
    """
    from refinery.workflows import search
    from refinery.workflows.wiring import open_workspace

    query = search.Query(
        text=words,
        user=user,
        session=session,
        project=project,
        status=status,
        kind=kind,
        since_ns=search_view.moment(since),
        until_ns=search_view.moment(until),
        limit=limit,
    )
    ways = search.Ways(
        by_meaning=not text_only,
        filling_s=None if fill or rebuild else search.FILLING_S,
        rebuild=rebuild,
        progress=search_view.progress,
    )
    found = search.search(open_workspace(flags=ctx.obj), query, ways=ways)
    search_view.answer(found, {"query": words}, json_output=json_output)

"""Take a change back as a new commit, keeping later work."""

from pathlib import Path
from typing import Annotated

import typer

from refinery.cli import change_view, output
from refinery.cli.arguments import complete_change

EPILOG = """Examples:

  refinery rollback

  refinery rollback fix-8c1f0a2b --dry-run

  refinery rollback fix-8c1f --yes --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    change: Annotated[
        str,
        typer.Argument(
            help="Id or unique prefix of a change; default: the newest.",
            autocompletion=complete_change,
        ),
    ] = "latest",
    repo: Annotated[Path | None, typer.Option(help="Repository; default: this folder's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Take a change back as a new commit, keeping later work.

    Only what the change wrote goes, also within lines that were edited since; what was written
    over again is shown in its three versions and refused.
    """
    del ctx
    from refinery.workflows.change_actions import ROLLBACK

    options = change_view.Options(repo, dry_run=dry_run, yes=yes, json_output=json_output)
    change_view.perform(ROLLBACK, change, options)

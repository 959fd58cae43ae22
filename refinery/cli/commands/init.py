"""Write refinery.toml for the agent in this repository."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.errors import RefusedError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.setup import Proposal

EPILOG = """Examples:

  refinery init

  refinery init --entrypoint support_agent:answer --yes
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    entrypoint: Annotated[
        str | None,
        typer.Option(metavar="MODULE:CALLABLE", help="How the agent is entered; default: found."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the file, write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Write refinery.toml for the agent in this repository.

    The repository's files are read, never run.
    """
    from refinery.workflows import setup

    proposal = setup.propose(repo or Path.cwd())
    asks = not (yes or dry_run or json_output) and sys.stdin.isatty()
    if asks:
        _show_candidates(proposal, output.console(to_stderr=True))
    chosen = entrypoint or (_ask(proposal) if asks else proposal.best)
    text = setup.render(proposal, chosen)
    if not (yes or dry_run) and not (asks and _confirm(text)):
        raise RefusedError(
            f"{setup.FILE_NAME} was not written: nobody said yes",
            hint="add --yes to write it, or --dry-run to see it",
        )
    created = [] if dry_run else setup.write(proposal, chosen)
    document: dict[str, object] = {
        "repository": str(proposal.root),
        "framework": proposal.framework,
        "entrypoint": chosen,
        "candidates": [
            {"entrypoint": c.entrypoint, "file": c.file, "line": c.line, "reason": c.reason}
            for c in proposal.candidates
        ],
        "created": [str(path) for path in created],
        "text": text,
    }
    output.emit(document, json_output, lambda screen: _show(document, screen))


def _show_candidates(proposal: "Proposal", screen: "Console") -> None:
    screen.print(f"Framework: {proposal.framework}")
    if not proposal.candidates:
        screen.print("Nothing in the repository looks like an entry point.")
    for candidate in proposal.candidates[:5]:
        line = f"  {candidate.entrypoint}  ({candidate.file}:{candidate.line}, {candidate.reason})"
        screen.print(output.safe(line))


def _ask(proposal: "Proposal") -> str | None:
    reply: str = typer.prompt(
        "Entry point (module:callable, empty for none)", default=proposal.best or "", err=True
    )
    return reply.strip() or None


def _confirm(text: str) -> bool:
    typer.echo(output.safe(text), err=True)
    return typer.confirm("Write this file?", default=True, err=True)


def _show(document: dict[str, object], screen: "Console") -> None:
    created = document["created"]
    if not isinstance(created, list) or not created:
        screen.print(output.safe(str(document["text"])))
        return
    for path in created:
        screen.print(f"created {output.safe(path)}")
    if document["entrypoint"] is None:
        screen.print("No entry point was found: set `entrypoint` in refinery.toml.")
    else:
        screen.print('Next: refinery record --input \'{"question": "…"}\'')

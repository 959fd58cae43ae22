"""Search the prompting guides, and add texts of your own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.help import examples

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.knowledge.passages import Passage
    from refinery.workflows.knowledge import Found, Guide

EPILOG = """Examples:

  refinery knowledge search "answer from an old price list"

  refinery knowledge add docs/style-guide.md

  refinery knowledge list --json
"""
SHOWN = 600
"""Characters of a passage that are shown; `--json` has all."""

app = typer.Typer(
    name="knowledge",
    help="Search the prompting guides, and add texts of your own.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Search the prompting guides, and add texts of your own."""


@app.command("list", **examples("refinery knowledge list"))
def list_(ctx: typer.Context, json_output: output.JsonOption = False) -> None:
    """List the guides, your texts, and how many passages each has."""
    from refinery.workflows import knowledge
    from refinery.workflows.wiring import open_workspace

    found = knowledge.guides(open_workspace(flags=ctx.obj))
    document = {
        "guides": [
            {"name": one.name, "origin": one.origin, "passages": one.passages} for one in found
        ]
    }
    output.emit(document, json_output, lambda screen: _show_guides(found, screen))


@app.command(**examples('refinery knowledge search "the answer is cut off"'))
def search(
    ctx: typer.Context,
    words: Annotated[str, typer.Argument(help="A question, an error message, a symptom.")],
    k: Annotated[int, typer.Option("--k", min=1, max=50, help="Most passages shown.")] = 5,
    json_output: output.JsonOption = False,
) -> None:
    """Find the passages that fit a question. Exit code 5 when none does."""
    from refinery.workflows import knowledge
    from refinery.workflows.wiring import open_workspace

    found = knowledge.search(open_workspace(flags=ctx.obj), words, k)
    document = {
        "passages": [_to_json(passage) for passage in found.passages],
        "embedder": found.embedder,
        "arms": list(found.arms),
        "notes": list(found.notes),
    }
    output.emit(document, json_output, lambda screen: _show_found(found, screen))


@app.command(**examples("refinery knowledge add docs/handbook --name handbook"))
def add(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(help="A text file, or a folder of .md, .txt, .rst.")],
    name: Annotated[str | None, typer.Option(help="What citations call it.")] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Add a text of your own; hypotheses cite it beside the guides."""
    from refinery.workflows import knowledge
    from refinery.workflows.wiring import open_workspace

    new, names = knowledge.add(open_workspace(flags=ctx.obj), source, name)
    document = {"added": new, "names": names}
    told = f"{new} new passages in {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
    output.emit(document, json_output, lambda screen: screen.print(output.safe(told)))


@app.command(**examples("refinery knowledge remove handbook"))
def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="As `refinery knowledge list` shows it.")],
    json_output: output.JsonOption = False,
) -> None:
    """Take a text of your own out again."""
    from refinery.workflows import knowledge
    from refinery.workflows.wiring import open_workspace

    removed = knowledge.remove(open_workspace(flags=ctx.obj), name)
    told = f"{removed} passages of {name} removed"
    output.emit(
        {"removed": removed, "name": name},
        json_output,
        lambda screen: screen.print(output.safe(told)),
    )


@app.command(**examples("refinery knowledge rebuild"))
def rebuild(ctx: typer.Context, json_output: output.JsonOption = False) -> None:
    """Build the vectors anew, for example after the embedder was changed by hand."""
    from refinery.workflows import knowledge
    from refinery.workflows.wiring import open_workspace

    passages, embedder = knowledge.rebuild(open_workspace(flags=ctx.obj))
    told = f"{passages} passages, embedder {embedder}"
    output.emit(
        {"passages": passages, "embedder": embedder},
        json_output,
        lambda screen: screen.print(output.safe(told)),
    )


def _to_json(passage: "Passage") -> dict[str, object]:
    return {
        "citation": passage.citation,
        "origin": passage.origin,
        "score": passage.score,
        "arm": passage.arm,
        "text": passage.text,
    }


def _show_guides(found: "list[Guide]", screen: "Console") -> None:
    rows = [(one.name, one.origin, one.passages) for one in found]
    output.table(screen, ("name", "origin", "passages"), rows)


def _show_found(found: "Found", screen: "Console") -> None:
    for passage in found.passages:
        text = passage.text if len(passage.text) <= SHOWN else f"{passage.text[:SHOWN]}…"
        screen.print(output.safe(passage.citation), style="bold")
        screen.print(output.safe(f"{text}\n"))
    for note in found.notes:
        output.note(note)
    output.note(f"searched by {' and '.join(found.arms)}; embedder {found.embedder}")

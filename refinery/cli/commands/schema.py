"""Print the JSON Schema of a command's document."""

import json
from typing import Annotated

import typer

from refinery.cli import output
from refinery.cli.help import examples

SETTINGS = examples(
    "refinery schema fix", "refinery schema checks add", "refinery schema error", "refinery schema"
)


def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="A command; without one all are listed."),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Print the JSON Schema of what a command prints with `--json`, or of every error.

    With `--json` the schema stands in `schema`, beside the `command` it is of.
    """
    from refinery.cli import documents

    if not words:
        names = sorted(documents.DOCUMENTS)
        output.emit(
            {"commands": names}, json_output, lambda screen: screen.print("\n".join(names))
        )
        return
    name = " ".join(words)
    found = documents.schema(name)
    output.emit(
        {"command": name, "schema": found},
        json_output,
        lambda screen: screen.print(json.dumps(found, indent=2)),
    )

"""Print the script that completes commands, options and trace ids in your shell."""

import enum
from typing import Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import COMPLETION_VARIABLE

EPILOG = """Examples:

  eval "$(refinery completion bash)"

  refinery completion zsh > ~/.zfunc/_refinery

  refinery completion fish > ~/.config/fish/completions/refinery.fish
"""
SETTINGS = {"epilog": EPILOG}


class Shell(enum.StrEnum):
    """Shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def command(
    ctx: typer.Context,
    shell: Annotated[Shell, typer.Argument(help="The shell the script is for.")],
    json_output: output.JsonOption = False,
) -> None:
    """Print the script that completes commands, options and trace ids in your shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(
        prog_name="refinery", complete_var=COMPLETION_VARIABLE, shell=shell.value
    )
    output.emit(
        {"shell": shell.value, "script": script}, json_output, lambda screen: screen.print(script)
    )

"""Let a coding assistant read, diagnose, replay and propose over MCP; never approve."""

from pathlib import Path
from typing import Annotated

import typer

from refinery import plugins
from refinery.cli import output

EPILOG = """Examples:

  refinery mcp

  claude mcp add refinery -- refinery mcp --repo ~/agents/support

  refinery mcp --tools
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    tools: Annotated[
        bool, typer.Option("--tools", help="List the tools, and serve nothing.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Let a coding assistant read, diagnose, replay and propose over MCP; never approve.

    Speaks the Model Context Protocol on standard input and output until the input ends. A
    proposal waits in a session; a person approves it with `refinery fix --resume`.
    """
    try:
        from refinery.server import mcp_server

        server = mcp_server.create_server(mcp_server.Access(repo, ctx.obj["store"]))
    except ModuleNotFoundError as error:
        raise plugins.missing("`refinery mcp`", error, "mcp") from error
    if not (tools or json_output):
        server.run("stdio")
        return
    import asyncio

    offered = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
        for tool in asyncio.run(server.list_tools())
    ]
    output.emit(
        {"tools": offered},
        json_output,
        lambda screen: output.table(
            screen,
            ("tool", "what it does"),
            [(tool["name"], str(tool["description"]).partition("\n")[0]) for tool in offered],
        ),
    )

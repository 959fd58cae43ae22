"""Receive traces over HTTP from LangSmith's, OpenTelemetry's and Langfuse's clients.

The server runs until it is interrupted; `--json` prints one line when it is ready.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output
from refinery.errors import InputError
from refinery.server.config import DEFAULT_HOST, DEFAULT_PORT, ServeSettings

if TYPE_CHECKING:
    from rich.console import Console

KEY_VARIABLE = "REFINERY_API_KEY"
_TITLES = {
    "langsmith": "LangSmith, LangChain and LangGraph (Python and JavaScript):",
    "otlp": "OpenTelemetry, OpenInference, OpenLLMetry (OTLP over HTTP):",
    "langfuse": "Langfuse:",
}


def command(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback need an API key.")
    ] = DEFAULT_HOST,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")
    ] = DEFAULT_PORT,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Trace store to write to, as before the command."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"File with the key clients must send; default: {KEY_VARIABLE}, then none.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A further name clients may call this server by; repeatable."
        ),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Receive traces over HTTP from LangSmith's, OpenTelemetry's and Langfuse's clients.

    Prints the environment variables each client needs, then serves until interrupted.
    """
    from refinery.server import running
    from refinery.workflows import wiring

    resolved = wiring.load_settings(flags={"store": store or ctx.obj["store"]})
    folder = wiring.state_folder()
    settings = ServeSettings(
        store=resolved.values.store or str(folder / "traces.db"),
        host=host,
        port=port,
        api_key=_key(api_key_file),
        allowed_hosts=tuple(allow_host or ()),
        spool=folder / "spool",
    )

    def announce(url: str) -> None:
        document = _document(settings, url)
        output.emit(document, json_output, lambda console: _draw(console, document))
        output.note("refinery: ready; end it with Ctrl-C")

    running.serve(settings, announce)
    output.note("refinery: everything that arrived is stored")


def _key(file: Path | None) -> str | None:
    """The key clients must send, from the file or the environment; None: none is asked for."""
    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the key in {file}: {error}", hint="correct it") from error
    if not key:
        raise InputError(f"{file} holds no key", hint="write a long random text into it")
    return key


def _document(settings: ServeSettings, url: str) -> dict[str, Any]:
    """What clients need to know; the key itself is never shown."""
    key = f"${KEY_VARIABLE}" if settings.api_key else "local"
    otlp = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    if settings.api_key:
        otlp["OTEL_EXPORTER_OTLP_HEADERS"] = f"x-api-key={key}"
    return {
        "url": url,
        "host": settings.host,
        "port": int(url.rpartition(":")[2]),
        "store": settings.store,
        "needs_key": settings.api_key is not None,
        "environment": {
            "langsmith": {
                "LANGSMITH_TRACING": "true",
                "LANGSMITH_ENDPOINT": url,
                "LANGSMITH_API_KEY": key,
            },
            "otlp": otlp,
            "langfuse": {
                "LANGFUSE_BASE_URL": url,
                "LANGFUSE_HOST": url,
                "LANGFUSE_PUBLIC_KEY": "refinery",
                "LANGFUSE_SECRET_KEY": key,
            },
        },
    }


def _draw(console: "Console", document: dict[str, Any]) -> None:
    console.print(f"Taking traces at {document['url']} into {output.safe(document['store'])}")
    for name, variables in document["environment"].items():
        console.print(f"\n{_TITLES[name]}")
        for variable, value in variables.items():
            quoted = f'"{value}"' if "$" in value else value
            console.print(f"  export {variable}={quoted}")
    console.print()

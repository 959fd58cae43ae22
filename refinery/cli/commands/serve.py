"""Show traces, diagnoses and fixes in the browser, and receive traces over HTTP.

The server runs until it is interrupted; `--json` prints one line when it is ready.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output
from refinery.errors import InputError
from refinery.server.config import DEFAULT_HOST, DEFAULT_PORT, ServeSettings

if TYPE_CHECKING:
    from rich.console import Console

EPILOG = """Examples:

  refinery serve

  refinery serve --port 8200 --no-open

  refinery serve --host 0.0.0.0 --api-key-file key.txt --token-file token.txt
"""
SETTINGS = {"epilog": EPILOG}

KEY_VARIABLE = "REFINERY_API_KEY"
TOKEN_VARIABLE = "REFINERY_TOKEN"  # noqa: S105  # the name of a variable
_TITLES = {
    "langsmith": "LangSmith, LangChain and LangGraph (Python and JavaScript):",
    "otlp": "OpenTelemetry, OpenInference, OpenLLMetry (OTLP over HTTP):",
    "langfuse": "Langfuse:",
}


def command(
    ctx: typer.Context,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; others than loopback need a key and a token."),
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
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"File with the token that opens the pages; default: {TOKEN_VARIABLE}, then a "
            "new one at each start.",
        ),
    ] = None,
    open_browser: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the pages; default: on a terminal only."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A further name clients may call this server by; repeatable."
        ),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Show traces, diagnoses and fixes in the browser, and receive traces over HTTP.

    Prints the address of the pages and the environment variables each client needs, then serves
    until interrupted.
    """
    from refinery.server import running
    from refinery.workflows import wiring

    resolved = wiring.load_settings(flags={"store": store or ctx.obj["store"]})
    folder = wiring.state_folder()
    settings = ServeSettings(
        store=resolved.values.store or str(folder / "traces.db"),
        host=host,
        port=port,
        api_key=_secret(api_key_file, KEY_VARIABLE, "key"),
        token=_secret(token_file, TOKEN_VARIABLE, "token"),
        home=folder,
        allowed_hosts=tuple(allow_host or ()),
        spool=folder / "spool",
    )
    running.require_secrets(settings)
    settings = replace(
        settings,
        token=settings.token or secrets.token_urlsafe(32),
        opens_once=secrets.token_urlsafe(32),
    )
    with _token_files(settings, folder) as keep:

        def announce(url: str) -> None:
            keep(url)
            document = _document(settings, url)
            output.emit(document, json_output, lambda console: _draw(console, document))
            output.note("refinery: ready; end it with Ctrl-C")
            if _is_wanted(open_browser, json_output):
                _open(f"{url}/ui/?token={settings.opens_once}")

        running.serve(settings, announce)
    output.note("refinery: everything that arrived is stored")


def _secret(file: Path | None, variable: str, what: str) -> str | None:
    """A secret from a file or the environment; None: there is none."""
    if file is None:
        return os.environ.get(variable, "").strip() or None
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the {what} in {file}: {error}", hint="correct it"
        ) from error
    if not secret:
        raise InputError(f"{file} holds no {what}", hint="write a long random text into it")
    return secret


@contextmanager
def _token_files(settings: ServeSettings, folder: Path) -> Iterator[Callable[[str], None]]:
    """Keeps the token where programs of the user find it, private, while the server runs."""
    kept: list[Path] = []

    def keep(url: str) -> None:
        path = folder / f"serve-{url.rpartition(':')[2]}.token"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(f"{settings.token}\n")
        kept.append(path)

    try:
        yield keep
    finally:
        for path in kept:
            with suppress(OSError):
                path.unlink()


def _is_wanted(open_browser: bool | None, json_output: bool) -> bool:
    return sys.stdout.isatty() and not json_output if open_browser is None else open_browser


def _open(address: str) -> None:
    """Open the browser; the address holds a value that opens once, as others may see it."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _document(settings: ServeSettings, url: str) -> dict[str, Any]:
    """What clients need to know; the key itself is never shown, the token of the pages is."""
    key = f"${KEY_VARIABLE}" if settings.api_key else "local"
    otlp = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    if settings.api_key:
        otlp["OTEL_EXPORTER_OTLP_HEADERS"] = f"x-api-key={key}"
    return {
        "url": url,
        "ui": f"{url}/ui/?token={settings.token}",
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
    console.print(f"Pages: {document['ui']}\n")
    console.print(f"Taking traces at {document['url']} into {output.safe(document['store'])}")
    for name, variables in document["environment"].items():
        console.print(f"\n{_TITLES[name]}")
        for variable, value in variables.items():
            quoted = f'"{value}"' if "$" in value else value
            console.print(f"  export {variable}={quoted}")
    console.print()

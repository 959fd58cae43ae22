"""Show the settings and where each one comes from."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.help import examples

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.settings import Settings

MASK = "********"

app = typer.Typer(
    name="config",
    help="Show the settings and where each one comes from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Show the settings and where each one comes from."""


@app.command(**examples("refinery config show --origin"))
def show(
    ctx: typer.Context,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say where each value comes from.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Print every setting; keys and values of variables are masked."""
    from refinery.workflows.wiring import load_settings

    settings = load_settings(None, ctx.obj)
    rows = describe(settings)
    document = {
        "settings": rows,
        "home": str(settings.home),
        "project_file": str(settings.project_file) if settings.project_file else None,
    }
    output.emit(document, json_output, lambda screen: _show(settings, rows, origin, screen))


def _show(
    settings: "Settings", rows: list[dict[str, object]], origin: bool, screen: "Console"
) -> None:
    home: dict[str, object] = {"name": "(home)", "value": str(settings.home), "origin": "found"}
    columns = ("setting", "value", "from") if origin else ("setting", "value")
    cells = [(row["name"], _shown(row["value"]), row["origin"]) for row in [*rows, home]]
    output.table(screen, columns, [row[: len(columns)] for row in cells])


def describe(settings: "Settings") -> list[dict[str, object]]:
    """Every setting as `{"name", "value", "origin"}`, in the order of the settings page."""
    from refinery.settings import flatten

    return [
        {
            "name": name,
            "value": _masked(name, value),
            "origin": settings.origins.get(name, "default"),
        }
        for name, value in flatten(settings.values.model_dump()).items()
    ]


def _masked(name: str, value: object) -> object:
    """The value without secrets: no keys, no values of variables, no password in a URL."""
    if name == "model_api_key":
        return MASK if value is not None else None
    if name == "agent.env" and isinstance(value, list):
        return [f"{item.partition('=')[0]}={MASK}" if "=" in item else item for item in value]
    if isinstance(value, str) and "://" in value and "@" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://{MASK}@{rest.rpartition('@')[2]}"
    return value


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

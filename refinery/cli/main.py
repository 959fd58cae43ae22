"""Root command; a command's file is imported only when the command is named."""

import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from refinery import __version__, plugins
from refinery.cli import output
from refinery.cli.arguments import COMPLETION_VARIABLE
from refinery.cli.help import CommandPage
from refinery.errors import ExitCode, InputError, PluginError, RefineryError

ROOM = "cli.commands"
SECTIONS = {
    "Start": ("demo", "init", "doctor"),
    "Capture": ("record", "serve", "tokens", "import", "fetch", "export"),
    "Look": ("traces", "show", "diff", "label", "checks", "diagnose", "replay", "bisect"),
    "Search": ("search", "timeframe", "similar", "users", "sessions"),
    "Mend": ("guide", "fix", "history", "rollback", "redo", "verify", "watch"),
    "Settings": ("config",),
}


def _file_name(command: str) -> str:
    """File of a command: `import` is a reserved word, so its file is `import_`."""
    name = command.replace("-", "_")
    return name if name in plugins.names(ROOM) else f"{name}_"


class Commands(TyperGroup):
    """A group whose commands are the files of `refinery/cli/commands`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands: by section first, then those of other distributions."""
        found = [name.rstrip("_").replace("_", "-") for name in plugins.names(ROOM)]
        order = [name for section in SECTIONS.values() for name in section]
        return [n for n in order if n in found] + [n for n in found if n not in order]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command's file and wrap its function `command`."""
        try:
            module = plugins.load(ROOM, _file_name(cmd_name))
        except PluginError:
            if _file_name(cmd_name) in plugins.names(ROOM):
                raise  # the file is there, a library it needs is not
            close = get_close_matches(cmd_name, self.list_commands(ctx), n=1)
            hint = f"did you mean {close[0]!r}?" if close else "refinery --help lists them"
            raise InputError(f"no command {cmd_name!r}", hint=hint) from None
        if isinstance(app := getattr(module, "app", None), typer.Typer):
            group = typer.main.get_command(app)
            group.name = cmd_name
            return group
        one = typer.Typer(add_completion=False, rich_markup_mode=None)
        settings = {"cls": CommandPage, **getattr(module, "SETTINGS", {})}
        one.command(cmd_name, **settings)(module.command)
        return typer.main.get_command(one)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by section, with their summaries, without importing them."""
        names = self.list_commands(ctx)
        placed = {name for section in SECTIONS.values() for name in section}
        rest = tuple(name for name in names if name not in placed)
        for title, members in {**SECTIONS, "More": rest}.items():
            rows = [(n, plugins.summary(ROOM, _file_name(n))) for n in members if n in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"refinery {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Trace store to use; default: REFINERY_STORE, then the "
            "project's .refinery/traces.db.",
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(output.QUIET, help="Say nothing but the result; also after the command."),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print version."),
    ] = False,
) -> None:
    """Find out why an LLM agent failed, mend it, and prove the mend.

    Try it:  refinery demo
    """
    ctx.obj = {"store": store}


def main() -> None:
    """Run the command line; an expected error prints its hint and sets the exit code."""
    if COMPLETION_VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    try:
        code = app(_arguments(), prog_name="refinery", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except RefineryError as error:
        output.print_error(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        output.note("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except BrokenPipeError:
        sys.exit(ExitCode.DONE)
    except Exception as error:  # noqa: BLE001  # the one broad catch of the command line
        sys.exit(_usage_error(error) or _bug(error))


def _arguments() -> list[str]:
    """What was typed, without the `--quiet` that `output` has read already."""
    own = output.own_words()
    return [word for word in own if word != output.QUIET] + sys.argv[1 + len(own) :]


def _usage_error(error: Exception) -> int | None:
    """Print an error of option parsing; None when it is not one."""
    show = getattr(error, "format_message", None)
    if show is None:
        return None
    output.print_error(_UsageError(cast("str", show()), hint="add --help to see how it is used"))
    return ExitCode.USAGE


class _UsageError(RefineryError):
    exit_code = ExitCode.USAGE


def _bug(error: Exception) -> int:
    """Write a report of an unexpected error and point to it."""
    from refinery import clock, home

    text = "".join(traceback.format_exception(error))
    try:
        folder = home.prepare(home.locate()) / "reports"
        folder.mkdir(exist_ok=True)
        report: Path | None = folder / f"{clock.short_id('bug')}.txt"
        cast("Path", report).write_text(f"refinery {__version__}\n{text}", encoding="utf-8")
    except OSError:
        report = None
    where = f"the report is in {report}" if report else text
    output.print_error(_BugError(f"unexpected {type(error).__name__}: {error}", hint=where))
    return ExitCode.BUG


class _BugError(RefineryError):
    exit_code = ExitCode.BUG


if __name__ == "__main__":
    main()

"""What the documentation takes from the code: pages of commands and functions, llms.txt, man page.

`mkdocs build` calls `on_files`. `python docs/hooks.py` writes the two files that are kept beside
the code, `llms.txt` and `refinery.1`; a test compares them with what it would write.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MOVED = {
    "architecture.md": "ARCHITECTURE.md",
    "security.md": "SECURITY.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
}
"""Pages that are files of the repository's root."""

COLUMNS = 80


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to those of the folder; called by mkdocs."""
    from mkdocs.structure.files import File

    pages = {
        "commands.md": commands_page(),
        "python.md": python_page(),
        "llms.txt": llms_text(),
        **{page: _moved(name) for page, name in MOVED.items()},
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and command of a group, `("checks add", command)`, as the help orders them."""
    from typer.main import get_command

    from refinery.cli.main import app

    root = get_command(app)
    for name in root.list_commands(None):
        command = root.get_command(None, name)
        yield name, command
        if hasattr(command, "commands"):
            for inner, one in command.commands.items():
                yield f"{name} {inner}", one


def help_text(name: str, command: Any) -> str:
    """A command's help as the terminal shows it, 80 columns wide."""
    context = command.make_context(
        f"refinery {name}",
        [],
        resilient_parsing=True,
        max_content_width=COLUMNS,
        terminal_width=COLUMNS,
    )
    text: str = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.splitlines())


def commands_page() -> str:
    """The reference of the command line."""
    parts = ["# Commands\n\nEvery command takes `--help` and `--json`.\n"]
    for name, command in commands():
        level = "##" if " " not in name else "###"
        parts.append(f"{level} {name}\n\n```text\n{help_text(name, command)}\n```\n")
    return "\n".join(parts)


def python_page() -> str:
    """The reference of the public Python names, from their docstrings."""
    import refinery

    parts = ["# Python\n\nEverything is imported from `refinery`.\n"]
    for name in sorted(set(refinery.__all__) - {"__version__"}):
        value = getattr(refinery, name)
        parts.append(f"## {name}\n\n```text\n{name}{_signature(value)}\n\n{_doc(value)}\n```\n")
        if inspect.isclass(value):
            parts += [
                f"### {name}.{member}\n\n```text\n{member}{_signature(function)}\n\n"
                f"{_doc(function)}\n```\n"
                for member, function in vars(value).items()
                if inspect.isfunction(function) and not member.startswith("_")
            ]
    return "\n".join(parts)


def llms_text() -> str:
    """A reference for programs that read: what there is, each command in a line, the pages."""
    import refinery

    lines = [
        "# Refinery",
        "",
        f"> {refinery.__doc__}",
        "",
        "Every command takes --json (documents: docs/json.md; `refinery schema` prints their JSON",
        'Schemas) and prints errors as {"error": {"code", "message", "hint"}}. A trace is named',
        "by an id, a unique prefix, latest, latest-failed, a file, or a LangSmith URL. Nothing is",
        "written to a repository before `refinery fix` has an approval.",
        "",
        "Exit codes: 0 done, 1 negative, 2 usage, 3 partial, 4 credentials, 5 nothing matched,",
        "6 budget or time, 7 refused, 70 a bug, 130 interrupted.",
        "",
        "## Commands",
        "",
    ]
    for name, command in commands():
        lines.append(f"- `refinery {name}{_operands(command)}`: {_summary(command)}")
        lines += [f"  - `{option}`: {told}" for option, told in _options(command)]
    lines += ["", "## Pages", ""]
    for page in sorted((ROOT / "docs").glob("*.md")):
        title = page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        lines.append(f"- [{title}](docs/{page.name})")
    return "\n".join(lines) + "\n"


def man_page() -> str:
    """All commands as one page for `man`, in roff."""
    import refinery

    lines = [
        f'.TH REFINERY 1 "" "refinery {refinery.__version__}" "User Commands"',
        ".SH NAME",
        f"refinery \\- {_roff(str(refinery.__doc__))}",
        ".SH SYNOPSIS",
        ".B refinery",
        "[\\-\\-store URL] COMMAND [ARGUMENTS]",
        ".SH COMMANDS",
    ]
    for name, command in commands():
        lines += [".SS " + _roff(f"{name}{_operands(command)}"), _roff(_summary(command))]
        for option, told in _options(command):
            lines += [".TP", f".B {_roff(option)}", _roff(told)]
    codes = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    lines.append(".SH EXIT STATUS")
    for code, told in re.findall(r"^\| (\d+) \| (.+) \|$", codes, re.MULTILINE):
        lines += [".TP", f".B {code}", _roff(told)]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """Text with what roff would take for its own escaped."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _summary(command: Any) -> str:
    return " ".join(str(command.help or "").partition("\n\n")[0].split())


def _operands(command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    return "".join(f" {one.metavar or one.name.upper()}" for one in arguments)


def _options(command: Any) -> Iterator[tuple[str, str]]:
    for one in command.params:
        if one.param_type_name == "option" and one.name not in ("help", "json_output"):
            yield ", ".join(one.opts), " ".join(str(one.help or "").split())


def _signature(value: Any) -> str:
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""


def _doc(value: Any) -> str:
    return inspect.getdoc(value) or ""


def _moved(name: str) -> str:
    """A page of the root, with its links into this folder made relative to it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return text.replace("](docs/", "](")


KEPT = {"llms.txt": llms_text, "refinery.1": man_page}
"""Files written beside the code."""

if __name__ == "__main__":
    for name, write in KEPT.items():
        (ROOT / name).write_text(write(), encoding="utf-8")

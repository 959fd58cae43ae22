"""What holds for every command alike: mistakes, exit codes, errors as JSON, schemas."""

import json
from pathlib import Path
from typing import Any

import pytest

from refinery.cli.documents import DOCUMENTS, schema
from refinery.errors import ExitCode
from tests.cli.calling import call
from tests.cli.help_pages import GOLDEN, hooks

COMMANDS = dict(hooks().commands())
GROUPS = {name for name, command in COMMANDS.items() if hasattr(command, "commands")}
SINGLE = sorted(set(COMMANDS) - GROUPS)
TAKING_A_TRACE = [
    name for name in SINGLE if {one.name for one in COMMANDS[name].params} & {"trace", "left"}
]
TAKING_A_CHANGE = [
    name for name in SINGLE if "change" in {one.name for one in COMMANDS[name].params}
]


@pytest.mark.parametrize("name", SINGLE)
def test_a_mistyped_option_is_a_usage_error_and_says_so_in_json(name: str) -> None:
    called = call(*name.split(" "), "--no-such-option", "--json")

    assert called.code == ExitCode.USAGE, called.stderr
    assert "--no-such-option" in called.json["error"]["message"]
    assert called.json["error"]["hint"]


@pytest.mark.parametrize("name", SINGLE)
def test_a_near_miss_of_a_command_is_answered_with_the_command(name: str) -> None:
    first = name.split(" ")[0]
    called = call(first + first[-1])

    assert called.code == ExitCode.USAGE
    assert "did you mean" in called.stderr


@pytest.mark.parametrize("name", TAKING_A_TRACE)
def test_a_trace_that_is_not_there_is_nothing_matched(name: str, isolated: Path) -> None:
    words = {"diff": ["0000nothing", "0000nothing"]}.get(name, ["0000nothing"])
    called = call(*name.split(" "), *words, *REQUIRED.get(name, ()), "--json")

    assert called.code in (ExitCode.NOTHING, ExitCode.USAGE), called.stdout
    assert called.json["error"]["hint"]


REQUIRED = {
    "label": ("--fail",),
    "checks add": ("--expect", 'must mention "29 EUR"'),
    "checks try": ("--check", "contains:29 EUR"),
    "replay": (),
}
"""What a command needs besides, so that it is the trace it stumbles over."""


@pytest.mark.parametrize("name", TAKING_A_CHANGE)
def test_a_change_outside_of_a_repository_is_an_error_with_a_hint(
    name: str, isolated: Path
) -> None:
    called = call(*name.split(" "), "fix-00000000", "--json")

    assert called.code in (ExitCode.NOTHING, ExitCode.USAGE), called.stdout
    assert called.json["error"]["hint"]


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_schema_of_a_document_is_as_written_down(name: str) -> None:
    """A change of a document shows here first; `python -m tests.cli.help_pages` writes it anew."""
    file = GOLDEN / "schemas" / f"{name.replace(' ', '-')}.json"
    written: Any = json.loads(file.read_text(encoding="utf-8"))

    assert schema(name) == json.loads(json.dumps(written))

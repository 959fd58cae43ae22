"""`refinery tokens` as people call it."""

from pathlib import Path

import pytest

from refinery.errors import ExitCode
from refinery.server.grants import Grants
from tests.cli.calling import call


def test_a_token_is_printed_once_and_listed_without_itself(isolated: Path) -> None:
    made = call("tokens", "add", "--user", "ada", "--project", "shop", "--days", "2", "--json")
    assert made.code == ExitCode.DONE
    about = made.json
    token = about.pop("token")
    about.pop("schema_version")

    listed = call("tokens", "list", "--json")
    assert listed.json["tokens"] == [about]
    assert about["user"] == "ada"
    assert about["expires"] > about["created"]
    drawn = call("tokens", "list")
    assert about["id"] in drawn.stdout
    for called in (listed, drawn):
        assert token not in called.stdout + called.stderr


def test_what_is_printed_is_the_token_alone(isolated: Path) -> None:
    made = call("tokens", "add", "--user", "ada")

    assert made.stdout.startswith("refinery_")
    assert made.stdout.count("\n") == 1
    assert "not shown again" in made.stderr
    assert made.stdout.strip() not in made.stderr


def test_a_revoked_token_is_gone(isolated: Path) -> None:
    about = call("tokens", "add", "--user", "ada", "--json").json

    assert call("tokens", "revoke", about["id"], "--json").json["revoked"] == about["id"]
    assert call("tokens", "list", "--json").json["tokens"] == []
    assert "no tokens in" in call("tokens", "list").stderr
    again = call("tokens", "revoke", about["id"])
    assert again.code == ExitCode.NOTHING
    assert "refinery tokens list" in again.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("add",),
        ("add", "--user", ""),
        ("add", "--user", "ada", "--project", " "),
        ("add", "--user", "ada", "--days", "0"),
        ("add", "--user", "ada", "--days", "-1"),
        ("add", "--user", "a" * 501),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(isolated: Path, arguments: tuple[str, ...]) -> None:
    called = call("tokens", *arguments, "--json")

    assert called.code == ExitCode.USAGE
    assert called.json["error"]["hint"]


def test_a_damaged_file_is_an_error_and_stays_as_it_is(isolated: Path) -> None:
    call("tokens", "add", "--user", "ada")
    file = next(isolated.parent.rglob("tokens.json"))
    file.write_text("{")

    for arguments in (("list",), ("add", "--user", "bob"), ("revoke", "token-00000000")):
        called = call("tokens", *arguments)
        assert called.code == ExitCode.USAGE
        assert "cannot be read" in called.stderr
    assert file.read_text() == "{"


def test_control_characters_of_a_note_reach_no_terminal(isolated: Path) -> None:
    call("tokens", "add", "--user", "ada\x1b[2J", "--note", "\u202enote")
    shown = call("tokens", "list").stdout

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    file = next(isolated.parent.rglob("tokens.json"))
    assert Grants(file.parent).all()[0].user == "ada\x1b[2J"

from pathlib import Path

import pytest

from tests.cli.calling import call


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_a_text_is_added_found_listed_and_removed(tmp_path: Path) -> None:
    (tmp_path / "style.md").write_text("# Style\n\n## Zebra rule\n\nStripes on every quagga.\n")

    assert call("knowledge", "add", "style.md", "--json").json["added"] == 1
    assert call("knowledge", "add", "style.md", "--json").json["added"] == 0
    found = call("knowledge", "search", "quagga stripes", "--k", "1", "--json").json
    assert found["passages"][0]["citation"] == "style#Zebra rule"
    assert found["embedder"] == "hash-512"
    listed = call("knowledge", "list", "--json").json["guides"]
    assert {"name": "style", "origin": "user", "passages": 1} in listed
    assert call("knowledge", "remove", "style", "--json").json["removed"] == 1
    assert call("knowledge", "remove", "style").code == 5


def test_a_folder_is_added_text_by_text(tmp_path: Path) -> None:
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "a.md").write_text("alpha rule")
    (tmp_path / "notes" / "deep" / "b.txt").write_text("beta rule")
    (tmp_path / "notes" / "c.png").write_bytes(b"\x89PNG")

    added = call("knowledge", "add", "notes", "--json").json

    assert added["names"] == ["a", "deep/b"]
    assert added["added"] == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("add", "absent.md"), 2),
        (("add", "."), 2),
        (("search", "   "), 5),
    ],
)
def test_a_mistake_is_an_error_with_a_hint(arguments: tuple[str, ...], code: int) -> None:
    called = call("knowledge", *arguments)

    assert called.code == code
    assert "hint:" in called.stderr


def test_the_vectors_are_built_anew() -> None:
    told = call("knowledge", "rebuild", "--json").json

    assert told["passages"] > 300
    assert told["embedder"] == "hash-512"

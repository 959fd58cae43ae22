from pathlib import Path

import pytest

from refinery.agents.digest import Handles
from refinery.agents.tools import PAGE, Reader, may_be_shown, numbered, readable_source
from refinery.model.failure import SourceLocation
from tests.agents.samples import OLD, stale_price
from tests.kits.traces import run, trace


def _reader(root: Path | None = None, **options: object) -> Reader:
    case = stale_price()
    return Reader(case, Handles(case), root, **options)  # type: ignore[arg-type]


def test_a_run_is_read_whole_and_fenced() -> None:
    reader = _reader()

    said = reader.read_run({"run": "R2"})

    assert said.startswith("<<<trace ")
    assert OLD in said
    assert reader.extents == {"t/1": "whole"}


def test_a_long_run_comes_in_pages() -> None:
    case = trace(run("t", "tool", outputs="abc" * 10_000))
    reader = Reader(case, Handles(case), None)

    first = reader.read_run({"run": "R1"})
    rest = reader.read_run({"run": "R1", "offset": str(2 * PAGE)})

    assert f"offset {PAGE}" in first
    assert "characters follow" not in rest
    assert reader.extents == {"t": "part"}


@pytest.mark.parametrize("offset", [None, "x", -5, 10**12, True, [], 1.5, float("inf")])
def test_any_offset_is_survived(offset: object) -> None:
    assert "<<<trace" in _reader().read_run({"run": "R1", "offset": offset})


def test_an_unknown_run_is_answered_with_those_there_are() -> None:
    assert _reader().read_run({"run": "R7"}) == "There is no such run; handles go from R1 to R3."
    assert "no such run" in _reader().read_run({})


def test_search_names_run_and_place() -> None:
    said = _reader().search_trace({"text": "30 EUROS"})

    assert "R2 outputs.documents[1].page_content: …" in said
    assert said.startswith("<<<trace ")


def test_search_finds_nothing_in_plain_words() -> None:
    assert _reader().search_trace({"text": "zebra"}) == "It occurs nowhere in the trace."
    assert _reader().search_trace({"text": " "}) == "Say which text to find."


def test_source_is_shown_with_line_numbers(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("a = 1\nb = 2\nc = 3\n")
    reader = _reader(tmp_path, located=(SourceLocation("app.py", 2, 2),))

    said = reader.read_source({"path": "app.py", "first_line": 2, "last_line": 2})

    assert "   2 | b = 2" in said
    assert "a = 1" not in said
    assert "app.py:2" in reader.tools()[2].description


def test_without_a_repository_there_is_no_source_tool() -> None:
    assert [tool.name for tool in _reader().tools()] == ["read_run", "search_trace"]
    assert "no repository" in _reader().read_source({"path": "app.py"})


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "/etc/passwd",
        "link.txt",
        "linked/secret.txt",
        ".env",
        ".git/config",
        "deploy.pem",
        "folder",
        "missing.py",
        "picture.bin",
        "big.txt",
        "\0",
        "",
        "hidden-link.txt",
    ],
)
def test_what_must_not_be_read_is_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("outside")
    root = tmp_path / "repo"
    (root / "folder").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("[core]")
    (root / ".env").write_text("KEY=1")
    (root / "deploy.pem").write_text("key")
    (root / "picture.bin").write_bytes(b"\xff\xfe\x00")
    (root / "big.txt").write_text("x" * 500_000)
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "linked").symlink_to(tmp_path)
    (root / "hidden-link.txt").symlink_to(root / ".env")

    assert readable_source(root, name) is None
    assert "may be read" in _reader(root).read_source({"path": name})


def test_names_of_ordinary_files_may_be_shown() -> None:
    assert may_be_shown("src/agent/prompt.md")
    assert not may_be_shown("src/.secrets/prompt.md")


def test_secrets_in_source_are_redacted(tmp_path: Path) -> None:
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
    (tmp_path / "app.py").write_text(f'KEY = "{key}"\n')

    source = readable_source(tmp_path, "app.py")

    assert source is not None
    assert key not in source


def test_lines_are_numbered_from_the_first_one_asked_for() -> None:
    assert numbered("a\nb\nc", 2, 9) == "   2 | b\n   3 | c"

from pathlib import Path

import pytest

from tests.cli.help_pages import GOLDEN, page, pages

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", pages())
def test_the_help_page_is_as_written_down(name: str) -> None:
    written = GOLDEN / f"{name}.txt"

    assert written.is_file(), "python -m tests.cli.help_pages"
    assert page(pages()[name]) == written.read_text(encoding="utf-8")


def test_no_help_page_is_left_of_a_command_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(pages())


@pytest.mark.parametrize("name", [name for name in pages() if "-" not in name])
def test_every_command_is_told_in_the_readme(name: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert name == "refinery" or f"`{name}`" in readme


@pytest.mark.parametrize(
    "name", [name for name in pages() if name not in ("refinery", "config", "checks")]
)
def test_every_command_can_print_json(name: str) -> None:
    assert "--json" in page(pages()[name])

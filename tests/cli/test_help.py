import shlex
from typing import Any

import jsonschema
import pytest

from refinery.cli.documents import DOCUMENTS, schema
from tests.cli.help_pages import GOLDEN, ROOT, hooks, page, pages


@pytest.mark.parametrize("name", pages())
def test_the_help_page_is_as_written_down(name: str) -> None:
    written = GOLDEN / f"{name}.txt"

    assert written.is_file(), "python -m tests.cli.help_pages"
    assert page(pages()[name]) == written.read_text(encoding="utf-8")


def test_no_help_page_is_left_of_a_command_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(pages())


@pytest.mark.parametrize("name", list(hooks().KEPT))
def test_a_reference_kept_beside_the_code_is_as_written_down(name: str) -> None:
    assert hooks().KEPT[name]() == (ROOT / name).read_text(encoding="utf-8"), "just help-pages"


@pytest.mark.parametrize("name", [name for name in pages() if "-" not in name])
def test_every_command_is_told_in_the_readme(name: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert name == "refinery" or f"`{name}`" in readme


@pytest.mark.parametrize("name", [name for name in pages() if f"{name}-" not in " ".join(pages())])
def test_every_command_can_print_json(name: str) -> None:
    assert name == "refinery" or "--json" in page(pages()[name])


@pytest.mark.parametrize("name", [name for name in pages() if f"{name}-" not in " ".join(pages())])
def test_every_command_shows_examples(name: str) -> None:
    assert name == "refinery" or "\n  refinery " in page(pages()[name])


@pytest.mark.parametrize(("name", "command"), list(hooks().commands()))
def test_every_document_has_a_schema(name: str, command: Any) -> None:
    prints = any("--json" in one.opts for one in command.params)
    is_schema_itself = name == "schema"

    assert prints == (name in DOCUMENTS) or is_schema_itself
    if prints and not is_schema_itself:
        jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize(("name", "command"), list(hooks().commands()))
def test_the_examples_of_a_command_are_calls_it_takes(name: str, command: Any) -> None:
    text = str(command.epilog or "")
    lines = [line for line in text.splitlines() if line.startswith("  refinery ")]
    calls = [shlex.split(line.partition(" > ")[0]) for line in lines]

    for _, *words in calls:
        assert words[: name.count(" ") + 1] == name.split(" ")
        command.make_context(name, words[name.count(" ") + 1 :])

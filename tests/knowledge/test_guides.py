import re

import pytest

from refinery.knowledge.library import GUIDES
from refinery.knowledge.passages import MAX_CHARACTERS, cut, read_guides

NAMES = sorted(path.stem for path in GUIDES.glob("*.md"))


def test_there_are_at_least_forty_guides() -> None:
    assert len(NAMES) >= 40
    assert {"prompting-general", "prompting-openai", "prompting-anthropic"} <= set(NAMES)
    assert {"tool-design", "rag-retrieval", "rag-freshness", "structured-output"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_guide_has_one_title_and_sections_of_readable_size(name: str) -> None:
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")

    assert 35 <= len(text.splitlines()) <= 150
    assert re.search(r"^## Sources\n\n\S", text, re.MULTILINE)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert len(headings) >= 5
    assert len(set(headings)) == len(headings)
    assert max(len(line) for line in text.splitlines()) <= 100


def test_citations_of_all_guides_are_unique() -> None:
    citations = [passage.citation for passage in read_guides(GUIDES)]

    assert len(set(citations)) == len(citations)


def test_sources_are_named_in_the_file_and_are_no_passages() -> None:
    assert not [p for p in read_guides(GUIDES) if p.heading == "Sources"]


def test_markdown_is_cut_at_its_headings() -> None:
    text = "# Title\n\nIntro.\n\n## One\n\n- a\n\n## Two\n\nb\n\n### Deeper\n\nc\n"

    found = [(p.heading, p.text) for p in cut("guide", text)]

    assert found == [
        ("Title", "Intro."),
        ("One", "- a"),
        ("Two", "b\n\n### Deeper\n\nc"),
    ]


def test_a_heading_mark_inside_a_code_block_is_no_heading() -> None:
    text = "## Real\n\n```\n## not a heading\n```\n"

    assert [p.heading for p in cut("guide", text)] == ["Real"]


def test_a_long_text_without_headings_is_cut_by_length() -> None:
    text = "word " * 2_000

    pieces = cut("notes", text)

    assert len(pieces) == 4
    assert all(len(piece.text) <= MAX_CHARACTERS for piece in pieces)
    assert [piece.heading for piece in pieces[:2]] == ["notes", "notes (2)"]


def test_an_empty_text_has_no_passages() -> None:
    assert cut("notes", "\n \n") == []

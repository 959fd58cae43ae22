import re
from pathlib import Path

import pytest

from refinery import plugins

DOCS = Path(__file__).parents[2] / "docs"
HEADINGS = (
    "Sees", "Evidence", "Cause → symptom", "At most", "Limits",
    "Known false alarms and blind spots",
)  # fmt: skip
NAMES = plugins.names("detectors")


@pytest.mark.parametrize("name", NAMES)
def test_every_detector_has_a_page_of_the_one_template(name: str) -> None:
    page = (DOCS / "detectors" / f"{name}.md").read_text(encoding="utf-8")

    assert page.startswith(f"# `{name}`\n")
    assert tuple(re.findall(r"^\*\*([^*]+)\.\*\* \S", page, re.MULTILINE)) == HEADINGS


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_stands_on_its_page_with_its_value(name: str) -> None:
    page = (DOCS / "detectors" / f"{name}.md").read_text(encoding="utf-8")

    for limit, value in getattr(plugins.load("detectors", name), "LIMITS", {}).items():
        assert f"`{limit}` {value:g}" in page


def test_the_index_lists_every_detector_and_no_page_is_left_over() -> None:
    index = (DOCS / "detectors.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^\| \[`(\w+)`\]", index, re.MULTILINE)) == sorted(NAMES)
    assert sorted(p.stem for p in (DOCS / "detectors").glob("*.md")) == sorted(NAMES)

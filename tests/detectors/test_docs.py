from pathlib import Path

import pytest

from refinery import plugins

PAGE = Path(__file__).parents[2] / "docs" / "detectors.md"


@pytest.mark.parametrize("name", plugins.names("detectors"))
def test_every_detector_is_described(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text(encoding="utf-8")

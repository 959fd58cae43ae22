"""Seals tell what this user's Refinery wrote from what others brought along."""

import os
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.safety.seal import is_sealed, seal


def test_a_seal_fits_exactly_the_value_it_was_made_for() -> None:
    mark = seal({"a": [1, "x"], "b": None})

    assert is_sealed({"b": None, "a": [1, "x"]}, mark)
    assert not is_sealed({"a": [1, "y"], "b": None}, mark)
    assert not is_sealed({"a": [1, "x"], "b": None}, None)
    assert not is_sealed({"a": [1, "x"], "b": None}, "é" * 64)


def test_the_key_is_the_user_s_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = seal("x")
    key = Path(os.environ["XDG_DATA_HOME"]) / "refinery" / "seal.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key.parent.iterdir()] == ["seal.key"]

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))

    assert not is_sealed("x", mark)


def test_a_damaged_key_is_said() -> None:
    seal("x")
    key = Path(os.environ["XDG_DATA_HOME"]) / "refinery" / "seal.key"
    key.write_bytes(b"short")

    with pytest.raises(InputError, match="damaged"):
        seal("x")

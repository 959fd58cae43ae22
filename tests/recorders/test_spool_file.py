"""Blocks of spool files: what is packed comes back, what is damaged costs itself only."""

import io
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.recorders import spool_file
from refinery.recorders.spool_file import GZIP, PLAIN, ZSTD, Reader, best_format

FORMATS = {"zstd": ZSTD, "gzip": GZIP, "plain": PLAIN}
LINES = [b'{"n":%d}\n' % number for number in range(20)]


def packed(form: str, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Four blocks of five lines."""
    monkeypatch.setenv("REFINERY_SPOOL_FORMAT", form)
    chosen = best_format()
    assert chosen.suffix == FORMATS[form]
    return [chosen.pack(b"".join(LINES[at : at + 5])) for at in range(0, 20, 5)]


def read(content: bytes, suffix: str, **about: Any) -> list[Any]:
    about = {"is_finished": True, **about}
    return list(Reader(io.BytesIO(content), f"1-a{suffix}", **about).views())


@pytest.mark.parametrize("form", FORMATS)
def test_blocks_come_back_in_order(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = packed(form, monkeypatch)

    assert read(b"".join(blocks), FORMATS[form]) == [{"n": n} for n in range(20)]


@pytest.mark.parametrize(("form", "tool"), [("zstd", ["zstd", "-dcq"]), ("gzip", ["gzip", "-dc"])])
def test_the_usual_tools_read_a_file(
    form: str, tool: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = packed(form, monkeypatch)
    try:
        done = subprocess.run(tool, input=b"".join(blocks), capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip(f"{tool[0]} is not installed")

    assert done.stdout == b"".join(LINES)


@pytest.mark.parametrize("form", ["zstd", "gzip"])
def test_a_damaged_block_costs_itself_only(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = packed(form, monkeypatch)
    second = bytearray(blocks[1])
    second[-6] ^= 0xFF

    found = read(b"".join([blocks[0], bytes(second), *blocks[2:]]), FORMATS[form])

    assert found == [*({"n": n} for n in range(5)), None, *({"n": n} for n in range(10, 20))]


@pytest.mark.parametrize("suffix", FORMATS.values())
@given(content=st.binary(max_size=300), is_finished=st.booleans())
def test_any_bytes_are_read_without_a_crash(
    suffix: str, content: bytes, is_finished: bool
) -> None:
    read(content, suffix, is_finished=is_finished)


@pytest.mark.parametrize("form", ["zstd", "gzip"])
@given(data=st.data())
@settings(max_examples=60)
def test_mutated_blocks_are_read_without_a_crash(form: str, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        content = bytearray(b"".join(packed(form, monkeypatch)))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[at] = data.draw(st.integers(0, 255))

    found = read(bytes(content[: data.draw(st.integers(0, len(content)))]), FORMATS[form])

    assert len([view for view in found if view is not None]) <= 20


@pytest.mark.parametrize("form", ["zstd", "gzip"])
def test_a_block_that_claims_or_holds_too_much_is_not_unpacked(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_SPOOL_FORMAT", form)
    bomb = best_format().pack(b"[" + b" " * 10_000_000 + b"]\n")

    assert read(bomb, FORMATS[form], left_bytes=100_000) == [None]
    monkeypatch.setattr(spool_file, "MAX_BLOCK_BYTES", 1_000_000)
    assert read(bomb, FORMATS[form]) == [None]


def test_a_shared_text_is_put_where_it_is_named() -> None:
    view = '{"run":{"metadata":{"refinery":{"entry_point":{"dirty_diff":{"shared":"k"}}}}}}'
    content = spool_file.shared_line([("k", b'"diff"')]) + view.encode() + b"\n"

    (found,) = read(content, PLAIN)

    assert found["run"]["metadata"]["refinery"]["entry_point"]["dirty_diff"] == "diff"

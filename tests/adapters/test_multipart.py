"""Multipart bodies, as LangSmith's clients write them and as anybody may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.adapters._shared import multipart

TYPE = "multipart/form-data; boundary=b"
CONTENTS = st.lists(
    st.sampled_from([b"{}", b"\r\n", b"--b", b"--", b"\r\n--bc\r\n", b"\r\n--b\r\n", b"x", b""]),
    max_size=4,
).map(b"".join)


def body(*parts: tuple[bytes, int | None], usual: bool = True) -> bytes:
    """Parts of these contents, whose lengths are told wrong by as much."""
    written = []
    for content, error in parts:
        length = b"" if error is None else b"Content-Length: %d\r\n" % (len(content) + error)
        space = b" " if usual else b"\t"
        head = b'--b\r\nContent-Disposition:%sform-data; name="post.1"\r\n' % space
        written.append(head + b"Content-Type: application/json\r\n" + length + b"\r\n" + content)
    return b"\r\n".join((*written, b"--b--\r\n"))


def read(content: bytes) -> tuple[list[multipart.Part], bool, int]:
    parts = multipart.split(content, TYPE)
    return list(parts), parts.is_whole, parts.nameless


@given(
    st.lists(st.tuples(CONTENTS, st.sampled_from([0, 0, 0, 1, -1, 7, 10**6, None])), max_size=4),
    st.integers(0, 400),
    st.booleans(),
)
def test_told_lengths_change_nothing_of_what_is_read(
    parts: list[tuple[bytes, int | None]], cut: int, is_cut: bool
) -> None:
    lengths = [
        (content, error if error is None else max(error, -len(content)))
        for content, error in parts
    ]
    quick, slow = body(*lengths), body(*lengths, usual=False)
    if is_cut:
        quick, slow = (whole[: max(0, len(whole) - cut)] for whole in (quick, slow))
    assert read(quick) == read(slow)


def test_a_part_of_the_usual_form_is_read_whole() -> None:
    parts, is_whole, nameless = read(body((b'{"a":\r\n1}', 0), (b"", 0)))
    assert [(part.name, part.content_type, part.content) for part in parts] == [
        ("post.1", "application/json", b'{"a":\r\n1}'),
        ("post.1", "application/json", b""),
    ]
    assert (is_whole, nameless) == (True, 0)


def test_more_parts_than_allowed_are_refused() -> None:
    parts = multipart.split(body(*[(b"{}", 0)] * 3), TYPE, multipart.Bounds(parts=2))
    with pytest.raises(multipart.TooManyPartsError, match="more than 2 parts"):
        list(parts)


def test_a_type_without_a_boundary_is_refused() -> None:
    with pytest.raises(multipart.NoBoundaryError):
        multipart.split(b"", "multipart/form-data")

"""Bodies that are nearly right: cut off, with values exchanged, with bytes turned."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from refinery.errors import TraceFormatError

JUNK: list[Any] = [
    *(None, True, 0, -1, 2**70, 1e308, 1.5, "", "x", "\ud800", "tr-", '{"a":', "[[[[", "é" * 40),
    *([], {}, [[]], [None], {"a": 1}, ["a", {"b": [1]}]),
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        entries = enumerate(value)
    for key, entry in entries:
        yield from _places(entry, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> bytes:
    """A document with up to three values exchanged or taken out, or its bytes cut or turned."""
    raw = json.dumps(document).encode()
    how = draw(st.sampled_from(["values", "values", "cut", "bytes"]))
    if how == "cut":
        return raw[: draw(st.integers(0, len(raw)))]
    if how == "bytes":
        turned = bytearray(raw)
        for place in draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=5)):
            turned[place] = draw(st.integers(0, 255))
        return bytes(turned)
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_places(changed))))
        changed = _changed(changed, path, draw)
    return json.dumps(changed).encode()


def _changed(document: Any, path: tuple[Any, ...], draw: st.DrawFn) -> Any:
    junk = copy.deepcopy(draw(st.sampled_from(JUNK)))
    if not path:
        return junk
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    if draw(st.booleans()):
        holder[path[-1]] = junk
    else:
        del holder[path[-1]]
    return document


def reads_or_says_why(read_labelled: Callable[[Path], Any], path: Path, content: bytes) -> None:
    """Assert that a body gives traces with runs, or one error with a reason."""
    path.write_bytes(content)
    try:
        for trace, _ in read_labelled(path):
            assert trace.runs
            assert all(run.trace_id == trace.trace_id for run in trace.runs)
    except TraceFormatError as error:
        assert str(path) in str(error)
        assert error.hint

"""Takes written words out of a file that was edited since, also within the same lines.

A merge by lines gives up where a later edit touches a line of ours. Here the unit is the word:
every stretch of words that was written is looked up in the present file, and goes (or is put back)
when it still stands there unbroken, whatever was added before, behind or elsewhere in the line.
A stretch somebody changed is a conflict.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from refinery.codebase import scan

MAX_WORDS = 20_000
"""Most words of one window that are compared; a larger one is a conflict (chosen by us)."""
_WORD = re.compile(rb"\r?\n[ \t]*|[ \t]+|[A-Za-z0-9_\x80-\xff]+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A stretch that cannot be taken back, as it was in each version."""

    path: str
    before: str
    """Before the change."""
    written: str
    """As the change wrote it."""
    now: str
    """As it is now."""


@dataclass(frozen=True, slots=True)
class _Window:
    """The lines of each version in which the written and the former one differ."""

    written: list[bytes]
    before: list[bytes]
    now: list[bytes]


def unpick(path: str, written: bytes, before: bytes, now: bytes) -> bytes | Conflict:
    """The present content without what was written.

    Args:
        path: of the file; Python that parses now must still parse afterwards.
        written: the content the change made.
        before: the content it was made from.
        now: the present content.
    """
    lines = [content.splitlines(keepends=True) for content in (written, before, now)]
    head = _common(*lines)
    tail = _common(*(version[head:][::-1] for version in lines))
    middle = _Window(*(version[head : len(version) - tail] for version in lines))
    found = _words(path, middle)
    if isinstance(found, Conflict):
        return found
    joined = b"".join([*lines[2][:head], found, *(lines[2][len(lines[2]) - tail :])])
    if path.endswith(".py") and _parses(now) and not _parses(joined):
        return _conflict(path, middle)
    return joined


def _common(*versions: Sequence[bytes]) -> int:
    """Number of lines all versions begin with."""
    count = 0
    for lines in zip(*versions, strict=False):
        if len(set(lines)) > 1:
            break
        count += 1
    return count


def _words(path: str, window: _Window) -> bytes | Conflict:
    written, before, now = (
        _WORD.findall(b"".join(lines)) for lines in (window.written, window.before, window.now)
    )
    if max(map(len, (written, before, now))) > MAX_WORDS:
        return _conflict(path, window)
    places = _places(written, now)
    result: list[bytes] = []
    done = 0
    for start, end, put_back in _hunks(written, before):
        at = _only(written[start:end], now) or _stretch(places, (start, end), len(now))
        if at is None or at[0] < done:
            return _conflict(path, window)
        result += [*now[done : at[0]], *put_back]
        done = at[1]
    return b"".join([*result, *now[done:]])


def _hunks(
    written: Sequence[bytes], before: Sequence[bytes]
) -> Iterator[tuple[int, int, Sequence[bytes]]]:
    """Stretches of `written` and what stood in their place, in order."""
    matcher = SequenceMatcher(None, written, before, autojunk=False)
    for tag, start, end, old_start, old_end in matcher.get_opcodes():
        if tag != "equal":
            yield start, end, before[old_start:old_end]


def _places(written: Sequence[bytes], now: Sequence[bytes]) -> dict[int, int]:
    """Where each word of `written` stands in `now`, for those that still do."""
    matcher = SequenceMatcher(None, written, now, autojunk=False)
    return {
        block.a + offset: block.b + offset
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    }


def _only(words: Sequence[bytes], now: Sequence[bytes]) -> tuple[int, int] | None:
    """The one place where the words stand; None when there is none, or more than one."""
    size = len(words)
    if not size:
        return None
    found = [
        index
        for index in range(len(now) - size + 1)
        if now[index] == words[0] and list(now[index : index + size]) == list(words)
    ]
    return (found[0], found[0] + size) if len(found) == 1 else None


def _stretch(places: dict[int, int], span: tuple[int, int], length: int) -> tuple[int, int] | None:
    """Where a stretch stands in the present words; None when it is not there unbroken."""
    start, end = span
    if start < end:
        found = [places.get(index) for index in range(start, end)]
        first = found[0]
        if first is None or found != list(range(first, first + len(found))):
            return None
        return first, first + len(found)
    left, right = places.get(start - 1), places.get(start)
    if left is not None:
        return left + 1, left + 1
    if right is not None:
        return right, right
    return (0, 0) if start == 0 and length == 0 else None


def _parses(content: bytes) -> bool:
    try:
        return scan.parse(content.decode("utf-8")) is not None
    except UnicodeDecodeError:
        return False


def _conflict(path: str, window: _Window) -> Conflict:
    versions = (window.before, window.written, window.now)
    return Conflict(path, *(b"".join(v).decode("utf-8", "replace") for v in versions))

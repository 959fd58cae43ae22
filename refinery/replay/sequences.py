"""Where two long sequences are equal, in bounded time.

`difflib` finds the longest matching blocks, but takes time with the number of equal pairs: a
loop of 10,000 equal steps has 100 millions of them. Equal beginnings and ends are cut off first,
and what has too many equal pairs is matched from the left, each item with the next equal one.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher

MAX_PAIRS = 2_000_000
"""Most equal pairs `difflib` is given: about a second of its time."""
WINDOW = 100
"""How far ahead an equal item is looked for when there are too many pairs; chosen by us."""

Gap = tuple[int, int, int, int]
"""From and to of the left sequence, from and to of the right one."""


def parts(left: Sequence[Hashable], right: Sequence[Hashable]) -> Iterator[tuple[bool, Gap]]:
    """Both sequences in order as stretches that are equal, and gaps that are not.

    Yields whether a stretch is equal, and where it stands; equal ones have equal lengths.
    """
    start = _common(left, right)
    most = min(len(left), len(right)) - start
    end = min(_common(left[::-1], right[::-1]), most)
    if start:
        yield True, (0, start, 0, start)
    ends = len(left) - end, len(right) - end
    for is_equal, (a, b, c, d) in _middle(left[start : ends[0]], right[start : ends[1]]):
        yield is_equal, (a + start, b + start, c + start, d + start)
    if end:
        yield True, (ends[0], len(left), ends[1], len(right))


def _common(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """How many items are equal from the beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))


def _middle(left: Sequence[Hashable], right: Sequence[Hashable]) -> Iterator[tuple[bool, Gap]]:
    if not left and not right:
        return
    counts = Counter(right)
    if sum(number * counts[item] for item, number in Counter(left).items()) <= MAX_PAIRS:
        matcher = SequenceMatcher(None, left, right, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            yield tag == "equal", (a, b, c, d)
        return
    yield from _from_the_left(left, right)


def _from_the_left(
    left: Sequence[Hashable], right: Sequence[Hashable]
) -> Iterator[tuple[bool, Gap]]:
    places: dict[Hashable, list[int]] = {}
    for index, item in enumerate(right):
        places.setdefault(item, []).append(index)
    done, at = 0, 0
    for index, item in enumerate(left):
        known = places.get(item, [])
        found = bisect_left(known, at)
        if found == len(known) or known[found] - at > WINDOW:
            continue
        position = known[found]
        if index > done or position > at:
            yield False, (done, index, at, position)
        yield True, (index, index + 1, position, position + 1)
        done, at = index + 1, position + 1
    if done < len(left) or at < len(right):
        yield False, (done, len(left), at, len(right))

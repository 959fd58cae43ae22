"""Full-text index of the hybrid store: which run has which word, filled after the runs.

Words are runs of letters and digits, in lower case and without accents, as SQLite's FTS5 has
them. Runs above the number `indexed`, and those in `unindexed`, wait until a search or an idle
moment.
"""

import hashlib
import re
import unicodedata

from refinery.errors import StoreError
from refinery.stores._shared import hybrid_keys as keys
from refinery.stores._shared import layout
from refinery.stores._shared.hybrid_records import Head, Records

SLICE = 500
"""Runs indexed in one transaction, so that other writers wait for little (chosen by us)."""

_MAX_WORD_BYTES = 100
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> set[str]:
    """The different words of a text."""
    if not text.isascii():
        apart = unicodedata.normalize("NFD", text)
        text = "".join(one for one in apart if not unicodedata.combining(one))
    return set(_WORD.findall(text.lower()))


def is_behind(records: Records) -> bool:
    """Whether any run is not in the index yet."""
    return records.number("runs") > records.number("indexed") or records.count("unindexed") > 0


def waiting(records: Records) -> int:
    """Runs that are not in the index yet, at most: deleted ones may be counted."""
    return records.number("runs") - records.number("indexed") + records.count("unindexed")


def index_slice(records: Records) -> None:
    """Put the next `SLICE` waiting runs into the index."""
    changed = [
        keys.to_number(key)
        for _, key in zip(range(SLICE), records.keys("unindexed"), strict=False)
    ]
    for number in changed:
        _add(records, number)
        records.drop("unindexed", keys.of_number(number))
    through, last = records.number("indexed"), records.number("runs")
    end = min(through + SLICE - len(changed), last)
    for number in range(through + 1, end + 1):
        _add(records, number)
    records.set_number("indexed", max(through, end))


def _add(records: Records, number: int) -> None:
    if head := records.head(number):
        for word in _of_run(records, head):
            records.put("words", _key(word) + keys.of_number(number))


def _of_run(records: Records, head: Head) -> set[str]:
    try:
        return words(layout.searchable(head.columns[3], records.line(head.number)))
    except StoreError:  # the damage is told of when the run is read
        return set()


def forget(records: Records, head: Head) -> None:
    """Take the words of a run out, before it is changed or deleted."""
    if head.number > records.number("indexed"):
        return
    if records.get("unindexed", keys.of_number(head.number)) is not None:
        return
    for word in _of_run(records, head):
        records.drop("words", _key(word) + keys.of_number(head.number))


def await_index(records: Records, number: int) -> None:
    """Let a run that was forgotten wait for the index again."""
    if number <= records.number("indexed"):
        records.put("unindexed", keys.of_number(number))


def runs_with(records: Records, word: str) -> set[int]:
    """Numbers of the runs that have a word."""
    return {keys.to_number(key) for key in records.keys("words", _key(word))}


def _key(word: str) -> bytes:
    encoded = word.encode("utf-8", "replace")
    if len(encoded) > _MAX_WORD_BYTES:
        encoded = encoded[:_MAX_WORD_BYTES] + hashlib.sha256(encoded).digest()
    return encoded + b"\0"

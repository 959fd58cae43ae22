"""Checkable values in a text: numbers, money, dates, times, identifiers, addresses."""

from collections.abc import Iterator
from dataclasses import dataclass

from refinery.detectors._shared.patterns import find, find_all

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_MONEY = (
    r"(?i)(?:[$€£¥]|\b(?:usd|eur|gbp|chf)\s?)\s?(" + _NUMBER + r")|"
    r"(" + _NUMBER + r")\s?(?:[€£¥]|(?:usd|eur|gbp|chf|dollars?|euros?)\b)"
)
_MONTHS = "january february march april may june july august september october november december"
_MONTH = r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_MONTH_DAY = _MONTH + r"\s+(\d{1,2})(?:st|nd|rd|th)?(?:,?\s+((?:19|20)\d\d))?\b"
_DAY_MONTH = (
    r"(?i)\b(\d{1,2})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?"
    r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?:,?\s+((?:19|20)\d\d))?\b"
)
_NUMBERED = r"(?m)^\s{0,12}\d{1,3}[.)]\s"
_ISO = r"\b((?:19|20)\d\d)-(\d\d)-(\d\d)"
_IDENTIFIER = r"[A-Za-z0-9#][A-Za-z0-9_\-]{3,63}[A-Za-z0-9]"
_EMAIL = r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9.\-]{1,100}\.[A-Za-z]{2,10}"
_URL = r"https?://[^\s<>\"')\]]{3,300}"


@dataclass(frozen=True, slots=True)
class Value:
    """One checkable value."""

    kind: str
    """`money`, `number`, `date`, `identifier`, `email` or `url`."""
    canonical: str
    """The value in one spelling: `1200.5`, `2024-05-01`, lower case."""
    text: str
    """As written."""
    start: int


def number(text: str) -> str:
    """One spelling of a number: no separators, no trailing zeros."""
    plain = text.replace(",", "").replace(" ", "")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain.lstrip("0") or "0"


def values(text: str) -> Iterator[Value]:
    """Values of all kinds but bare numbers, kind by kind."""
    for hit in find_all(_EMAIL, text):
        yield Value("email", hit.text.lower(), hit.text, hit.start)
    for hit in find_all(_URL, text):
        yield Value("url", hit.text.rstrip(".,;:!?*_`").lower(), hit.text, hit.start)
    for hit in find_all(_MONEY, text):
        yield Value("money", number(hit.groups[0] or hit.groups[1]), hit.text, hit.start)
    yield from _dates(text)
    for hit in find_all(_IDENTIFIER, text):
        if _is_identifier(hit.text) and find(_ISO, hit.text) is None:
            yield Value("identifier", hit.text.lower().lstrip("#"), hit.text, hit.start)


def numbers(text: str) -> Iterator[Value]:
    """Numbers, those of money included, those of dates and of numbered lists left out."""
    taken = [(v.start, v.start + len(v.text)) for v in _dates(text)]
    taken += [(hit.start, hit.end) for hit in find_all(_NUMBERED, text)]
    for hit in find_all(_NUMBER, text):
        if not any(start <= hit.start < end for start, end in taken):
            yield Value("number", number(hit.text), hit.text, hit.start)


def _dates(text: str) -> Iterator[Value]:
    for hit in find_all(_ISO, text):
        yield Value("date", hit.text, hit.text, hit.start)
    for hit in find_all(_MONTH_DAY, text):
        month, day, year = hit.groups
        yield Value("date", _date(year, month, day), hit.text, hit.start)
    for hit in find_all(_DAY_MONTH, text):
        day, month, year = hit.groups
        yield Value("date", _date(year, month, day), hit.text, hit.start)


def _date(year: str, month: str, day: str) -> str:
    names = [name[:3] for name in _MONTHS.split()]
    return f"{year or '-'}-{names.index(month.lower()[:3]) + 1:02}-{int(day):02}"


def _is_identifier(text: str) -> bool:
    """Whether a word looks made by a machine: letters with digits, or a long row of digits."""
    digits = sum(c.isdigit() for c in text)
    letters = sum(c.isalpha() for c in text)
    if not letters:
        return digits >= 7 and text.replace("-", "").replace("#", "").isdigit() and "-" not in text
    return digits >= 3 and letters >= 1 and not _is_quantity(text)


def _is_quantity(text: str) -> bool:
    """Whether it is a number with a unit or an ordinal, e.g. `2000mAh`, `1080p`, `10000-step`."""
    rest = text.lstrip("0123456789")
    return rest != text and rest.lstrip("-").isalpha()

"""Tells the mend of a misspelt placeholder from every other change of a template.

A template may give a value its right name without a person when the program is shown to fill that
name in (`GuardInput.fills`), nothing fills the old one, and nothing else in the file differs.
"""

import re
from difflib import SequenceMatcher

EXPRESSION = re.compile(r"\{\{[^{}]*\}\}|\{%[^%]*%\}|\$\{[^{}]*\}|\{#[^#]*#\}")
"""What a template engine reads; no part of it may contain another."""
_NAME = r"[A-Za-z][A-Za-z0-9_]{0,60}"
_VALUE = re.compile(
    rf"(\{{\{{[-+]?[ \t]*|\$\{{)({_NAME})((?:[ \t]*\|[ \t]*[a-z]+)*)"
    r"([ \t]*[-+]?\}\}|\})"
)
"""A value, alone or through filters that take nothing, between two marks."""
_FILTERS = re.compile(r"\|[ \t]*(?:safe|attr|map|select|reject|forceescape|tojson|pprint)\b")
"""Filters under which a value says more than itself, or is trusted."""
_OF_THE_ENGINE = {
    "app", "caller", "config", "context", "cycler", "env", "environ", "environment", "g", "joiner",
    "kwargs", "lipsum", "loop", "namespace", "os", "range", "request", "secrets", "self",
    "session", "settings", "super", "sys", "varargs",
}  # fmt: skip
"""Names under which engines and frameworks give a template more than a text."""
ALIKE = 0.6
"""Least likeness of a misspelt name to the right one (`SequenceMatcher.ratio`; chosen by us)."""


def is_mended(before: str, after: str, fills: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the only change gives one misspelt placeholder the name the program fills in.

    Args:
        before: the template as it was.
        after: the template as it would be.
        fills: the names each call of the program fills in.
    """
    found = renamed(before, after)
    if found is None or not fills:
        return False
    old, new = found
    passed = set.intersection(*map(set, fills))
    tags = " ".join(mark for mark in EXPRESSION.findall(before) if mark.startswith("{%"))
    bound = set(re.findall(r"\w+", tags))
    if new not in passed or new.lower() in _OF_THE_ENGINE or {old, new} & bound:
        return False
    if any(old in names for names in fills):
        return False
    return _is_alike(old, new) or passed - _names(before) == {new}


def renamed(before: str, after: str) -> tuple[str, str] | None:
    """The name of a placeholder before and after, when nothing else differs; else None."""
    if EXPRESSION.split(before) != EXPRESSION.split(after):
        return None
    found: set[tuple[str, str]] = set()
    for old, new in zip(EXPRESSION.findall(before), EXPRESSION.findall(after), strict=True):
        if old == new:
            continue
        was, now = _VALUE.fullmatch(old), _VALUE.fullmatch(new)
        if was is None or now is None or _FILTERS.search(was[3]):
            return None
        if (was[1], was[3], was[4]) != (now[1], now[3], now[4]):
            return None
        found.add((was[2], now[2]))
    return found.pop() if len(found) == 1 else None


def _names(text: str) -> set[str]:
    """Names of the values a template asks for."""
    marks = (_VALUE.fullmatch(mark) for mark in EXPRESSION.findall(text))
    return {mark[2] for mark in marks if mark}


def _is_alike(old: str, new: str) -> bool:
    ratio = SequenceMatcher(None, old.lower(), new.lower(), autojunk=False).ratio()
    return ratio >= ALIKE or old in new.split("_") or new in old.split("_")

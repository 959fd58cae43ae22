"""Scalars of a YAML text with their key paths and lines, by events: nothing is ever built."""

from collections.abc import Iterator

from refinery.model.trace import Json

MAX_YAML = 200_000
"""Largest YAML file that is scanned, in characters; ruamel's scanner is slow on bombs."""

Scalar = tuple[tuple[str | int, ...], str, int, int]
"""Key path, value, first and last line."""


def scalars(text: str) -> Iterator[Scalar]:
    """Every scalar that is no key, in order; none when the text is too long or no YAML.

    Aliases are not followed, so they unfold into nothing.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(text) > MAX_YAML:
        return
    stack: list[list[Json]] = []
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            yield from _read(event, stack)
    except (YAMLError, RecursionError, ValueError):
        return


def _read(event: Json, stack: list[list[Json]]) -> Iterator[Scalar]:
    """Follow one event; the stack holds `[is mapping, key or index, awaits a value]` a level."""
    name = type(event).__name__
    if name in ("MappingEndEvent", "SequenceEndEvent"):
        stack.pop()
    if name not in ("ScalarEvent", "AliasEvent", "MappingStartEvent", "SequenceStartEvent"):
        return
    path = tuple(level[1] for level in stack)
    top = stack[-1] if stack else None
    is_key = top is not None and top[0] and not top[2]
    if top is not None and is_key:
        top[1], top[2] = (event.value if name == "ScalarEvent" else "?"), True
    elif top is not None:
        if not top[0]:
            top[1] += 1
            path = tuple(level[1] for level in stack)
        top[2] = False
    if name.endswith("StartEvent"):
        stack.append(
            [name == "MappingStartEvent", "" if name == "MappingStartEvent" else -1, False]
        )
    elif name == "ScalarEvent" and not is_key:
        first, last = event.start_mark, event.end_mark
        end = last.line if last.column == 0 and last.line > first.line else last.line + 1
        yield path, event.value, first.line + 1, max(end, first.line + 1)

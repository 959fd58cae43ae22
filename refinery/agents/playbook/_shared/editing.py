"""Edits that recipes have in common."""

from collections.abc import Sequence

from refinery.codebase.parameters import Setting
from refinery.model.patch import Edit
from refinery.model.trace import Json


def replaced_lines(
    source: str, path: str, span: tuple[int, int], new: Sequence[str]
) -> Edit | None:
    """An edit that puts other lines in the place of some; None when the place cannot be named.

    Args:
        source: text of the file.
        path: its path.
        span: first and last line to replace, from 1.
        new: the lines to put there, without line feeds.
    """
    lines = source.split("\n")
    first, last = span
    if not 1 <= first <= last <= len(lines):
        return None
    above, below = first - 1, last
    while source.count("\n".join(lines[above:below])) != 1 or not "".join(lines[above:below]):
        if above == 0 and below >= len(lines):
            return None
        above, below = max(0, above - 1), min(len(lines), below + 1)
    old = "\n".join(lines[above:below])
    written = "\n".join([*lines[above : first - 1], *new, *lines[last:below]])
    return Edit("replace_text", path, {"old": old, "new": written})


def set_literal(source: str, setting: Setting, value: Json) -> Edit | None:
    """An edit that gives a setting another number or text."""
    if setting.form == "key":
        return Edit("set_key", setting.path, {"path": list(setting.keys), "value": value})
    lines = source.split("\n")
    if not 1 <= setting.line <= len(lines):
        return None
    # Columns of the syntax tree count bytes.
    line = lines[setting.line - 1].encode()
    written = line[: setting.column].decode() + repr(value) + line[setting.end_column :].decode()
    return replaced_lines(source, setting.path, (setting.line, setting.line), [written])

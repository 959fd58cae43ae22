"""Sets a key of a TOML file through a tomlkit round trip."""

import tomllib
from typing import Any

from refinery.codebase.keyed import changed_lines, nested, reach
from refinery.codebase.splices import Splice, newline_of, with_newlines
from refinery.errors import EditError
from refinery.model.trace import Json


def splices(source: str, path: str, keys: list[Json], value: Json) -> list[Splice]:
    """Splices of the lines the round trip changed.

    Raises:
        EditError: the file is no TOML, the path does not fit it, or TOML has no such value.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    bare = source.removeprefix("\ufeff")
    try:
        expected: Json = tomllib.loads(bare)
        document = tomlkit.parse(bare)
    except (TOMLKitError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise EditError(f"{path} is not valid TOML: {error}") from error
    holder, key, missing = reach(expected, path, keys)
    wanted = nested(missing, value)
    holder[key] = wanted
    written: Any = document
    try:
        for step in keys[: len(keys) - len(missing) - 1]:
            written = written[step]
        _set(written, key, wanted, newline_of(source))
        after = tomlkit.dumps(document)
        is_right = tomllib.loads(after) == expected
    except (TOMLKitError, tomllib.TOMLDecodeError, ValueError, TypeError) as error:
        raise EditError(f"TOML cannot hold {wanted!r:.60}: {error}") from error
    except (AttributeError, LookupError, RecursionError):
        # tomlkit 0.13 breaks at some valid edits, e.g. at one that puts a list for a table of an
        # array of tables.
        is_right = False
    if not is_right:
        raise EditError(f"{path} cannot be changed safely", hint="use replace_text")
    return changed_lines(source, source[: len(source) - len(bare)] + after)


def _set(holder: Any, key: Json, wanted: Json, newline: str) -> None:
    """Set one value, keeping the quotes, the comment and the blanks of the old one."""
    import tomlkit

    old: Any = holder[key] if isinstance(key, int) or key in holder else None
    new: Any = tomlkit.item(wanted)
    if isinstance(wanted, str):
        opening = old.as_string()[:5] if hasattr(old, "as_string") else ""
        is_long = "\n" in wanted or opening[:3] in ('"""', "'''")
        new = tomlkit.string(wanted, multiline=is_long)
        if is_long and (old is None or "\n" in opening[3:] or len(opening) < 3):
            new = _on_its_own_lines(new.as_string(), newline)
    if old is not None and hasattr(old, "trivia") and hasattr(new, "trivia"):
        new.trivia.comment_ws, new.trivia.comment = old.trivia.comment_ws, old.trivia.comment
        new.trivia.indent, new.trivia.trail = old.trivia.indent, old.trivia.trail
    holder[key] = new


def _on_its_own_lines(written: str, newline: str) -> Any:
    """A multi-line string that begins below its opening quotes."""
    import tomlkit

    body = with_newlines(written[3:], newline)
    return tomlkit.value(f'"""{newline}{body}')

"""What the three writers of keyed files share: reach a key, and splice only changed lines."""

from collections.abc import Mapping, MutableMapping, MutableSequence
from difflib import SequenceMatcher

from refinery.codebase.splices import Splice
from refinery.errors import EditError
from refinery.model.trace import Json


def reach(top: Json, path: str, keys: list[Json]) -> tuple[Json, Json, list[Json]]:
    """The container to change, the key in it, and the keys below that do not exist yet.

    Raises:
        EditError: the path leads through a value, or to a list item that does not exist.
    """
    node = top
    for position, key in enumerate(keys):
        check_container(node, path, keys[:position], key)
        if position == len(keys) - 1 or (isinstance(node, MutableMapping) and key not in node):
            return node, key, keys[position + 1 :]
        node = node[key]
    raise EditError(f"no key given for {path}")


def check_container(node: Json, path: str, above: list[Json], key: Json) -> None:
    """Refuse a key that its container cannot have.

    Raises:
        EditError: the container is a value, or a list without such an item.
    """
    name = ".".join(str(one) for one in above) or "the top"
    if isinstance(node, MutableMapping):
        if not isinstance(key, str):
            raise EditError(f"{name} of {path} is a mapping, {key!r} is no name")
    elif isinstance(node, MutableSequence):
        if not isinstance(key, int) or not 0 <= key < len(node):
            raise EditError(f"{name} of {path} has no item {key}", hint=f"it has {len(node)}")
    else:
        raise EditError(f"the path leads through {name} of {path}, which is no mapping or list")


def nested(keys: list[Json], value: Json) -> Json:
    """The value inside new mappings, one a key.

    Raises:
        EditError: a key of a new mapping is an index.
    """
    for key in reversed(keys):
        if not isinstance(key, str):
            raise EditError(f"the list for item {key} does not exist")
        value = {key: value}
    return value


def is_same(one: Json, other: Json) -> bool:
    """Whether two values are equal; a part that occurs many times (YAML aliases) is read once."""
    waiting = [(one, other)]
    seen: set[tuple[int, int]] = set()
    while waiting:
        left, right = waiting.pop()
        if (id(left), id(right)) in seen:
            continue
        seen.add((id(left), id(right)))
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            if list(left) != list(right):
                return False
            waiting.extend((left[key], right[key]) for key in left)
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            waiting.extend(zip(left, right, strict=True))
        elif type(left) is not type(right) or repr(left) != repr(right):
            return False
    return True


def changed_lines(before: str, after: str) -> list[Splice]:
    """Splices of the lines in which two texts differ."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    offsets = [0]
    for line in old:
        offsets.append(offsets[-1] + len(line.encode("utf-8")))
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [
        Splice(offsets[i1], offsets[i2], "".join(new[j1:j2]).encode("utf-8"))
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]

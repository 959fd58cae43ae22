"""What LangChain says of a run that begins or ends, in the form a view takes."""

import functools
from collections.abc import Mapping
from typing import Any

from refinery.recorders import _chat
from refinery.recorders._snapshot import PLAIN, Snapshot, fragment, snapshot

AS_IS = _chat.AsIs()
NOTHING = object()
"""Stands for inputs that nobody told."""
_PLAIN = PLAIN | {dict}
_TEXTS = {str}


class Beginning:
    """What is known of a run before its name and place are."""

    __slots__ = ("fields", "given", "owner", "size_bytes")

    def __init__(
        self, fields: dict[str, Any], size_bytes: int, owner: Any, given: Any = NOTHING
    ) -> None:
        self.fields = fields
        self.size_bytes = size_bytes
        self.owner = owner
        """The object that runs."""
        self.given = given
        """What a chain was given."""


def held(value: Any, name: str) -> tuple[Any, int]:
    """Inputs or outputs as a view takes them, an object in any case, and their size in bytes.

    Args:
        value: what LangChain told.
        name: the key under which a value that is no dictionary is kept.
    """
    if type(value) is str:
        return fragment({name: value})[:2]  # without numbers, so nothing is to be looked up
    if type(value) is not dict and not isinstance(value, dict):
        return held_models({name: value})
    kinds = set(map(type, list(value.values())))
    if kinds == _TEXTS:
        return fragment(value)[:2]
    if kinds <= _PLAIN or not any(map(_may_hold_models, list(value.values()))):
        return snapshot(value)
    return held_models(value)


def _may_hold_models(value: Any) -> bool:
    kind = type(value)
    if kind is list or kind is tuple:
        return bool(value) and type(value[0]) not in _PLAIN
    return kind not in _PLAIN


def held_models(value: Any) -> tuple[Any, int]:
    """The same as `snapshot` for what most likely holds messages or other models."""
    taker = Snapshot()
    return taker.hold_models(value), taker.size_bytes


def answer(response: Any) -> tuple[dict[str, Any], int]:
    """Fields of a run whose model answered, and the size of their values in bytes."""
    held, size_bytes = snapshot(_chat.generations(response, AS_IS))
    fields = {
        "outputs": held,
        "usage": _chat.usage(response),
        "model_responded": _chat.model_responded(response),
    }
    return fields, size_bytes


@functools.lru_cache(maxsize=1024)
def _is_langgraphs(cls: Any) -> bool:
    return str(cls.__module__).startswith("langgraph.")


def is_graph(owner: Any) -> bool:
    """Whether it is a LangGraph graph, and not one of its nodes."""
    cls: Any = type(owner)
    return _is_langgraphs(cls) and hasattr(owner, "nodes")


def is_agent(owner: Any) -> bool:
    """Whether a graph was made by `langchain.agents.create_agent`."""
    cls: Any = type(owner)
    if not _is_langgraphs(cls):
        return False
    config = getattr(owner, "config", None)
    metadata = config.get("metadata") if isinstance(config, dict) else None
    return isinstance(metadata, dict) and "langchain_create_agent" in str(
        metadata.get("ls_integration")
    )


def name_of(serialized: Mapping[str, Any] | None, name: Any) -> str:
    """The name LangSmith would show: the given one, else the class's."""
    if name is not None:
        return str(name)
    known = serialized or {}
    if known.get("name"):
        return str(known["name"])
    path = known.get("id")
    return str(path[-1]) if isinstance(path, list) and path else "Unnamed"


def first_text(metadata: Mapping[str, Any], *names: str) -> str | None:
    """The first of some entries that is there, as text."""
    for name in names:
        if (found := metadata.get(name)) is not None:
            return str(found)
    return None

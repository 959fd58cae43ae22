"""What LangChain says of a model call, in LangSmith's shapes (PROTOCOLS 1.5).

Everything here is read by duck typing and returns plain containers, so that it works with any
release of LangChain and without importing it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from refinery.model.trace import Usage

_ALWAYS = frozenset({"content", "type", "tool_calls", "invalid_tool_calls"})
"""Fields of a message that are dumped even when they are empty."""
_MAY_BE_EMPTY = frozenset({str, list, dict})
_NOT_PARAMS = frozenset(
    {"_type", "tools", "functions", "messages", "input", "model", "model_name", "stream_options"}
)
_SAME = {
    "max_tokens": ("max_completion_tokens", "max_output_tokens", "ls_max_tokens"),
    "temperature": ("ls_temperature",),
    "stop": ("stop_sequences", "ls_stop"),
}
"""A parameter's plain name and the names it also goes by, in order of trust."""
_OTHERS = frozenset(other for others in _SAME.values() for other in others)
_FINISH = ("finish_reason", "stop_reason", "done_reason")


_paths: dict[Any, list[str]] = {}
_MOST_PATHS = 1024
"""Most classes of messages whose path is remembered, so that dynamic ones are let go."""


class Taker(Protocol):
    """What makes of a value what is to stand in its place, e.g. a copy."""

    def take(self, value: Any) -> Any:
        """The value in the form it is kept in."""
        ...


class AsIs:
    """Leaves every value as it is, for a shape that is encoded at once."""

    def take(self, value: Any) -> Any:
        """The same value."""
        return value


def message(value: Any, taker: Taker) -> Any:
    """A message as `langchain_core.load.dumpd` writes it; anything else as a plain copy."""
    cls = type(value)
    path = _paths.get(cls)
    if path is None:
        if not hasattr(cls, "lc_id") or not hasattr(value, "content"):
            return taker.take(value)
        path = _class_path(cls)
    fields = {
        name: item
        for name, item in vars(value).items()
        if name in _ALWAYS or (item is not None and (type(item) not in _MAY_BE_EMPTY or item))
    }
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": taker.take(fields)}


def messages(batches: Iterable[Iterable[Any]], taker: Taker) -> dict[str, Any]:
    """Inputs of a chat model: `{"messages": [[dump, …], …]}`, one list a prompt."""
    return {"messages": [[message(item, taker) for item in batch] for batch in batches]}


def generations(response: Any, taker: Taker) -> dict[str, Any]:
    """Outputs of a model: `{"generations": [[{"text", "message", …}]], "llm_output"}`."""
    groups = [
        [_generation(item, taker) for item in group]
        for group in getattr(response, "generations", None) or []
    ]
    told = getattr(response, "llm_output", None)
    return {"generations": groups, "llm_output": taker.take(told)}


def _generation(value: Any, taker: Taker) -> dict[str, Any]:
    said = getattr(value, "message", None)
    about = dict(getattr(value, "generation_info", None) or {})
    about_message = getattr(said, "response_metadata", None) or {}
    if about or about_message:
        for name in _FINISH:
            reason = about.get(name) or about_message.get(name)
            if reason:
                about.setdefault("finish_reason", reason)
    entry = {
        "text": taker.take(_plain(getattr(value, "text", ""))),
        "generation_info": taker.take(about) or None,
        "type": taker.take(getattr(value, "type", None)),
    }
    if said is not None:
        entry["message"] = message(said, taker)
    return entry


def answer_of(response: Any) -> list[Any]:
    """Messages a model answered with."""
    found = []
    for group in getattr(response, "generations", None) or ():
        for item in group:
            said = getattr(item, "message", None)
            if said is not None:
                found.append(said)
    return found


def usage(response: Any) -> Usage | None:
    """Tokens of a call, summed over its answers; None when the model reported none.

    `usage_metadata` of the messages counts (input includes cached tokens), else the older
    `llm_output["token_usage"]`.
    """
    told = _told_usage(response)
    if told:
        into, out = "input_token_details", "output_token_details"
        return Usage(
            input=_sum(told, "input_tokens"),
            output=_sum(told, "output_tokens"),
            total=_sum(told, "total_tokens"),
            cache_read=_sum([item.get(into) for item in told], "cache_read"),
            cache_write=_sum([item.get(into) for item in told], "cache_creation"),
            reasoning=_sum([item.get(out) for item in told], "reasoning"),
        )
    older = getattr(response, "llm_output", None)
    if not older or not isinstance(older, Mapping):
        return None
    counted = older.get("token_usage") or older.get("usage")
    if not isinstance(counted, Mapping):
        return None
    into_count = _sum([counted], "prompt_tokens") or _sum([counted], "input_tokens")
    out_count = _sum([counted], "completion_tokens") or _sum([counted], "output_tokens")
    return Usage(input=into_count, output=out_count, total=_sum([counted], "total_tokens"))


def _told_usage(response: Any) -> list[Mapping[str, Any]]:
    """What the messages of an answer say of tokens."""
    told = []
    for answer in answer_of(response):
        said = getattr(answer, "usage_metadata", None)
        if type(said) is dict or isinstance(said, Mapping):
            told.append(said)
    return told


def _sum(items: Iterable[Any], name: str) -> int | None:
    total = None
    for item in items:
        if type(item) is dict or isinstance(item, Mapping):
            count = item.get(name)
            if type(count) is int or (isinstance(count, int) and not isinstance(count, bool)):
                total = count if total is None else total + count
    return total


def model_fields(
    invocation: Mapping[str, Any], metadata: Mapping[str, Any], taker: Taker
) -> dict[str, Any]:
    """Fields of a model run known before it answers: provider, model, parameters, tools."""
    params = {
        name: taker.take(item)
        for name, item in invocation.items()
        if name not in _NOT_PARAMS and item is not None
    }
    has_others = not (_OTHERS.isdisjoint(invocation) and _OTHERS.isdisjoint(metadata))
    for name, others in _SAME.items() if has_others else ():
        if name in params:
            continue
        for other in others:
            known = invocation.get(other, metadata.get(other))
            if known is not None:
                params[name] = taker.take(known)
                break
    asked = (
        invocation.get("model") or invocation.get("model_name") or metadata.get("ls_model_name")
    )
    offered = invocation.get("tools") or invocation.get("functions")
    return {
        "provider": _text(metadata.get("ls_provider")),
        "model_requested": _text(asked),
        "params": params or None,
        "tools": taker.take(list(offered)) if isinstance(offered, list | tuple) else None,
    }


def model_responded(response: Any) -> str | None:
    """The model that answered, as it named itself; None when it did not."""
    for answer in answer_of(response):
        if named := _named(getattr(answer, "response_metadata", None)):
            return named
    return _named(getattr(response, "llm_output", None))


def _named(told: Any) -> str | None:
    """The model named in what came with an answer."""
    if not told or not isinstance(told, Mapping):
        return None
    return _text(told.get("model_name") or told.get("model"))


def documents(found: Iterable[Any], taker: Taker) -> dict[str, Any]:
    """Outputs of a retriever: `{"documents": [{"page_content", "metadata", "id"?, "score"?}]}`.

    A pair of a document and a number, as searches with scores give, is a document with a score.
    """
    return {"documents": [_document(item, taker) for item in list(found)]}


def _document(value: Any, taker: Taker) -> Any:
    if isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "page_content"):
        held = _document(value[0], taker)
        return {**held, "score": taker.take(value[1])} if isinstance(held, dict) else held
    if not hasattr(value, "page_content"):
        return taker.take(value)
    held = {"page_content": value.page_content, "metadata": getattr(value, "metadata", None) or {}}
    if identifier := getattr(value, "id", None):
        held["id"] = identifier
    return taker.take(held)


def _class_path(cls: Any) -> list[str]:
    """What `lc_id` of a message's class says; a new message has the same list, not a copy."""
    if len(_paths) >= _MOST_PATHS:
        _paths.clear()
    path = _paths[cls] = [str(part) for part in cls.lc_id()]
    return path


def _plain(value: Any) -> Any:
    """Text as an exact string: LangChain's is a subclass, which takes longer to encode."""
    return str.__str__(value) if isinstance(value, str) else value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

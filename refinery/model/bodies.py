"""What the HTTP bodies of model APIs say, whichever vendor's: model, parameters, tools, tokens.

>>> interface_of("/v1/chat/completions?api-version=1")
'openai.chat.completions'
>>> answered(CHAT, {"model": "m", "usage": {"prompt_tokens": 2}})["usage"].input
2

Shapes: OpenAI API reference (chat completions, completions, responses, embeddings) and Anthropic
API reference (messages). Anything missing or of another type is left out; nothing raises.
"""

from collections.abc import Mapping
from typing import Any

from refinery.model.trace import Json, RunKind, Usage

CHAT = "openai.chat.completions"
COMPLETIONS = "openai.completions"
RESPONSES = "openai.responses"
EMBEDDINGS = "openai.embeddings"
MESSAGES = "anthropic.messages"

_ENDINGS = {
    "/chat/completions": CHAT,
    "/completions": COMPLETIONS,
    "/responses": RESPONSES,
    "/embeddings": EMBEDDINGS,
    "/messages": MESSAGES,
}
"""Endings of paths in order of trial; the first that fits wins."""
_NOT_PARAMS = frozenset(
    {
        "model",
        "messages",
        "input",
        "instructions",
        "system",
        "prompt",
        "tools",
        "functions",
        "stream",
        "stream_options",
        "user",
    }
)
_SAME = {
    "max_tokens": ("max_completion_tokens", "max_output_tokens"),
    "stop": ("stop_sequences",),
}
"""A parameter's plain name and the names it also goes by."""


def interface_of(path: str) -> str | None:
    """The interface a URL path belongs to; None when it is no model call.

    OpenAI's threads have messages too (`/threads/{id}/messages`); those are no model calls.
    """
    plain = path.partition("?")[0].rstrip("/")
    if "/threads/" in plain:
        return None
    return next((name for ending, name in _ENDINGS.items() if plain.endswith(ending)), None)


def kind_of(interface: str) -> RunKind:
    """The kind of a run that called an interface."""
    return RunKind.EMBEDDING if interface == EMBEDDINGS else RunKind.LLM


def asked(body: Json) -> dict[str, Any]:
    """Fields of `Run` that a request body tells."""
    if not isinstance(body, Mapping):
        return {}
    params = {name: value for name, value in body.items() if name not in _NOT_PARAMS}
    for name, others in _SAME.items():
        for other in others:
            if name not in params and params.get(other) is not None:
                params[name] = params[other]
    offered = body.get("tools") or body.get("functions")
    about = body.get("metadata")
    user = body.get("user") or (about.get("user_id") if isinstance(about, Mapping) else None)
    return {
        "model_requested": _text(body.get("model")),
        "params": params or None,
        "tools": list(offered) if isinstance(offered, list | tuple) else None,
        "user_id": _text(user),
    }


def answered(interface: str, body: Json) -> dict[str, Any]:
    """Fields of `Run` that an answer's body tells, beside the outputs."""
    if not isinstance(body, Mapping):
        return {}
    return {"model_responded": _text(body.get("model")), "usage": usage_of(interface, body)}


def usage_of(interface: str, body: Json) -> Usage | None:
    """Tokens an answer reports; None when it reports none.

    Input includes cached tokens. Anthropic counts those apart, so they are added.
    """
    told = _object(body, "usage")
    if not told:
        return None
    if interface == MESSAGES:
        return _anthropic_usage(told)
    is_older = "prompt_tokens" in told or "completion_tokens" in told
    into, out = (
        ("prompt_tokens", "completion_tokens")
        if is_older
        else (
            "input_tokens",
            "output_tokens",
        )
    )
    details = _object(told, f"{into}_details")
    return Usage(
        input=count(told, into),
        output=count(told, out),
        total=count(told, "total_tokens"),
        cache_read=count(details, "cached_tokens"),
        cache_write=count(details, "cache_write_tokens"),
        reasoning=count(_object(told, f"{out}_details"), "reasoning_tokens"),
    )


def _anthropic_usage(told: Mapping[str, Json]) -> Usage:
    fresh, output = count(told, "input_tokens"), count(told, "output_tokens")
    read = count(told, "cache_read_input_tokens")
    written = count(told, "cache_creation_input_tokens")
    into = None if fresh is None else fresh + (read or 0) + (written or 0)
    return Usage(
        input=into,
        output=output,
        total=None if into is None or output is None else into + output,
        cache_read=read,
        cache_write=written,
        reasoning=count(_object(told, "output_tokens_details"), "thinking_tokens"),
    )


def count(body: Json, key: str) -> int | None:
    """The whole number under a key; None when it is missing or something else."""
    found = body.get(key) if isinstance(body, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _object(body: Json, key: str) -> Mapping[str, Json]:
    found = body.get(key) if isinstance(body, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None

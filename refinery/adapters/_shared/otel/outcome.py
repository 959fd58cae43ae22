"""How a span ended: status and error, from its status code, its exception events and its words."""

import re
from collections.abc import Mapping

from refinery.adapters._shared.otel.spans import SpanData
from refinery.model.trace import Json, RunError, RunStatus

NOT_FAILURES = ("GraphInterrupt", "NodeInterrupt", "GeneratorExit", "CancelledError")
"""Errors that only say that a run was paused or no longer wanted."""

_TRACEBACK = "Traceback (most recent call last)"
_REPR = re.compile(r"([A-Za-z_][\w.]{0,200})\((.*)\)\Z", re.DOTALL)
_QUOTED = re.compile(r"(['\"])((?:(?!\1).)*)\1,?\Z", re.DOTALL)


def outcome_of(span: SpanData, said: str | None = None) -> tuple[RunStatus, RunError | None]:
    """Status and error of a span; an unset status of an ended span is success.

    Args:
        span: the span.
        said: an error's message told by an attribute; None when no attribute tells of an error.
    """
    if span.status_code != "ERROR" and said is None:
        if span.end_ns is None:
            return RunStatus.RUNNING, None
        return RunStatus.OK, None
    error = _error(span, said or "")
    cancelled = error.type in NOT_FAILURES
    return (RunStatus.CANCELLED if cancelled else RunStatus.ERROR), error


def _error(span: SpanData, said: str) -> RunError:
    thrown: Mapping[str, Json] = next(
        (
            event.get("attributes") or {}
            for event in reversed(span.events)
            if event.get("name") == "exception"
        ),
        {},
    )
    kind = _text(thrown.get("exception.type")) or _text(span.attributes.get("error.type"))
    message = (
        _text(thrown.get("exception.message"))
        or span.status_message
        or said
        or _text(span.attributes.get("error.message"))
    )
    stack = _text(thrown.get("exception.stacktrace"))
    # LangSmith and OpenInference put `repr(exception)` and the traceback into one text.
    head, found, trace = message.partition(_TRACEBACK)
    if found:
        told, head = _of_repr(head.strip())
        kind = told or kind
        stack = stack or found + trace
    return RunError(kind.rpartition(".")[2], head or kind, stack)


def _of_repr(text: str) -> tuple[str, str]:
    """Class and message in `ValueError('no lamp')`; no class and the text when it is none."""
    found = _REPR.match(text)
    if not found:
        return "", text
    quoted = _QUOTED.match(found[2])
    return found[1], quoted[2] if quoted else found[2]


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""

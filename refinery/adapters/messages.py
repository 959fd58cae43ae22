"""Conversations as lists of chat messages with tool calls, also tau-bench results.

A file (`.json`, `.jsonl`, either with `.gz`) holds one conversation, a list of them, or records
with a conversation in `messages` or `traj` and what is known of it beside. A verdict in the
record (`reward`, `label`, `success`, `passed`) becomes the feedback `label`; everything else that
might give the answer away (`info`, expected actions) goes into that feedback's correction.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refinery import clock
from refinery.adapters._shared import conversation, reading
from refinery.adapters._shared.conversation import Conversation
from refinery.errors import TraceFormatError
from refinery.model.messages import parse
from refinery.model.trace import Feedback, Json, Trace
from refinery.safety.redact import redact

IS_GENERAL = True
"""Asked last: other formats hold messages too."""
_HOLDERS = ("messages", "traj", "conversation")
_NAMES = ("name", "title")
_DESCRIBING = ("id", "task_id", "trial", "conversation_id", "tags")
"""Keys of a record that describe the conversation without judging it."""

_BEGINNING = re.compile(r'^[\[{\s]*"(\w+)"\s*:')
_SHAPES = re.compile(r'"(?:role|messages|traj|conversation)"\s*:')


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file begins with a list or an object that names roles or messages."""
    start = head.decode("utf-8-sig", "replace").lstrip()
    is_json = start.startswith("[") or bool(_BEGINNING.match(start))
    return is_json and bool(_SHAPES.search(start))


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in its order; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[tuple[Trace, tuple[Feedback, ...]]]:
    """The conversations of a file as traces, each with the verdict of its source, if any.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it is not JSON, or an item in it is not a conversation.
    """
    base_ns = path.stat().st_mtime_ns // 10**9 * 10**9 if path.exists() else 0
    seen: Counter[str] = Counter()
    records = _records(path)
    for index, record in enumerate(records):
        where = f"{path} item {index + 1}" if len(records) > 1 else str(path)
        try:
            yield _read_one(record, base_ns + index * 1_000, seen)
        except RecursionError as error:
            raise TraceFormatError(f"{where}: nested too deeply", hint="split it") from error
        except ValueError as error:
            raise TraceFormatError(
                f"{where}: {error}",
                hint="expected chat messages, each with a `role` and a `content`",
            ) from error


def _records(path: Path) -> list[Json]:
    """The items of a file, each of which should be a conversation.

    Raises:
        TraceFormatError: the file holds none.
    """
    if ".jsonl" in path.suffixes[-2:]:
        items = [item for _, item in reading.lines(path)]
        one = all(_is_message(item) for item in items)
        found = [items] if items and one else items
    else:
        whole = reading.parse(reading.text(path), str(path))
        bare = isinstance(whole, list) and any(_is_message(item) for item in whole)
        found = whole if isinstance(whole, list) and not bare else [whole]
    if not found:
        raise TraceFormatError(f"{path} holds no conversation", hint="check the file")
    return found


def _is_message(value: Json) -> bool:
    if not isinstance(value, Mapping) or any(isinstance(value.get(key), list) for key in _HOLDERS):
        return False
    return isinstance(value.get("role"), str) or any(True for _ in parse(value))


def _read_one(
    record: Json, start_ns: int, seen: Counter[str]
) -> tuple[Trace, tuple[Feedback, ...]]:
    digest = hashlib.sha256(
        json.dumps(record, sort_keys=True, ensure_ascii=True, default=str).encode()
    ).hexdigest()
    seen[digest] += 1  # the same conversation twice in one file is two traces
    messages, about = _split(redact(record)[0])
    for number, message in enumerate(messages, start=1):
        if not _is_message(message):
            raise ValueError(f"message {number} has no role")
    if not any(m.role == "assistant" for message in messages for m in parse(message)):
        raise ValueError("no message of an assistant")
    tools = about.get("tools")
    trace = conversation.to_trace(
        Conversation(
            messages=tuple(messages),
            key=f"{digest}:{seen[digest]}",
            start_ns=start_ns,
            name=_text(about, *_NAMES) or _default_name(about),
            model=_text(about, "model"),
            tools=tools if isinstance(tools, list) else None,
            session_id=_text(about, "session_id", "thread_id", "conversation_id"),
            user_id=_text(about, "user_id"),
            metadata=_metadata(about),
        )
    )
    return trace, _feedback(trace, about)


def _split(record: Json) -> tuple[list[Any], Mapping[str, Json]]:
    """The messages of a record and what stands beside them."""
    if isinstance(record, list):
        return record, {}
    if isinstance(record, Mapping):
        for key in _HOLDERS:
            if isinstance(record.get(key), list):
                return record[key], {k: v for k, v in record.items() if k != key}
    raise ValueError("not a conversation")


def _text(about: Mapping[str, Json], *names: str) -> str | None:
    found = (about.get(name) for name in names)
    return next((value for value in found if isinstance(value, str) and value), None)


def _default_name(about: Mapping[str, Json]) -> str:
    task = about.get("task_id", about.get("id"))
    return f"task {task}" if isinstance(task, str | int) else "conversation"


def _metadata(about: Mapping[str, Json]) -> dict[str, Json]:
    given = about.get("metadata")
    metadata = dict(given) if isinstance(given, Mapping) else {}
    return metadata | {key: about[key] for key in _DESCRIBING if key in about}


def _feedback(trace: Trace, about: Mapping[str, Json]) -> tuple[Feedback, ...]:
    """The verdict of the source, with everything that judges the conversation."""
    described = (*_DESCRIBING, *_NAMES, "metadata", "model", "tools", "session_id", "user_id")
    judging = {key: value for key, value in about.items() if key not in described}
    if not judging:
        return ()
    outcome, score = _outcome(about)
    root = trace.runs[0]
    return (
        Feedback(
            feedback_id=f"{trace.trace_id}:source",
            trace_id=trace.trace_id,
            key="label" if outcome else "source record",
            score=score,
            value={"outcome": outcome, "expectation": None, "checks": []} if outcome else None,
            correction=judging,
            source="api",
            # A file dated in the future must not outrank what a person says later.
            created_ns=min(root.end_ns or 0, clock.now_ns()),
        ),
    )


def _outcome(about: Mapping[str, Json]) -> tuple[str | None, float | None]:
    """`pass`, `fail` or None, and the score it was drawn from; a full reward is 1 or more."""
    label = about.get("label")
    if isinstance(label, str) and label.casefold() in ("pass", "fail"):
        return label.casefold(), None
    for key in ("reward", "success", "passed", "label"):
        value = about.get(key)
        if isinstance(value, bool):
            return ("pass" if value else "fail"), float(value)
        if key == "reward" and isinstance(value, int | float):
            return ("pass" if value >= 1 - 1e-9 else "fail"), float(value)
    return None, None

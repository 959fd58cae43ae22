"""Whether a replayed result is the recorded one, and where the two begin to differ.

Identifiers and times that are new in every run are left out, and of messages only what was said
and called is compared: token counts, fingerprints and response ids are not the agent's doing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from refinery import clock
from refinery.model.messages import parse
from refinery.model.trace import Json
from refinery.model.walk import MAX_DEPTH
from refinery.replay import canonical
from refinery.replay.canonical import Fresh
from refinery.replay.tape import Tape

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_ERROR_SHOWN = 3000
"""Characters of an error that are compared; replays cut longer ones."""
_MESSAGE_TYPES = frozenset({"human", "ai", "system", "tool", "AIMessageChunk", "function"})


def is_same_output(tape: Tape, output: Json) -> bool:
    """Whether a replay returned what the recorded run returned."""
    return difference(tape, output) is None


def difference(tape: Tape, output: Json) -> str | None:
    """The first place where a replay's result differs from the recording, in words.

    Returns None when they are the same.
    """
    named = output if isinstance(output, Mapping) else {"output": output}
    known = frozenset(tape.known)
    recorded = plain(tape.output, Fresh(tape.start_ns, known))
    replayed = plain(named, Fresh(tape.start_ns, known, clock.now_ns()))
    found = next(differences(recorded, replayed), None)
    return _told(found) if found else None


def is_same_error(tape: Tape, recorded: str, replayed: str) -> bool:
    """Whether two error texts say the same, addresses in memory and the code's folder aside."""
    repository = tape.entry.repository if tape.entry else None
    if repository:
        recorded = recorded.replace(f"{repository}/", "")
    known = frozenset(tape.known)
    left = plain(_ADDRESS.sub("<address>", recorded), Fresh(tape.start_ns, known))
    right = plain(_ADDRESS.sub("<address>", replayed), Fresh(tape.start_ns, known, clock.now_ns()))
    return bool(left[:_ERROR_SHOWN] == right[:_ERROR_SHOWN])


def plain(value: Json, fresh: Fresh) -> Json:
    """A value as it is compared: fresh identifiers numbered, times and secrets replaced."""
    kept = canonical.without_secrets(_spoken(value, 0))
    text = json.dumps(kept, sort_keys=True, ensure_ascii=False, default=str)
    return json.loads(canonical.normalise(text, fresh))


def _spoken(value: Json, depth: int) -> Json:
    """The value with messages reduced to what was said and called."""
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, list):
        return [_spoken(item, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return canonical.number(value)
    if _is_message(value):
        return [
            {
                "role": message.role,
                "text": message.text,
                "calls": [[c.name, canonical.number(c.arguments)] for c in message.tool_calls],
            }
            for message in parse(value)
        ]
    return {str(key): _spoken(item, depth + 1) for key, item in value.items()}


def _is_message(value: Mapping[str, Json]) -> bool:
    if value.get("type") == "constructor" and isinstance(value.get("kwargs"), Mapping):
        return True
    return "content" in value and value.get("type") in _MESSAGE_TYPES


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two values differ."""

    path: str
    """E.g. `answer.items[2]`; empty for the whole value."""
    left: Json
    right: Json
    is_missing: str | None = None
    """`left` or `right` when only the other has anything there."""


def differences(left: Json, right: Json, path: str = "") -> Iterator[Difference]:
    """Every place where two plain values differ, in order; lists of unequal length as a whole."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            where = f"{path}.{key}" if path else key
            if key not in left:
                yield Difference(where, None, right[key], "left")
            elif key not in right:
                yield Difference(where, left[key], None, "right")
            else:
                yield from differences(left[key], right[key], where)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif left != right:
        yield Difference(path, left, right)


def _told(found: Difference) -> str:
    if found.is_missing:
        return f"{found.path} is only in the {_OTHER[found.is_missing]}"
    where = found.path or "the result"
    return f"{where}: recorded {_shown(found.left)}, replayed {_shown(found.right)}"


_OTHER = {"left": "replay", "right": "recording"}


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:160] + "…"

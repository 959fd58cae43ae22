"""Whether a replayed result is the recorded one, and where the two begin to differ.

Identifiers and times that are new in every run are left out, and of messages only what was said
and called is compared: token counts, fingerprints and response ids are not the agent's doing.
"""

import json
import re
from collections.abc import Mapping

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
    recorded = _plain(tape.output, Fresh(tape.start_ns, known))
    replayed = _plain(named, Fresh(clock.now_ns(), known))
    return _first(recorded, replayed, "")


def is_same_error(tape: Tape, recorded: str, replayed: str) -> bool:
    """Whether two error texts say the same, addresses in memory and the code's folder aside."""
    repository = tape.entry.repository if tape.entry else None
    if repository:
        recorded = recorded.replace(f"{repository}/", "")
    known = frozenset(tape.known)
    left = _plain(_ADDRESS.sub("<address>", recorded), Fresh(tape.start_ns, known))
    right = _plain(_ADDRESS.sub("<address>", replayed), Fresh(clock.now_ns(), known))
    return bool(left[:_ERROR_SHOWN] == right[:_ERROR_SHOWN])


def _plain(value: Json, fresh: Fresh) -> Json:
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


def _first(left: Json, right: Json, path: str) -> str | None:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            where = f"{path}.{key}" if path else key
            if key not in left or key not in right:
                return f"{where} is only in the {'replay' if key in right else 'recording'}"
            if found := _first(left[key], right[key], where):
                return found
        return None
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return next((f for i, (a, b) in pairs if (f := _first(a, b, f"{path}[{i}]"))), None)
    if left == right:
        return None
    return f"{path or 'the result'}: recorded {_shown(left)}, replayed {_shown(right)}"


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:160] + "…"

"""The child process of `policy`: runs every guard rule and prints what each says.

It reads one JSON object from standard input (see `policy._question`) and prints one JSON line a
rule: `{"rule", "remarks": [[rule, outcome, message, path, line], ...]}`. Whatever goes wrong ends
it with a traceback; a rule without a line has not passed.
"""

import base64
import json
import resource
import sys
from pathlib import Path

from refinery import plugins
from refinery.model.patch import FileChange
from refinery.model.trace import Json
from refinery.ports import GuardInput

ROOM = "safety.rules"
_MEMORY_BYTES = 4 << 30
_MAX_REMARKS = 100


def main() -> None:
    """Judge the change on standard input."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    given = _given(json.loads(sys.stdin.buffer.read()))
    for name in plugins.names(ROOM):
        remarks = list(plugins.load(ROOM, name).check(given))[:_MAX_REMARKS]
        rows = [[r.rule, r.outcome, r.message, r.path, r.line] for r in remarks]
        sys.stdout.write(json.dumps({"rule": name, "remarks": rows}) + "\n")
        sys.stdout.flush()


def _given(question: Json) -> GuardInput:
    changes = tuple(
        FileChange(path, _bytes(before), _bytes(after))
        for path, before, after in question["changes"]
    )
    return GuardInput(
        changes,
        Path(question["repository"]),
        tuple((path, first, last) for path, first, last in question["located"]),
        tuple(question["trace_texts"]),
        question["limits"],
        tuple((path, line, first, last) for path, line, first, last in question["columns"]),
        tuple((path, tuple(names)) for path, names in question["fills"]),
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)

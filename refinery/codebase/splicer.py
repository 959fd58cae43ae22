"""The child process that computes splices: the only place where user files meet libcst.

libcst can die without an exception on nested input, and take minutes on flat one. So the parent
(`editor`) starts this module in a process of its own, with limits on memory and processor time,
hands over file contents and edits as JSON on stdin, and reads splices as JSON from stdout.
"""

import base64
import json
import resource
import sys
from collections.abc import Iterable
from typing import Any

from refinery import plugins, syntax
from refinery.codebase.splices import Splice, apply_splices, check_arguments
from refinery.errors import EditError, RefineryError
from refinery.model.trace import Json

MEMORY_BYTES = 2 << 30
CPU_S = 10
"""Processor seconds; libcst took 4 s for the largest file allowed (20,000 lines)."""


def main() -> None:
    """Read a request from stdin, write the answer to stdout."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    request = json.load(sys.stdin)
    sys.stdout.write(json.dumps(answer(request)))


def answer(request: dict[str, Any]) -> Json:
    """Splices of every edit, and whether the changed Python files parse.

    Args:
        request: `{"files": {path: base64 of the bytes}, "edits": [{"kind", "path", "arguments"}]}`

    Returns:
        `{"edits": [[[start, end, base64], …] | {"error", "hint"}], "files": {path: error}}`
    """
    files = {path: base64.b64decode(content) for path, content in request["files"].items()}
    found: list[Json] = []
    by_path: dict[str, list[Splice]] = {}
    for edit in request["edits"]:
        try:
            splices = _splices(edit, files[edit["path"]])
            by_path.setdefault(edit["path"], []).extend(splices)
            found.append([[s.start_byte, s.end_byte, _encoded(s.replacement)] for s in splices])
        except RefineryError as error:
            found.append({"error": str(error), "hint": error.hint})
    return {"edits": found, "files": dict(_unparsable(files, by_path))}


def _splices(edit: dict[str, Any], content: bytes) -> list[Splice]:
    kind = plugins.load("codebase.edits", edit["kind"])
    check_arguments(edit["kind"], kind.ARGUMENTS, edit["arguments"])
    try:
        source = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EditError(f"{edit['path']} is no UTF-8 text: {error.reason}") from error
    try:
        found: list[Splice] = kind.splices(source, edit["path"], edit["arguments"])
    except UnicodeEncodeError as error:
        raise EditError(f"the new text holds a character UTF-8 lacks: {error.reason}") from error
    except RecursionError as error:
        raise EditError(f"{edit['path']} is nested too deeply") from error
    return found


def _unparsable(
    files: dict[str, bytes], by_path: dict[str, list[Splice]]
) -> Iterable[tuple[str, str]]:
    """Python files that no longer parse after all their splices, with the reason."""
    for path, splices in by_path.items():
        if not path.endswith((".py", ".pyi")):
            continue
        try:
            syntax.parse_module(apply_splices(files[path], splices))
        except EditError:
            continue  # the parent says that they overlap
        except SyntaxError as error:
            yield path, str(error)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")

"""Plans edits: from typed operations to the exact bytes of a patch."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from refinery import plugins
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.codebase.splices import Splice, apply_splices, line_starts
from refinery.errors import EditError
from refinery.model.patch import Edit, FileChange, Patch
from refinery.model.trace import Json

ROOM = "codebase.edits"
MAX_BYTES = 1_000_000
MAX_LINES = 20_000
"""Largest file that is parsed: libcst took 4 s for 20,000 lines, 8 s for 40,000 (measured)."""
TIMEOUT_S = 10.0
"""Wall seconds for all edits of a patch."""
_BOOT = (
    "import sys; at = next((i for i, p in enumerate(sys.path) if p.endswith('-packages')), "
    "len(sys.path)); sys.path.insert(at, sys.argv[1]); "
    "from refinery.codebase.splicer import main; main()"
)
"""Program text of the child; its argument is the folder that holds the package."""


def plan(repository: Repository, edits: Sequence[Edit], commit: str = "HEAD") -> Patch:
    """The patch the edits lead to, on the files as committed; writes nothing.

    All edits are computed on the unchanged files, in one child process with limits. Each edit of
    the patch has `replaces` filled: the SHA-256 of the bytes it replaces, or for one that only
    inserts, of the line it inserts at.

    Raises:
        EditError: an edit does not fit its file, two overlap, one changes nothing, `replaces`
            does not hold any more, a file is too large, or the result does not parse.
        InputError: no such commit.
    """
    if not edits:
        raise EditError("no edits to plan")
    base = repository.resolve(commit)
    files = {path: _content(repository, path, base) for path in {edit.path for edit in edits}}
    found = _compute(files, edits)
    pairs = list(zip(edits, found, strict=True))
    planned = [_verified(edit, files[edit.path], splices) for edit, splices in pairs]
    changes = []
    for path, before in files.items():
        mine = [one for edit, splices in pairs if edit.path == path for one in splices]
        changes.append(FileChange(path, before, apply_splices(before, mine)))
    return build(planned, changes, base)


def describe_kinds() -> dict[str, Json]:
    """JSON schema of the arguments of every kind of edit, by kind; says also what it does."""
    return {
        kind: {"description": plugins.summary(ROOM, kind), **module.ARGUMENTS}
        for kind, module in plugins.load_all(ROOM).items()
    }


def _content(repository: Repository, path: str, commit: str) -> bytes:
    content = repository.read(path, commit)
    if content is None:
        near = get_close_matches(path, repository.files(commit), n=1)
        raise EditError(
            f"{path!r} is no file of commit {commit[:12]}",
            hint=f"did you mean {near[0]!r}?" if near else "paths start at the repository root",
        )
    if len(content) > MAX_BYTES or content.count(b"\n") > MAX_LINES:
        raise EditError(
            f"{path} is too large to edit",
            hint=f"at most {MAX_BYTES:,} bytes, {MAX_LINES:,} lines",
        )
    return content


def _compute(files: dict[str, bytes], edits: Sequence[Edit]) -> list[list[Splice]]:
    """Splices of each edit, computed in a child process."""
    request = {
        "files": {path: base64.b64encode(content).decode() for path, content in files.items()},
        "edits": [{"kind": e.kind, "path": e.path, "arguments": e.arguments} for e in edits],
    }
    answer = _ask_child(json.dumps(request).encode(), ", ".join(sorted(files)))
    found = []
    for edit, result in zip(edits, answer["edits"], strict=True):
        if isinstance(result, dict):
            raise EditError(f"{edit.kind}: {result['error']}", hint=result["hint"])
        found.append([Splice(a, b, base64.b64decode(text)) for a, b, text in result])
    for path, reason in answer["files"].items():
        raise EditError(
            f"{path} would not be valid Python: {reason}", hint="check the new source text"
        )
    return found


def _ask_child(request: bytes, paths: str) -> Json:
    package = str(Path(plugins.__file__).resolve().parent.parent)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _BOOT, package],
            input=request,
            capture_output=True,
            timeout=TIMEOUT_S,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EditError(
            f"parsing {paths} took more than {TIMEOUT_S:.0f} s", hint="edit a smaller file"
        ) from error
    if done.returncode:
        raise EditError(
            f"the parser ended on {paths} ({_ending(done.returncode, done.stderr)})",
            hint="the file is nested too deeply or too large to be edited safely",
        )
    return json.loads(done.stdout)


def _ending(exit_code: int, stderr: bytes) -> str:
    if exit_code < 0:
        return signal.Signals(-exit_code).name
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit code {exit_code}"


def _verified(edit: Edit, content: bytes, splices: Sequence[Splice]) -> Edit:
    """The edit with `replaces`, which must be what it was when the edit was first planned."""
    if all(content[s.start_byte : s.end_byte] == s.replacement for s in splices):
        raise EditError(f"{edit.kind} changes nothing in {edit.path}", hint="drop this edit")
    digest = _replaced(content, splices)
    if edit.replaces not in (None, digest):
        raise EditError(
            f"{edit.path} has changed where {edit.kind} applies since the edit was planned",
            hint="diagnose and plan again on the present commit",
        )
    return replace(edit, replaces=digest)


def _replaced(content: bytes, splices: Sequence[Splice]) -> str:
    ordered = sorted(splices, key=lambda one: one.start_byte)
    pieces = [content[one.start_byte : one.end_byte] for one in ordered]
    if not any(pieces):
        starts = [*line_starts(content), len(content)]
        at = ordered[0].start_byte
        first = max(start for start in starts if start <= at)
        last = min((start for start in starts if start > at), default=len(content))
        pieces = [content[first:last]]
    return sha256(b"".join(pieces)).hexdigest()

"""Blocks files a project protects and holds those it calls core."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput

_SETTINGS = (
    ("protected_files", Outcome.BLOCK, "the project protects this file"),
    ("core_files", Outcome.HOLD, "the project calls this file core"),
)


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each declared file that changes.

    A pattern names a file, a folder with all below it, or a glob whose `*` also crosses folders;
    case does not matter.
    """
    for name, outcome, message in _SETTINGS:
        patterns = [str(p).lower().strip("/") for p in (given.limits or {}).get(name) or ()]
        for change in given.changes:
            if any(_matches(change.path.lower(), pattern) for pattern in patterns):
                yield Remark("declared_files", outcome, message, change.path)


def _matches(path: str, pattern: str) -> bool:
    pure = PurePosixPath(path)
    places = [path, *(str(parent) for parent in pure.parents)]
    if "/" not in pattern:
        places.append(pure.name)
    loose = pattern.replace("**/", "*")
    return any(fnmatchcase(place, one) for place in places for one in {pattern, loose})


def _given(path: str, **limits: list[str]) -> GuardInput:
    return GuardInput((FileChange(path, b"a", b"b"),), Path("/"), limits=dict(limits))


PASSES = [
    _given("a.py"),
    _given("a.py", core_files=["b.py"], protected_files=["lib/**"]),
    _given("library/a.py", protected_files=["lib"]),
]
REFUSED = [
    _given("lib/a/b.py", protected_files=["lib/**"]),
    _given("lib/a.py", protected_files=["lib"]),
    _given("src/a.py", core_files=["*.py"]),
    _given("SRC/Core/A.py", core_files=["src/core/a.py"]),
    _given("a.py", core_files=["**/a.py"]),
]

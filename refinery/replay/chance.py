"""Whether an agent may do otherwise each time it runs, so that a pass may be luck.

Seen in its source (it draws random numbers), in a replay (a live model answered), or in repeated
replays of the same code (another verdict, another result).
"""

import ast
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from refinery import clock
from refinery.codebase.repository import Repository
from refinery.codebase.scan import PYTHON, SourceTree, is_secondary
from refinery.model.trace import Json
from refinery.model.verdict import Arm, Fidelity, ReplayResult
from refinery.replay import compare
from refinery.replay.canonical import Fresh
from refinery.replay.patience import TRIED_AGAIN

_MODULES = frozenset({"random", "secrets"})
_NAMES = frozenset({"numpy.random", "os.urandom", "os.getrandom"})
_MOST_CHARACTERS = 200_000
"""Longer results are compared as they are, without taking fresh identifiers out."""


def in_source(repository: Repository, commit: str) -> str:
    """The first line of the agent's own code that draws random numbers, in words.

    Empty when none is found. Tests and examples of the repository do not count.
    """
    with tempfile.TemporaryDirectory(prefix="refinery-source-") as folder:
        root = Path(folder) / "code"
        repository.export(commit, root, None)
        tree = SourceTree(root)
        for path in tree.paths(PYTHON):
            syntax = None if is_secondary(path) else tree.syntax(path)
            line = min(_draws(syntax), default=None) if syntax else None
            if line is not None:
                return f"{path}:{line} draws random numbers"
    return ""


def _draws(syntax: ast.Module) -> Iterator[int]:
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base = {"np": "numpy"}.get(node.value.id, node.value.id)
            names = [f"{base}.{node.attr}"] if f"{base}.{node.attr}" in _NAMES else []
        else:
            continue
        if any(name in _MODULES or name in _NAMES for name in names):
            yield node.lineno


def in_replays(arms: Iterable[Arm]) -> str:
    """What shows in replays that chance has a part in them, in words; empty when nothing does."""
    arms = list(arms)
    for arm in arms:
        if any(is_live(result) for result in arm.results):
            return "a live model answered"
    for arm in arms:
        first: dict[str, tuple[bool, str]] = {}
        for result in arm.results:
            seen = (result.passed, _shape(result))
            before = first.setdefault(result.trace_id, seen)
            if before[0] is not seen[0]:
                return f"the same code ({arm.name}) passes at one time and fails at another"
            if before != seen:
                return f"the same code ({arm.name}) gives another result each time"
    return ""


def is_live(result: ReplayResult) -> bool:
    """Whether a model answered that the recording does not know."""
    return any(s.fidelity is Fidelity.LIVE and s.kind == "llm" for s in result.steps)


def may_be_lucky(result: ReplayResult) -> bool:
    """Whether a live model answered where the unpatched code could have been answered as well.

    An attempt that follows a recorded failure, which was served first, is none of these: without
    that attempt the run ends with the failure whatever the model says today.
    """
    return any(
        s.fidelity is Fidelity.LIVE and s.kind == "llm" and not s.detail.startswith(TRIED_AGAIN)
        for s in result.steps
    )


def _shape(result: ReplayResult) -> str:
    """Status and result without what is fresh in every run."""
    value: Json = [result.status, result.output, result.error]
    text = json.dumps(value, sort_keys=True, default=str)
    if len(text) > _MOST_CHARACTERS:
        return text
    return json.dumps(compare.plain(value, Fresh(clock.now_ns(), frozenset())), sort_keys=True)

"""The JSON documents of the commands that mend, undo and verify."""

from typing import NotRequired

from typing_extensions import TypedDict

from refinery.model.failure import Diagnosis
from refinery.model.patch import Edit
from refinery.model.trace import Json
from refinery.model.verdict import GuardReport, Trial

Strings = list[str]


class PatchDocument(TypedDict):
    """A patch: its diff, and what an approval is bound to."""

    base_commit: str
    digest: str
    paths: Strings
    diff: str
    edits: NotRequired[list[Edit]]


class ChangeDocument(TypedDict):
    """A committed change."""

    id: str
    change_id: str
    commit: str
    trace_id: str
    title: str
    paths: Strings
    branch: str
    created_ns: int
    state: str
    reverted_by: str | None


class Fixed(TypedDict):
    """`refinery fix` and `refinery demo`."""

    session_id: str
    engine: str
    expected: Json
    diagnosis: Diagnosis
    hypotheses: list[Json]
    chosen: str | None
    patch: PatchDocument | None
    guard: GuardReport | None
    trial: Trial | None
    change: ChangeDocument | None
    tests: Json
    spending: Json
    repository: NotRequired[str]


class Tried(TypedDict):
    """`refinery trial`."""

    fixed: bool
    verdict: str
    reason: str
    patch: PatchDocument
    guard: GuardReport
    trial: Trial


class History(TypedDict):
    """`refinery history`."""

    changes: list[ChangeDocument]


class TakenBack(TypedDict):
    """`refinery rollback` and `redo`."""

    change: ChangeDocument
    diff: str
    dry_run: bool


class VerifyStep(TypedDict):
    """One step of a verification."""

    name: str
    holds: bool
    detail: str


class Verified(TypedDict):
    """`refinery verify`."""

    change: str
    commit: str | None
    holds: bool
    steps: list[VerifyStep]
    verdict: str | None
    sandbox: str | None


DOCUMENTS: dict[str, type] = {
    "demo": Fixed,
    "fix": Fixed,
    "trial": Tried,
    "history": History,
    "rollback": TakenBack,
    "redo": TakenBack,
    "verify": Verified,
}
"""The document of each command by its words."""

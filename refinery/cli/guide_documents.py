"""The JSON documents of `guide`, `watch`, `checks run` and `checks export`."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from refinery.model.trace import Json

Strings = list[str]


class Guided(TypedDict):
    """`refinery guide --script`."""

    session_id: str
    step: str
    """Where the session stands; `done`, `stopped`, `handed`, `undone`, … when it is over."""
    trace_id: str | None
    expectation: str
    checks: Strings
    scope: Literal["question", "words", "always"] | None
    condition: str | None
    fix_session: str | None
    """The session of `refinery fix` with diagnosis and proof."""
    verdicts: dict[str, str]
    """By hypothesis, those tried."""
    change_id: str | None
    handover: str | None
    over: bool
    remark: str
    page: dict[str, Json]
    """What is shown, see `workflows.guide.pages.Page`."""


class WatchedChange(TypedDict):
    """What new conversations say of one change."""

    id: str
    commit: str
    trace_id: str
    title: str
    expectation: str
    standing: Literal["too early to tell", "holds", "returned"]
    seen: int
    failed: int
    evidence: float
    """Against the fix; 1 / `wrong_alarms_at_most` decides."""
    decided_after: int | None
    failing: Strings
    older_code: int
    rate_before: float
    tolerated: float
    wrong_alarms_at_most: float
    why_not: str
    revert: str | None


class Watching(TypedDict):
    """`refinery watch`."""

    changes: list[WatchedChange]
    returned: Strings
    reverted: NotRequired[Strings]


class PlayedConversation(TypedDict):
    """One conversation, played again."""

    name: str
    trace_id: str
    label: Literal["pass", "fail"]
    expectation: str | None
    change: str | None
    state: Literal["held", "failed", "unanswered"]
    checks: list[dict[str, Json]]
    output: Json
    error: str | None
    duration_ms: float


class Suite(TypedDict):
    """`refinery checks run`."""

    held: int
    failed: int
    unanswered: int
    conversations: list[PlayedConversation]


class ExportedSuite(TypedDict):
    """`refinery checks export`."""

    file: str
    conversations: Strings


DOCUMENTS: dict[str, type] = {
    "guide": Guided,
    "watch": Watching,
    "checks run": Suite,
    "checks export": ExportedSuite,
}
"""The document of each command by its words."""

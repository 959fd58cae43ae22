"""The shape of the JSON documents of the search commands (see `documents`)."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from refinery.model.trace import Json


class About(TypedDict):
    """One conversation, as a listing shows its trace."""

    trace_id: str
    name: str
    status: str
    label: str | None
    project: str | None
    source: str
    user_id: str | None
    session_id: str | None
    start: str | None
    end: str | None
    runs: int
    errors: int


class Why(TypedDict):
    """One reason why a conversation was found."""

    arm: Literal["text", "meaning"]
    rank: int
    words: list[str]
    snippet: str
    run_id: str | None
    run_name: str | None
    run_kind: str | None
    similarity: float | None


class Result(About):
    """One conversation that was found."""

    score: float
    asked: str
    answered: str
    why: list[Why]


class Results(TypedDict):
    """What was found, and how was searched."""

    results: list[Result]
    arms: list[Literal["text", "meaning"]]
    embedder: str
    indexed: int | None
    waiting: int
    notes: list[str]


class Searched(Results):
    """`refinery search`."""

    query: str


class Similar(Results):
    """`refinery similar`."""

    like: str | None


class CycleLine(TypedDict):
    """One run below a conversation's root."""

    run_id: str
    parent_id: str | None
    name: str | None
    kind: str | None
    status: str | None
    start: str | None
    end: str | None
    reasoning: str | None
    inputs: Json
    outputs: Json
    error: Json


class Conversation(About):
    """One conversation, verbatim."""

    start_ns: int
    run_id: str
    inputs: Json
    outputs: Json
    error: Json
    cycles: NotRequired[list[CycleLine]]


Frame = TypedDict(
    "Frame",
    {"from": str | None, "to": str | None, "total": int, "interactions": list[Conversation]},
)
"""`refinery timeframe`; written so because `from` is a reserved word."""


class Figures(TypedDict):
    """Figures of a user or a session."""

    interactions: int
    errors: int
    total_tokens: int | None
    first: str | None
    last: str | None


class UserLine(Figures):
    """One user."""

    user_id: str | None
    sessions: int


class Users(TypedDict):
    """`refinery users`."""

    users: list[UserLine]


class SessionLine(Figures):
    """One session."""

    session_id: str
    user_id: str | None


class Sessions(TypedDict):
    """`refinery sessions`."""

    sessions: list[SessionLine]


class Cleaned(TypedDict):
    """`refinery clean`."""

    before: str | None
    dry_run: bool
    deleted: list[str]
    runs: int
    kept: list[str]
    reasons: dict[str, str]
    undated: int
    index_clean: bool


DOCUMENTS: dict[str, type] = {
    "search": Searched,
    "similar": Similar,
    "timeframe": Frame,
    "users": Users,
    "sessions": Sessions,
    "clean": Cleaned,
}
"""The documents of this file by the words of their commands."""

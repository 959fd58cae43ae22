"""What the steps of a session work with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from refinery.errors import NotFoundError
from refinery.model.trace import Trace
from refinery.workflows.guide.pages import Choice, Page
from refinery.workflows.guide.session import Session
from refinery.workflows.wiring import Workspace

Say = Callable[[str], None]
"""Told what is going on during work, one plain sentence at a time."""
ENGINEER = Choice("engineer", "Hand it over to an engineer")
STOP = Choice("stop", "Leave it for now")
YES = frozenset(
    [
        "y",
        "yes",
        "yep",
        "yeah",
        "ja",
        "ok",
        "okay",
        "right",
        "correct",
        "sure",
        "exactly",
        "approve",
        "agreed",
    ]
)
NO = frozenset(["n", "no", "nope", "nein", "wrong", "not"])


@dataclass(slots=True)
class Context:
    """A workspace, the session, and what was read for them."""

    workspace: Workspace
    session: Session
    repository: Path | None = None
    """The agent's repository; None: this folder's."""
    approver: str = ""
    """Who is written down as approving."""
    _traces: dict[str, Trace] = field(default_factory=dict)

    def load(self, trace_id: str) -> Trace | None:
        """A conversation of the store; None when it is gone."""
        if trace_id not in self._traces:
            trace = self.workspace.store.get_trace(trace_id)
            if trace is None:
                return None
            self._traces[trace_id] = trace
        return self._traces[trace_id]

    @property
    def trace(self) -> Trace:
        """The conversation the session is about.

        Raises:
            NotFoundError: it is no longer in the store.
        """
        trace = self.load(self.session.trace_id or "")
        if trace is None:
            raise NotFoundError(
                "the conversation of this session is no longer kept",
                hint="start a new one: refinery guide",
            )
        return trace

    def go(self, step: str) -> None:
        """Go on to a step."""
        self.session.step = step

    def again(self, remark: str) -> None:
        """Ask the same page once more, with a remark on the last answer."""
        self.session.remark = remark


class End(Protocol):
    """A page; the last ones ask nothing."""

    def page(self, context: Context) -> Page:
        """What is shown."""
        ...


class Step(Protocol):
    """A page that asks."""

    def page(self, context: Context) -> Page:
        """What is shown and asked."""
        ...

    def take(self, context: Context, text: str) -> None:
        """Act on an answer: set what was said, and go on or ask again."""
        ...


class Work(Protocol):
    """Something that takes a while, and changes nothing a person has not approved."""

    def page(self, context: Context) -> Page:
        """What is said while it runs."""
        ...

    def run(self, context: Context, say: Say) -> None:
        """Do it, and go on. Doing it again after a crash must be harmless."""
        ...


def chosen(text: str, choices: tuple[Choice, ...]) -> Choice | None:
    """The choice an answer names: by its key, by yes or no, or by the words of its label."""
    said = " ".join(text.casefold().split()).strip(" .!")
    for choice in choices:
        if said == choice.key.casefold() or said == choice.label.casefold().strip(" .!"):
            return choice
    words = {choice.key: choice for choice in choices}
    if said in YES and "yes" in words:
        return words["yes"]
    if said in NO and "no" in words:
        return words["no"]
    if len(said) < 3:
        return None
    fitting = [c for c in choices if c.label.casefold().startswith(said)]
    fitting = fitting or [c for c in choices if said in c.label.casefold()]
    return fitting[0] if len(fitting) == 1 else None

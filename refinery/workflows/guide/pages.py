"""What a session shows: one page at a time, as plain data for a terminal or a web page."""

from dataclasses import dataclass, field
from enum import StrEnum

from refinery.model.codec import encode
from refinery.model.trace import Json


class Kind(StrEnum):
    """What a page waits for."""

    ASK = "ask"
    """An answer."""
    WORK = "work"
    """Nobody: something takes a while, `Guide.work` does it."""
    END = "end"
    """Nothing: the session is over."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers a page offers."""

    key: str
    """What is typed to choose it."""
    label: str
    note: str = ""
    """A second line, e.g. what the agent answered."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was said or done in a conversation."""

    who: str
    """`Customer`, `Agent`, `looked up`, `did` or `note`."""
    text: str
    number: int | None = None
    """What is typed to mean this line; None: it cannot be marked."""
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """An answer before and after a fix, each as it was measured."""

    asked: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Page:
    """What is said, shown and asked."""

    step: str
    kind: Kind
    title: str
    said: tuple[str, ...] = ()
    """Paragraphs."""
    lines: tuple[Line, ...] = ()
    quotes: tuple[str, ...] = ()
    """Passages shown word for word."""
    pairs: tuple[Pair, ...] = ()
    question: str = ""
    choices: tuple[Choice, ...] = ()
    default: str | None = None
    """What an empty answer means; None: an empty answer is none."""
    takes_words: bool = False
    """Whether words are an answer, beside the choices."""
    details: tuple[str, ...] = field(default=())
    """What `d` shows: identifiers, checks, the diff, figures."""


def to_document(page: Page) -> dict[str, Json]:
    """A page as JSON."""
    document: dict[str, Json] = encode(page)
    return document

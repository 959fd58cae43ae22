"""The checks of a project: what people said is right, when it holds, and which change answers it.

One file of JSON lines, `.refinery/checks.jsonl`; the newest line of an id counts.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from refinery import clock, home
from refinery.detectors import observe
from refinery.errors import InputError
from refinery.model.codec import decode, encode
from refinery.model.messages import parse
from refinery.model.trace import Json, Trace
from refinery.model.walk import strings
from refinery.replay import checks
from refinery.replay.variation import is_variation
from refinery.workflows import repositories

FILE = "checks.jsonl"
QUESTION, WORDS, ALWAYS = "question", "words", "always"
"""When an entry holds: for the same input, when the customer mentions its words, always."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is right, in words and as checks, and when it holds."""

    check_id: str
    created_ns: int
    trace_id: str
    """The conversation it was said of."""
    program: str
    """Entry point of the agent, else the name of the root run."""
    words: str
    checks: tuple[str, ...]
    """`KIND[@FIELD]:VALUE`; all of them have to hold."""
    scope: str
    condition: str = ""
    """For scope `words`: what the customer has to mention."""
    input_digest: str = ""
    """SHA-256 hex of the input of `trace_id`."""
    change_id: str | None = None
    """The change that made it hold; None: none yet."""

    def holds_for(self, trace: Trace) -> bool:
        """Whether the entry says anything of a trace."""
        if is_variation(trace) or program_of(trace) != self.program:
            return False
        if self.scope == QUESTION:
            return digest_of(trace) == self.input_digest
        return self.scope == ALWAYS or mentions(trace, self.condition)

    def is_missed_by(self, trace: Trace) -> bool:
        """Whether a recorded conversation misses a check that can be told without a model."""
        return any(not held for held in holding(self.checks, trace).values())


def new_entry(trace: Trace, words: str, checks: tuple[str, ...], scope: str) -> Entry:
    """An entry said of a trace just now; for scope `words` the condition is still to be set."""
    return Entry(
        check_id=clock.short_id("check"),
        created_ns=clock.now_ns(),
        trace_id=trace.trace_id,
        program=program_of(trace),
        words=words,
        checks=checks,
        scope=scope,
        input_digest=digest_of(trace),
    )


def write(folder: Path, entry: Entry) -> None:
    """Keep an entry; one of the same id is replaced.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        home.append_line(home.prepare(folder) / FILE, encode(entry))
    except OSError as error:
        raise InputError(
            f"the check cannot be kept in {folder}: {error.strerror}",
            hint="set REFINERY_HOME to a folder you may write",
        ) from error


def entries(folder: Path) -> list[Entry]:
    """All entries, oldest first; lines that cannot be read are left out."""
    found: dict[str, Entry] = {}
    for entry in _read(folder / FILE):
        found[entry.check_id] = entry
    return sorted(found.values(), key=lambda entry: entry.created_ns)


def answered_by(folder: Path, trace_id: str, change_id: str) -> None:
    """Say which change made what was said of a trace hold."""
    for entry in entries(folder):
        if entry.trace_id == trace_id:
            write(folder, replace(entry, change_id=change_id))


def holding(written: Sequence[str], trace: Trace) -> dict[str, bool]:
    """Whether each check holds for a recorded conversation; those that need more are left out.

    Left out are checks a model judges and functions of the repository, which only a trial runs.
    """
    result = checks.recorded_result(trace)
    told = {}
    for text in written:
        check = checks.parse(text)
        if check.kind not in ("python", checks.JUDGED):
            told[text] = checks.evaluate(check, result, observe=observe).held
    return told


def program_of(trace: Trace) -> str:
    """What tells programs apart: the entry point, else the name of the root run."""
    entry = repositories.entry_point(trace)
    if entry is not None:
        return entry.target
    return (trace.root.name if trace.root else None) or ""


def digest_of(trace: Trace) -> str:
    """SHA-256 hex of what the root run was given."""
    given = trace.root.inputs if trace.root else None
    text = json.dumps(given, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def mentions(trace: Trace, condition: str) -> bool:
    """Whether the input of a trace holds all words of a condition, in any order and case."""
    root = trace.root
    given: Json = root.inputs if root else None
    told = " ".join([*(text for _, text in strings(given)), *(m.text for m in parse(given))])
    said = told.casefold()
    return all(word in said for word in condition.casefold().split())


def _read(path: Path) -> Iterator[Entry]:
    for value in home.read_lines(path):
        with suppress(ValueError):
            yield decode(Entry, value)

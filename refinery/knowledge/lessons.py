"""Lessons: kept as a log of events, told as passages of the knowledge base.

The log is a JSON line an event: `{"event": "learnt", "lesson": {…}}`, `{"event": "outcome",
"change_id", "outcome"}` and `{"event": "cited", "lesson_id", "helped"}`. A line that cannot be
read (a process was killed while writing) is left out.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from refinery import home
from refinery.errors import InputError
from refinery.knowledge.passages import Passage
from refinery.model.codec import decode, encode
from refinery.model.lesson import Lesson, LessonOutcome
from refinery.model.trace import Json

GUIDE = "lessons"
"""What citations of lessons begin with."""
ORIGIN = "lesson"
_TOLD = {
    LessonOutcome.ACCEPTED: "It was accepted and is in force.",
    LessonOutcome.REJECTED: "A person rejected it.",
    LessonOutcome.ROLLED_BACK: "It was accepted and later taken back.",
    LessonOutcome.RETURNED: "It was accepted, and the failure came back all the same.",
}


class Lessons:
    """The lessons of one project."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def learn(self, lesson: Lesson) -> None:
        """Keep a lesson.

        Raises:
            InputError: the file cannot be written.
        """
        self._append({"event": "learnt", "lesson": encode(lesson)})

    def settle(self, change_id: str, outcome: LessonOutcome) -> None:
        """Say what became of a change later; a change without a lesson is no error."""
        self._append({"event": "outcome", "change_id": change_id, "outcome": outcome.value})

    def credit(self, lesson_ids: Iterable[str], *, helped: bool) -> None:
        """Count a tried hypothesis towards the lessons it rested on."""
        for lesson_id in lesson_ids:
            self._append({"event": "cited", "lesson_id": lesson_id, "helped": helped})

    def all(self) -> list[Lesson]:
        """Every lesson in its present state, oldest first."""
        found: dict[str, Lesson] = {}
        for event in home.read_lines(self.path):
            _apply(found, event)
        return list(found.values())

    def passages(self) -> list[Passage]:
        """Lessons that have not expired, as passages."""
        return [as_passage(lesson) for lesson in self.all() if not lesson.is_expired]

    def _append(self, event: dict[str, Json]) -> None:
        try:
            home.append_line(self.path, event)
        except OSError as error:
            raise InputError(
                f"lessons cannot be kept in {self.path}: {error}",
                hint="check that its folder can be written and the disk is not full",
            ) from error


def as_passage(lesson: Lesson) -> Passage:
    """A lesson as the knowledge base tells it."""
    verdict = f" The trial said: {lesson.verdict}." if lesson.verdict else ""
    used = f" Of {lesson.cited} later fixes that rested on it {lesson.helped} were accepted."
    text = (
        f"Failure of kind {lesson.category.replace('_', ' ')} (cause: {lesson.root_cause}). "
        f"Change tried ({lesson.strategy}): {lesson.fix}.{verdict} {_TOLD[lesson.outcome]}"
        f"{used if lesson.cited else ''}"
    )
    return Passage(GUIDE, lesson.lesson_id, text, origin=ORIGIN)


def cited_in(citations: Iterable[str]) -> list[str]:
    """Ids of the lessons among the citations of a hypothesis."""
    head = f"{GUIDE}#"
    return [one.removeprefix(head) for one in citations if one.startswith(head)]


def _apply(found: dict[str, Lesson], event: dict[str, Json]) -> None:
    kind = event.get("event")
    try:
        if kind == "learnt":
            learnt = decode(Lesson, event["lesson"])
            found[learnt.lesson_id] = learnt
        elif kind == "outcome":
            outcome = LessonOutcome(str(event["outcome"]))
            for key, known in found.items():
                if known.change_id == event["change_id"]:
                    found[key] = replace(known, outcome=outcome)
        elif kind == "cited" and (used := found.get(str(event["lesson_id"]))):
            helped = event["helped"] is True
            found[used.lesson_id] = replace(
                used,
                cited=used.cited + 1,
                helped=used.helped + helped,
                cited_since_help=0 if helped else used.cited_since_help + 1,
            )
    except (KeyError, ValueError):
        return

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.embedders.hash import HashEmbedder
from refinery.knowledge.lessons import Lessons, as_passage, cited_in
from refinery.knowledge.library import Library
from refinery.model.lesson import EXPIRES_AFTER, Lesson, LessonOutcome


def _lesson(number: int = 1, **fields: object) -> Lesson:
    values = {
        "lesson_id": f"lesson_{number}",
        "created_ns": number,
        "category": "stale_document",
        "root_cause": "context",
        "strategy": "retrieval",
        "fix": "sort the quagga by date",
        "outcome": LessonOutcome.ACCEPTED,
        "trace_id": "t",
        "change_id": f"fix_{number}",
        "verdict": "fixed",
    }
    return Lesson(**{**values, **fields})  # type: ignore[arg-type]


def test_a_lesson_is_kept_and_follows_what_became_of_its_change(tmp_path: Path) -> None:
    lessons = Lessons(tmp_path / "lessons.jsonl")
    lessons.learn(_lesson(1))
    lessons.learn(_lesson(2))

    lessons.settle("fix_1", LessonOutcome.ROLLED_BACK)
    lessons.settle("fix_unknown", LessonOutcome.RETURNED)

    outcomes = [lesson.outcome for lesson in Lessons(lessons.path).all()]
    assert outcomes == [LessonOutcome.ROLLED_BACK, LessonOutcome.ACCEPTED]
    assert "later taken back" in as_passage(lessons.all()[0]).text


def test_a_lesson_that_stops_helping_is_not_told_any_more(tmp_path: Path) -> None:
    lessons = Lessons(tmp_path / "lessons.jsonl")
    lessons.learn(_lesson())
    for _ in range(EXPIRES_AFTER - 1):
        lessons.credit(["lesson_1"], helped=False)
    assert len(lessons.passages()) == 1

    lessons.credit(["lesson_1"], helped=True)
    lessons.credit(["lesson_1"] * (EXPIRES_AFTER - 1), helped=False)
    assert len(lessons.passages()) == 1
    lessons.credit(["lesson_1"], helped=False)

    assert lessons.passages() == []
    (known,) = lessons.all()
    assert (known.is_expired, known.cited, known.helped) == (True, 2 * EXPIRES_AFTER, 1)


def test_a_search_finds_a_lesson_and_its_citation_names_it(tmp_path: Path) -> None:
    lessons = Lessons(tmp_path / "lessons.jsonl")
    lessons.learn(_lesson(7))

    with Library(tmp_path / "library", HashEmbedder()) as library:
        library.teach(lessons.passages())
        best = library.search("stale document quagga", 1)[0]
        assert (best.origin, best.citation) == ("lesson", "lessons#lesson_7")
        assert cited_in([best.citation, "rag-freshness#Filter by validity"]) == ["lesson_7"]

        library.teach([])
        assert all(p.origin != "lesson" for p in library.passages())


@pytest.mark.parametrize("torn", [b'{"event": "learnt"', b"\xff\n", b"[]\n", b'{"event": 3}\n'])
def test_a_line_that_cannot_be_read_is_left_out(tmp_path: Path, torn: bytes) -> None:
    lessons = Lessons(tmp_path / "lessons.jsonl")
    lessons.learn(_lesson())
    with lessons.path.open("ab") as file:
        file.write(torn)

    assert len(Lessons(lessons.path).all()) == 1


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=5))
def test_no_bytes_stop_the_reader(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("lessons") / "lessons.jsonl"
    path.write_bytes(b"\n".join(lines))

    assert Lessons(path).all() == []
